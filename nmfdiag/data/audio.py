"""The audio front end: a waveform becomes a log-mel spectrogram of one fixed size.

Settings: 8 kHz, Hann windows of 256 samples (32 ms) every 64 (8 ms), 64 mel bands up to 4 kHz, 64 frames (0.5 s).
"""

import numpy as np
import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError

SAMPLE_RATE = 8000
N_FFT, HOP, N_MELS, N_FRAMES = 256, 64, 64, 64
FLOOR = 1e-6  # power under which a band counts as silent


def mel(hertz: np.ndarray | float) -> np.ndarray:
    """Return HTK's mel scale: ``2595 log10(1 + hertz / 700)``."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def hertz(mel: np.ndarray | float) -> np.ndarray:
    """Return the frequency at a place on HTK's mel scale: ``700 (10 ** (mel / 2595) - 1)``."""
    return 700 * (10 ** (np.asarray(mel) / 2595) - 1)


def mel_filterbank(n_mels: int = N_MELS, n_fft: int = N_FFT, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Triangles of peak 1, equally spaced on the mel scale from 0 to half the sample rate.

    Each rises from its left neighbour's centre to its own and falls to its right neighbour's, so that between the first
    and the last centre they sum to 1 at every frequency.

    Args:
        n_mels: Number of bands.
        n_fft: Length of the transform, in samples.
        sample_rate: Samples a second.

    Returns:
        Weights (n_mels, n_fft // 2 + 1).

    References:
        S. Young et al., The HTK Book, section 5.4.
    """
    edges = hertz(np.linspace(0, mel(sample_rate / 2), n_mels + 2))
    frequency = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    rising = (frequency - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequency) / np.diff(edges)[1:, None]
    return torch.from_numpy(np.clip(np.minimum(rising, falling), 0, None).astype(np.float32))


def log_mel(waveform: Tensor) -> Tensor:
    """Compute ``log(M |STFT|^2 + 1e-6)``, ``M`` the filterbank; the middle half second, padded with silence if shorter.

    Args:
        waveform: Mono samples (n,) at 8 kHz, in [-1, 1].

    Returns:
        Spectrogram (1, 64 bands, 64 frames) float32, low frequencies first.

    Raises:
        NmfdiagError: If the waveform has another shape, or holds NaN or infinities.
    """
    if waveform.ndim != 1 or not bool(torch.isfinite(waveform).all()):
        raise NmfdiagError(f"A waveform must be finite samples of shape (n,), got {tuple(waveform.shape)}.")
    wanted = HOP * (N_FRAMES - 1)  # centred windows: one frame more than hops
    spare = wanted - len(waveform)
    if spare >= 0:
        waveform = torch.nn.functional.pad(waveform, (spare // 2, spare - spare // 2))
    else:
        waveform = waveform[-spare // 2 :][:wanted]
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(waveform.float(), N_FFT, HOP, window=window, pad_mode="constant", return_complex=True)
    power = spectrum.abs().square()  # (n_fft // 2 + 1, frames)
    return torch.log(mel_filterbank() @ power + FLOOR)[None]
