"""Spoken digits (FSDD): ``{digit}_{speaker}_{index}.wav`` in a folder or zip; indices 0 to 4 are the test set."""

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nmfdiag.data.arrays import Arrays
from nmfdiag.data.tree import open_tree
from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from torch import Tensor

RECORDING = re.compile(r"(\d)_([^_]+)_(\d+)\.wav")
N_TEST = 5
MAX_SAMPLES = 8000 * 600


def load_spoken_digits(path: Path, split: str, *, limit_per_class: int | None = None) -> Arrays:
    """Read one split of the recordings, in the order of their names, as log-mel spectrograms.

    Args:
        path: Folder or zip that holds the recordings, at any depth.
        split: ``"train"`` or ``"test"``: the official one, indices 5 and above or 0 to 4 of every speaker and digit.
        limit_per_class: Read only the first so many of each digit.

    Returns:
        Spectrograms (n, 1, 64, 64) float32, digits (n,), their names.

    Raises:
        NmfdiagError: If there are no such recordings, or one can't be decoded.
    """
    from nmfdiag.data.audio import log_mel

    inputs: list[np.ndarray] = []
    labels: list[int] = []
    with open_tree(path, (".wav",)) as tree:
        for name, read in tree.items():
            match = RECORDING.fullmatch(name[-1])
            if match is None or ("test" if int(match[3]) < N_TEST else "train") != split:
                continue
            digit = int(match[1])
            if limit_per_class is None or labels.count(digit) < limit_per_class:
                inputs.append(log_mel(decode(name[-1], read())).numpy())
                labels.append(digit)
    if not inputs:
        raise NmfdiagError(f"{path.name} has no recordings DIGIT_SPEAKER_INDEX.wav of the split {split!r}.")
    return Arrays(np.stack(inputs), np.asarray(labels), tuple(str(d) for d in range(10)))


def decode(name: str, content: bytes) -> "Tensor":
    """Decode a wav file of 8 kHz to mono samples (n,) in [-1, 1].

    Raises:
        NmfdiagError: If it can't be decoded, has another sample rate, or goes on for more than ten minutes.
    """
    import soundfile
    import torch

    from nmfdiag.data.audio import SAMPLE_RATE

    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            if file.samplerate != SAMPLE_RATE:
                raise NmfdiagError(f"{name} has {file.samplerate} samples a second, {SAMPLE_RATE} are accepted.")
            if file.frames * file.channels > MAX_SAMPLES:
                raise NmfdiagError(f"{name} has {file.frames:,} samples, {MAX_SAMPLES:,} are accepted.")
            samples = file.read(dtype="float32", always_2d=True)  # (n, channels)
    except soundfile.LibsndfileError as error:
        raise NmfdiagError(f"{name} can't be decoded: {error.error_string}") from None
    if not np.isfinite(samples).all():
        raise NmfdiagError(f"{name} holds NaN or infinities.")
    return torch.from_numpy(samples.mean(axis=1))
