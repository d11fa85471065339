"""The mel front end and the spoken digits."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from nmfdiag.data.audio import HOP, N_FRAMES, N_MELS, SAMPLE_RATE, load_spoken_digits, log_mel, mel_filterbank
from nmfdiag.data.datasets import load
from nmfdiag.errors import NmfdiagError


def tone(hertz: float, seconds: float = 1.0) -> torch.Tensor:
    return torch.sin(2 * np.pi * hertz * torch.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE)


def wav(samples: torch.Tensor, rate: int = SAMPLE_RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.numpy(), rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def centre_of_band(band: int) -> float:
    """Centre in hertz, from the definition of the scale and not from the code under test."""
    top = 2595 * np.log10(1 + 4000 / 700)
    return float(700 * (10 ** ((band + 1) * top / (N_MELS + 1) / 2595) - 1))


@pytest.mark.parametrize("band", [20, 35, 50, 60])
def test_a_pure_tone_peaks_in_its_band(band: int) -> None:
    spectrogram = log_mel(tone(centre_of_band(band)))
    assert spectrogram.shape == (1, N_MELS, N_FRAMES)
    assert abs(int(spectrogram[0].mean(dim=1).argmax()) - band) <= 1


def test_the_filterbank_is_triangles() -> None:
    bank = mel_filterbank()
    assert bank.shape == (N_MELS, 129)
    assert bool((bank >= 0).all())
    assert float(bank.max()) <= 1
    fine = mel_filterbank(n_fft=1 << 14)  # fine enough to see each peak
    assert fine.amax(dim=1).min() > 0.95
    peaks = fine.argmax(dim=1) * SAMPLE_RATE / (1 << 14)
    assert peaks.tolist() == pytest.approx([centre_of_band(b) for b in range(N_MELS)], abs=0.5)


def test_padding_and_cropping_keep_the_middle() -> None:
    n_samples = HOP * (N_FRAMES - 1)
    middle = torch.randn(n_samples, generator=torch.Generator().manual_seed(0))
    longer = torch.nn.functional.pad(middle, (100, 100))
    assert torch.equal(log_mel(longer), log_mel(middle))
    short = log_mel(tone(1000, 0.1))[0]
    loud = short.mean(dim=0) > short.mean()
    assert 0.45 < float(torch.nonzero(loud).float().mean()) / N_FRAMES < 0.55
    assert log_mel(torch.zeros(0)).shape == (1, N_MELS, N_FRAMES)


def recordings() -> dict[str, bytes]:
    return {f"{digit}_ann_{index}.wav": wav(tone(300 + 100 * digit, 0.2)) for digit in (3, 7) for index in (0, 4, 5)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "recordings").mkdir()
    for name, content in recordings().items():
        (tmp_path / "recordings" / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize(("split", "labels"), [("test", [3, 3, 7, 7]), ("train", [3, 7])])
def test_a_folder_of_recordings(folder: Path, split: str, labels: list[int]) -> None:
    inputs, got, names = load_spoken_digits(folder, split)
    assert got.tolist() == labels
    assert inputs.shape == (len(labels), 1, N_MELS, N_FRAMES)
    assert names == tuple("0123456789")


def test_a_zip_of_recordings_and_what_else_is_in_it(tmp_path: Path, folder: Path) -> None:
    expected = load_spoken_digits(folder, "test")[0]
    with zipfile.ZipFile(tmp_path / "fsdd_wav.zip", "w") as archive:
        for name, content in recordings().items():
            archive.writestr(f"any/{name}", content)
            archive.writestr(f"any/._{name}", b"resource fork")
            archive.writestr(f"any/1{name}", b"another name")
    assert np.array_equal(load_spoken_digits(tmp_path, "test")[0], expected)


def test_stereo_is_averaged(folder: Path) -> None:
    samples = tone(600, 0.2)
    (folder / "recordings" / "3_ann_5.wav").write_bytes(wav(torch.stack([samples, torch.zeros_like(samples)], dim=1)))
    assert load_spoken_digits(folder, "train")[0][0] == pytest.approx(log_mel(samples / 2).numpy(), abs=0.05)


def test_no_recordings(tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match=r"No recordings DIGIT_SPEAKER_INDEX\.wav in .*fsdd_wav\.zip"):
        load("spoken_digits", root=tmp_path)


def test_another_sample_rate(folder: Path) -> None:
    (folder / "recordings" / "3_ann_5.wav").write_bytes(wav(tone(600), 16_000))
    with pytest.raises(NmfdiagError, match=r"^3_ann_5\.wav has 16000 samples a second, 8000 are accepted\.$"):
        load_spoken_digits(folder, "train")


def test_what_is_no_recording(folder: Path) -> None:
    (folder / "recordings" / "3_ann_5.wav").write_bytes(b"RIFF nonsense")
    with pytest.raises(NmfdiagError, match=r"^3_ann_5\.wav can't be decoded: "):
        load_spoken_digits(folder, "train")


def test_a_damaged_zip(tmp_path: Path) -> None:
    (tmp_path / "fsdd_wav.zip").write_bytes(b"no zip")
    with pytest.raises(NmfdiagError, match=r"^fsdd_wav\.zip is not a readable zip: "):
        load_spoken_digits(tmp_path, "train")


@pytest.mark.real_data
def test_spoken_digits(data_root: Path) -> None:
    data = load("spoken_digits", "test", root=data_root)
    assert data.input_shape == (1, 64, 64)
    counts = torch.bincount(data.labels)
    assert len(counts) == 10
    assert bool((counts == counts[0]).all())
    assert int(counts[0]) % 5 == 0
    assert bool(torch.isfinite(data.inputs).all())
