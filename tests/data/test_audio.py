"""The mel front end."""

import numpy as np
import pytest
import torch

from nmfdiag.data.audio import FLOOR, HOP, N_FFT, N_FRAMES, N_MELS, SAMPLE_RATE, log_mel, mel_filterbank
from nmfdiag.errors import NmfdiagError


def tone(frequency: float, seconds: float = 1.0) -> torch.Tensor:
    return torch.sin(2 * np.pi * frequency * torch.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE)


def centre_of_band(band: int) -> float:
    """Centre in hertz, from the definition of the scale and not from the code under test."""
    top = 2595 * np.log10(1 + 4000 / 700)
    return float(700 * (10 ** ((band + 1) * top / (N_MELS + 1) / 2595) - 1))


@pytest.mark.parametrize("band", [20, 35, 50, 60])
def test_a_pure_tone_lights_its_band(band: int) -> None:
    spectrogram = log_mel(tone(centre_of_band(band)))
    assert spectrogram.shape == (1, N_MELS, N_FRAMES)
    assert abs(int(spectrogram[0].mean(dim=1).argmax()) - band) <= 1


def test_the_filterbank_is_triangles() -> None:
    bank = mel_filterbank()
    assert bank.shape == (N_MELS, N_FFT // 2 + 1)
    assert bool((bank >= 0).all())
    assert float(bank.max()) <= 1
    assert bool((bank.sum(dim=1) > 0.3).all())  # no band falls between the bins
    fine = mel_filterbank(n_fft=1 << 14)  # fine enough to see each peak
    assert fine.amax(dim=1).min() > 0.95
    peaks = fine.argmax(dim=1) * SAMPLE_RATE / (1 << 14)
    assert peaks.tolist() == pytest.approx([centre_of_band(b) for b in range(N_MELS)], abs=0.5)


def test_the_filterbank_is_a_partition() -> None:
    frequency = torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    inside = (frequency >= centre_of_band(0)) & (frequency <= centre_of_band(N_MELS - 1))
    assert int(inside.sum()) > 100
    assert mel_filterbank().sum(dim=0)[inside].tolist() == pytest.approx([1.0] * int(inside.sum()), abs=1e-5)


def test_it_is_the_transform_written_out() -> None:
    samples = torch.randn(HOP * (N_FRAMES - 1), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    padded = np.pad(samples.numpy(), N_FFT // 2)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    frames = np.stack([padded[i * HOP : i * HOP + N_FFT] * window for i in range(N_FRAMES)], axis=1)
    power = np.abs(np.fft.rfft(frames, axis=0)) ** 2
    expected = np.log(mel_filterbank().double().numpy() @ power + FLOOR)
    assert np.abs(log_mel(samples.float())[0].numpy() - expected).max() < 1e-3


@pytest.mark.parametrize("extra", [200, 201])
def test_cropping_keeps_the_middle(extra: int) -> None:
    middle = torch.randn(HOP * (N_FRAMES - 1), generator=torch.Generator().manual_seed(0))
    longer = torch.nn.functional.pad(middle, (extra // 2, extra // 2 + extra % 2))
    assert torch.equal(log_mel(longer), log_mel(middle))


def test_padding_keeps_the_middle_and_is_silent() -> None:
    short = log_mel(tone(1000, 0.1))[0]
    loud = torch.nonzero(short.mean(dim=0) > short.mean()).float()
    assert 0.45 < float(loud.mean()) / N_FRAMES < 0.55
    assert short[:, :10].flatten().tolist() == pytest.approx([np.log(FLOOR)] * 10 * N_MELS)
    assert log_mel(torch.zeros(0)).shape == (1, N_MELS, N_FRAMES)


def test_the_waveform_is_left_alone() -> None:
    samples = tone(500)
    before = samples.clone()
    log_mel(samples)
    assert torch.equal(samples, before)


@pytest.mark.parametrize("waveform", [torch.zeros(1, 4000), torch.tensor([0.0, float("nan")]), torch.tensor([np.inf])])
def test_what_is_no_waveform(waveform: torch.Tensor) -> None:
    with pytest.raises(NmfdiagError, match=r"A waveform must be finite samples of shape \(n,\)"):
        log_mel(waveform)
