"""Read UrbanSound8K from its folder: ``audio/fold1 .. fold10`` and ``metadata/UrbanSound8K.csv``, as log-mel spectrograms.

J. Salamon, C. Jacoby, J. P. Bello, A Dataset and Taxonomy for Urban Sound Research, 2014. Fold 10 is the test split.
"""

import csv
import re
from math import gcd
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nmfdiag.data.audio import check_work, log_mel, read_wav
from nmfdiag.data.files import walk
from nmfdiag.errors import NmfdiagError

SAMPLE_RATE, SECONDS = 16_000, 4
FRONT_END = {"sample_rate": SAMPLE_RATE, "n_fft": 1024, "hop": 504, "n_frames": 128}  # 127 hops are 4 s
CLASSES = (
    "air_conditioner", "car_horn", "children_playing", "dog_bark", "drilling", "engine_idling", "gun_shot", "jackhammer",
    "siren", "street_music",
)  # fmt: skip
CLIP = re.compile(r"(\d+)-(\d)-(\d+)-(\d+)\.wav")
FOLDS, TEST_FOLD = range(1, 11), 10
MAX_TABLE_BYTES = 64 * 2**20
FILTER_STEPS = 20
"""Length of SciPy's resampling filter, as a multiple of the larger of its two rate factors."""
COLUMNS = ("slice_file_name", "fold", "classID")


def load_urban_sound(root: Path, split: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read the clips ``{fsID}-{classID}-{occurrenceID}-{sliceID}.wav`` of fold 10 (test) or of folds 1 to 9 (train).

    Args:
        root: The folder ``UrbanSound8K``, or its parent.
        split: ``"train"`` or ``"test"``.

    Returns:
        Spectrograms (n, 1, 64 bands, 128 frames), labels (n,), class names.

    Raises:
        NmfdiagError: If there are no clips, a file is damaged or its name has another form, or the metadata disagree.
    """
    folder = root / "UrbanSound8K" if (root / "UrbanSound8K").is_dir() else root
    clips = {(fold, path.name): path for fold in FOLDS for path in _wavs(folder / "audio" / f"fold{fold}")}
    table = folder / "metadata" / "UrbanSound8K.csv"
    if not clips or not table.is_file():
        raise NmfdiagError(
            f"UrbanSound8K was not found in {root}: audio/fold1 to fold10 and metadata/UrbanSound8K.csv are needed, from "
            "https://urbansounddataset.weebly.com."
        )
    labels = {clip: _class_of(clip[1]) for clip in clips}
    _check_metadata(table, labels)
    split_clips = [clip for clip in clips if (clip[0] == TEST_FOLD) == (split == "test")]
    if not split_clips:
        raise NmfdiagError(f"UrbanSound8K in {root} has no clip for the {split} split.")
    inputs, work = [], 0
    for clip in split_clips:
        waveform, steps = _waveform(clips[clip])
        work = check_work(work + steps, root)
        inputs.append(log_mel(waveform, **FRONT_END))
    return torch.stack(inputs).numpy(), np.asarray([labels[clip] for clip in split_clips]), CLASSES


def _wavs(folder: Path) -> list[Path]:
    visible = (entry for entry in (walk(folder, 1) if folder.is_dir() else ()) if not entry.name.startswith("."))
    return sorted(Path(entry.path) for entry in visible if entry.name.lower().endswith(".wav") and entry.is_file())


def _class_of(name: str) -> int:
    match = CLIP.fullmatch(name)
    if match is None:
        raise NmfdiagError(f"{name} is not named fsID-classID-occurrenceID-sliceID.wav, with a classID of 0 to 9.")
    return int(match[2])


def _check_metadata(table: Path, labels: dict[tuple[int, str], int]) -> None:
    """Check that the table lists exactly the existing clips, with their folds and classes."""
    if table.stat().st_size > MAX_TABLE_BYTES:
        raise NmfdiagError(f"{table.name} has more than {MAX_TABLE_BYTES >> 20} MiB.")
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            listed = {(int(row["fold"]), row["slice_file_name"]): int(row["classID"]) for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise NmfdiagError(
            f"{table.name} can't be read, its columns must include {', '.join(COLUMNS)}: {error}"
        ) from None
    for fold, name in listed:
        if (fold, name) not in labels:
            raise NmfdiagError(f"{table.name} lists {name} in fold {fold}, where it is not.")
    for (fold, name), label in labels.items():
        if (fold, name) not in listed:
            raise NmfdiagError(f"{name} in fold {fold} is not in {table.name}.")
        if listed[fold, name] != label:
            raise NmfdiagError(f"{name} is of class {label} by its name, of {listed[fold, name]} in {table.name}.")


def _waveform(path: Path) -> tuple[Tensor, int]:
    """Decode a clip of any rate, sample format and number of channels.

    Returns:
        Samples (n,) mono at 16 kHz, and the number of steps: rates without a common divisor need a long filter.
    """
    from scipy.signal import resample_poly

    mono, rate = read_wav(path.name, path)
    common = gcd(SAMPLE_RATE, rate)
    up, down = SAMPLE_RATE // common, rate // common
    resampled = np.ascontiguousarray(resample_poly(mono, up, down), np.float32)
    return torch.from_numpy(resampled), len(mono) + len(resampled) + FILTER_STEPS * max(up, down)
