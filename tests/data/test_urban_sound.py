"""UrbanSound8K's folder: clips of every kind, folds, and faulty copies."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nmfdiag.data.datasets import load
from nmfdiag.data.urban_sound import CLASSES, SAMPLE_RATE
from nmfdiag.errors import NmfdiagError

KINDS = [
    (44_100, 2, "PCM_16"),
    (96_000, 1, "PCM_24"),
    (11_024, 1, "PCM_U8"),
    (48_000, 2, "FLOAT"),
    (8_000, 1, "PCM_32"),
]


def tone(hertz: float, rate: int, channels: int = 1, seconds: float = 4.0) -> np.ndarray:
    samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    return np.repeat(samples[:, None], channels, axis=1)


def write_clip(root: Path, fold: int, name: str, samples: np.ndarray, rate: int, subtype: str = "PCM_16") -> Path:
    path = root / "UrbanSound8K" / "audio" / f"fold{fold}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def write_metadata(root: Path, **changed: int) -> None:
    """List the existing clips; ``changed`` overrides the class of a clip by its fsID."""
    folder = root / "UrbanSound8K"
    (folder / "metadata").mkdir(parents=True, exist_ok=True)
    with (folder / "metadata" / "UrbanSound8K.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow("slice_file_name fsID start end salience fold classID class".split())
        for path in sorted(folder.glob("audio/*/*.wav")):
            source, class_id = path.name.split("-")[:2]
            label = changed.get(f"id{source}", int(class_id))
            table.writerow([path.name, source, 0.0, 4.0, 1, path.parent.name[4:], label, CLASSES[label]])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for i, (rate, channels, subtype) in enumerate(KINDS):
        write_clip(tmp_path, i + 1, f"{100 + i}-{2 * i}-0-{i}.wav", tone(1000, rate, channels), rate, subtype)
    write_clip(tmp_path, 10, "200-3-0-0.wav", tone(1000, 22_050, seconds=0.5), 22_050)
    write_metadata(tmp_path)
    return tmp_path


def test_every_rate_format_and_number_of_channels_gives_the_same_picture(root: Path) -> None:
    data = load("urban_sound", "train", root=root)
    assert data.input_shape == (1, 64, 128)
    assert data.labels.tolist() == [0, 2, 4, 6, 8]
    assert data.class_names[3] == "dog_bark" and len(set(data.class_names)) == 10
    loudest = data.inputs.mean(dim=3)[:, 0].argmax(dim=1)
    assert loudest.tolist() == [loudest[0]] * 5
    top = 2595 * np.log10(1 + SAMPLE_RATE / 2 / 700)
    centre = 700 * (10 ** ((int(loudest[0]) + 1) * top / 65 / 2595) - 1)
    assert centre == pytest.approx(1000, rel=0.05)
    at_tone = data.inputs[:, 0, int(loudest[0])]
    assert float((at_tone - at_tone[0])[:, 4:-4].abs().max()) < 0.15  # not at the ends, where the filter rings


def test_fold_ten_is_the_test_and_a_short_clip_is_padded(root: Path) -> None:
    data = load("urban_sound", "test", root=root / "UrbanSound8K")
    assert data.labels.tolist() == [3]
    energy = data.inputs[0, 0].mean(dim=0)
    loud = np.flatnonzero((energy > energy.mean()).numpy())
    assert loud.min() > 50 and loud.max() < 78


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match=r"UrbanSound8K was not found in .*metadata/UrbanSound8K\.csv are needed"):
        load("urban_sound", root=tmp_path)


def test_a_split_without_a_clip(root: Path) -> None:
    (root / "UrbanSound8K" / "audio" / "fold10" / "200-3-0-0.wav").unlink()
    write_metadata(root)
    with pytest.raises(NmfdiagError, match=r"has no clip for the test split"):
        load("urban_sound", "test", root=root)


@pytest.mark.parametrize("name", ["dog.wav", "1-11-0-0.wav", "1-3-0.wav", "x1-3-0-0.wav"])
def test_a_file_named_otherwise(root: Path, name: str) -> None:
    write_clip(root, 2, name, tone(500, 8_000), 8_000)
    with pytest.raises(NmfdiagError, match=rf"^{name} is not named fsID-classID"):
        load("urban_sound", root=root)


@pytest.mark.parametrize("content", [b"", b"RIFF nonsense", b"RIFF\x24\x00\x00\x00WAVEfmt "])
def test_a_damaged_file(root: Path, content: bytes) -> None:
    (root / "UrbanSound8K" / "audio" / "fold1" / "100-0-0-0.wav").write_bytes(content)
    with pytest.raises(NmfdiagError, match=r"^100-0-0-0\.wav can't be decoded: "):
        load("urban_sound", root=root)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros((0, 1)), 8_000, "has 0 samples of 1 channels at 8,000 a second; accepted"),
        (np.zeros((100, 1)), 400_000, "at 400,000 a second; accepted"),
        (np.full((100, 1), np.nan), 8_000, "is truncated, or holds values that are not finite"),
    ],
)
def test_sound_that_is_none(root: Path, samples: np.ndarray, rate: int, message: str) -> None:
    write_clip(root, 1, "100-0-0-0.wav", samples, rate, "FLOAT")
    with pytest.raises(NmfdiagError, match=rf"^100-0-0-0\.wav .*{message}"):
        load("urban_sound", root=root)


def test_metadata_that_say_something_else(root: Path) -> None:
    table = root / "UrbanSound8K" / "metadata" / "UrbanSound8K.csv"
    write_metadata(root, id101=5)
    with pytest.raises(NmfdiagError, match=r"^101-2-0-1\.wav is of class 2 by its name, of 5 in UrbanSound8K\.csv\.$"):
        load("urban_sound", root=root)
    write_metadata(root)
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:1] + lines[2:]))
    with pytest.raises(NmfdiagError, match=r"^100-0-0-0\.wav in fold 1 is not in UrbanSound8K\.csv\.$"):
        load("urban_sound", root=root)
    table.write_text("".join([*lines, "9-9-9-9.wav,9,0,4,1,7,9,street_music\n"]))
    with pytest.raises(NmfdiagError, match=r"^UrbanSound8K\.csv lists 9-9-9-9\.wav in fold 7, where it is not\.$"):
        load("urban_sound", root=root)
    table.write_text("name,fold\na,1\n")
    with pytest.raises(
        NmfdiagError, match=r"^UrbanSound8K\.csv can't be read, its columns must include slice_file_name"
    ):
        load("urban_sound", root=root)


def test_what_a_mac_leaves_behind_is_no_clip(root: Path) -> None:
    (root / "UrbanSound8K" / "audio" / "fold1" / "._100-0-0-0.wav").write_bytes(b"resource fork")
    (root / "UrbanSound8K" / "audio" / "fold1" / ".DS_Store").write_bytes(b"")
    assert len(load("urban_sound", root=root)) == 5


@pytest.mark.real_data
def test_real_recordings_in_that_folder(data_root: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data_root / "fsdd_wav.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".wav"))[:20:2]
        for i, name in enumerate(names):
            samples, rate = soundfile.read(io.BytesIO(archive.read(name)))
            write_clip(tmp_path, i + 1, f"{i}-{i}-0-0.wav", samples, rate)
    write_metadata(tmp_path)
    train, test = (load("urban_sound", split, root=tmp_path) for split in ("train", "test"))
    assert train.labels.tolist() == list(range(9)) and test.labels.tolist() == [9]
    speech = train.inputs[:, 0].amax(dim=2)
    low, high = speech[:, :40].amax(dim=1), speech[:, 56:].amax(dim=1)
    assert bool((low > high + 5).all())  # nothing above 4 kHz: the rate was 8 kHz
