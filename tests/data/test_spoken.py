"""Spoken digits: recordings in a folder or zip, and the real ones."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from nmfdiag.data import load, spoken
from nmfdiag.data.audio import N_FRAMES, N_MELS, SAMPLE_RATE, log_mel
from nmfdiag.data.spoken import load_spoken_digits
from nmfdiag.errors import NmfdiagError


def tone(frequency: float, seconds: float = 0.2) -> torch.Tensor:
    return torch.sin(2 * np.pi * frequency * torch.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE)


def wav(samples: torch.Tensor, rate: int = SAMPLE_RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.numpy(), rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def recordings() -> dict[str, bytes]:
    return {f"{digit}_ann_{i}.wav": wav(tone(300 + 100 * digit + i)) for digit in (3, 7) for i in (0, 4, 5, 12)}


@pytest.mark.parametrize(("split", "indices"), [("test", (0, 4)), ("train", (12, 5))])  # in the order of the names
def test_the_official_split(tmp_path: Path, make_tree: Any, split: str, indices: tuple[int, int]) -> None:
    other = {"._3_ann_0.wav": b"x", "13_ann_0.wav": b"x", "3_ann_0.wav.txt": b"x", "sound.wav": b"x"}
    found = load_spoken_digits(
        make_tree(tmp_path / "own", {f"any/{k}": v for k, v in (recordings() | other).items()}), split
    )
    assert found.labels.tolist() == [3, 3, 7, 7]
    assert found.class_names == tuple("0123456789")
    expected = [log_mel(tone(300 + 100 * digit + i)).numpy() for digit in (3, 7) for i in indices]
    assert np.array_equal(found.inputs, np.stack(expected))
    assert found.inputs.dtype == np.float32


@pytest.mark.parametrize("place", ["recordings", "fsdd_wav/recordings", "free-spoken-digit-dataset/recordings"])
def test_where_they_are_looked_for(tmp_path: Path, make_folder: Any, place: str) -> None:
    make_folder(tmp_path / place, recordings())
    data = load("spoken_digits", "test", root=tmp_path, limit_per_class=1)
    assert data.labels.tolist() == [3, 7]
    assert data.input_shape == (1, N_MELS, N_FRAMES)


def test_stereo_is_averaged(tmp_path: Path, make_folder: Any) -> None:
    samples = tone(600)
    stereo = wav(torch.stack([samples, torch.zeros_like(samples)], dim=1))
    found = load_spoken_digits(make_folder(tmp_path, {"3_ann_5.wav": stereo}), "train")
    assert np.array_equal(found.inputs[0], log_mel(samples / 2).numpy())


def test_no_recordings(tmp_path: Path, make_folder: Any) -> None:
    with pytest.raises(NmfdiagError, match=r"there is no fsdd_wav\.zip or .* or recordings in .*NMFDIAG_DATA"):
        load("spoken_digits", root=tmp_path)
    make_folder(tmp_path / "recordings", {"3_ann_5.wav": wav(tone(600))})
    with pytest.raises(
        NmfdiagError, match=r"recordings has no recordings DIGIT_SPEAKER_INDEX\.wav of the split 'test'"
    ):
        load("spoken_digits", "test", root=tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (wav(tone(600), 16_000), r"^3_ann_5\.wav has 16000 samples a second, 8000 are accepted\.$"),
        (b"RIFF nonsense", r"^3_ann_5\.wav can't be decoded: "),
        (b"", r"^3_ann_5\.wav can't be decoded: "),
        (wav(torch.tensor([0.0, float("nan")])), r"^3_ann_5\.wav holds NaN or infinities\.$"),
        (wav(torch.zeros(1001)), r"^3_ann_5\.wav has 1,001 samples, 1,000 are accepted\.$"),
    ],
)
def test_a_recording_that_is_not_accepted(
    tmp_path: Path, make_tree: Any, monkeypatch: pytest.MonkeyPatch, content: bytes, says: str
) -> None:
    monkeypatch.setattr(spoken, "MAX_SAMPLES", 1000)
    with pytest.raises(NmfdiagError, match=says) as caught:
        load_spoken_digits(make_tree(tmp_path / "own", {"3_ann_5.wav": content}), "train")
    assert "0x" not in str(caught.value)


def test_a_damaged_zip(tmp_path: Path) -> None:
    (tmp_path / "fsdd_wav.zip").write_bytes(b"no zip")
    with pytest.raises(NmfdiagError, match=r"^fsdd_wav\.zip is neither a folder nor a readable zip: "):
        load("spoken_digits", root=tmp_path)


@pytest.mark.real_data
def test_the_real_recordings(data_root: Path, tmp_path: Path) -> None:
    test = load("spoken_digits", "test", root=data_root)
    assert test.inputs.shape == (300, 1, N_MELS, N_FRAMES)
    assert torch.bincount(test.labels).tolist() == [30] * 10  # six speakers, five recordings
    assert bool(torch.isfinite(test.inputs).all())
    with zipfile.ZipFile(data_root / "fsdd_wav.zip") as archive:
        (tmp_path / "recordings").mkdir()
        for name in ("0_george_0.wav", "0_george_1.wav"):
            (tmp_path / "recordings" / name).write_bytes(archive.read(f"recordings/{name}"))
    assert torch.equal(load("spoken_digits", "test", root=tmp_path).inputs, test.inputs[:2])


@pytest.mark.real_data
def test_the_spectrograms_tell_digits_apart(data_root: Path) -> None:
    test = load("spoken_digits", "test", root=data_root)
    distance = torch.cdist(test.inputs.flatten(1), test.inputs.flatten(1)).fill_diagonal_(float("inf"))
    nearest = test.labels[distance.argmin(dim=1)]
    assert (nearest == test.labels).float().mean() > 0.6  # chance is 0.1
