"""Spoken digits from wav files, as log-mel spectrograms of one fixed size."""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nmfdiag.data.files import ZIP_ERRORS
from nmfdiag.errors import NmfdiagError

SAMPLE_RATE = 8000
N_FFT, HOP, N_MELS, N_FRAMES = 256, 64, 64, 64
RECORDING = re.compile(r"(?:^|/)(\d)_([A-Za-z]+)_(\d+)\.wav$")
TEST_RECORDINGS = 5


def mel_filterbank(n_mels: int = N_MELS, n_fft: int = N_FFT, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Triangles equally spaced on the mel scale (HTK: ``2595 log10(1 + f/700)``), peak 1; (n_mels, n_fft // 2 + 1)."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, n_mels + 2) / 2595) - 1)
    frequency = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    rising = (frequency - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequency) / np.diff(edges)[1:, None]
    return torch.from_numpy(np.clip(np.minimum(rising, falling), 0, None).astype(np.float32))


def log_mel(
    waveform: Tensor, *, sample_rate: int = SAMPLE_RATE, n_fft: int = N_FFT, hop: int = HOP, n_frames: int = N_FRAMES
) -> Tensor:
    """Log-mel spectrogram of a mono waveform (samples,): (1, 64 bands, frames), its middle cropped or padded with zeros."""
    wanted = hop * (n_frames - 1)
    spare = wanted - len(waveform)
    if spare >= 0:
        waveform = torch.nn.functional.pad(waveform, (spare // 2, spare - spare // 2))
    else:
        waveform = waveform[-spare // 2 :][:wanted]
    window = torch.hann_window(n_fft)
    power = torch.stft(waveform, n_fft, hop, window=window, pad_mode="constant", return_complex=True).abs().square()
    return torch.log(mel_filterbank(n_fft=n_fft, sample_rate=sample_rate) @ power + 1e-6)[None]


def load_spoken_digits(root: Path, split: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read ``{digit}_{speaker}_{index}.wav`` from a folder or zip; 0-4 of each speaker and digit are the test.

    Raises:
        NmfdiagError: If there are no such recordings, or one can't be decoded.
    """
    recordings = sorted(_recordings(root).items())
    inputs, labels = [], []
    for name, content in recordings:
        match = RECORDING.search(name)
        if match and (int(match[3]) < TEST_RECORDINGS) == (split == "test"):
            inputs.append(log_mel(_decode(name, content)))
            labels.append(int(match[1]))
    if not inputs:
        raise NmfdiagError(f"No recordings DIGIT_SPEAKER_INDEX.wav in {root}: put fsdd_wav.zip or recordings/ there.")
    return torch.stack(inputs).numpy(), np.asarray(labels), tuple(str(d) for d in range(10))


def _recordings(root: Path) -> dict[str, bytes]:
    archive = root / "fsdd_wav.zip"
    if archive.is_file():
        try:
            with zipfile.ZipFile(archive) as opened:
                return {name: opened.read(name) for name in opened.namelist() if RECORDING.search(name)}
        except ZIP_ERRORS as error:
            raise NmfdiagError(f"{archive.name} is no readable zip: {error}") from None
    return {path.name: path.read_bytes() for path in (root / "recordings").glob("*.wav")}


def _decode(name: str, content: bytes) -> Tensor:
    import soundfile

    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise NmfdiagError(f"{Path(name).name} can't be decoded: {error}") from None
    if rate != SAMPLE_RATE:
        raise NmfdiagError(f"{Path(name).name} has {rate} samples a second, {SAMPLE_RATE} are accepted.")
    return torch.from_numpy(samples.mean(axis=1))
