"""Read spoken digits from wav files as log-mel spectrograms of one fixed size."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from nmfdiag.data.file_kinds import open_zip
from nmfdiag.data.files import walk
from nmfdiag.data.untrusted import ZIP_ERRORS
from nmfdiag.errors import NmfdiagError

SAMPLE_RATE = 8000
N_FFT, HOP, N_MELS, N_FRAMES = 256, 64, 64, 64
RECORDING = re.compile(r"(?:^|/)(\d)_([A-Za-z]+)_(\d+)\.wav$")
TEST_RECORDINGS = 5
RATES = (1_000, 384_000)
MAX_VALUES, MAX_SECONDS = 2**25, 120
"""Largest number of samples times channels (4 s of 16 channels at the highest rate), and longest recording."""
MAX_AUDIO_WORK = 2**33
"""Largest number of values in the recordings of a data set, and of steps to resample them: a few minutes of work."""
MAX_WAV_BYTES = 8 * MAX_VALUES
WAV_FORMATS = ("WAV", "WAVEX", "RF64")  # libsndfile ignores the name and would try two dozen more


def mel_filterbank(n_mels: int = N_MELS, n_fft: int = N_FFT, sample_rate: int = SAMPLE_RATE) -> Tensor:
    """Return triangles equally spaced on the mel scale (HTK: ``2595 log10(1 + f/700)``), peak 1; (n_mels, n_fft // 2 + 1)."""
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, n_mels + 2) / 2595) - 1)
    frequency = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    rising = (frequency - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequency) / np.diff(edges)[1:, None]
    return torch.from_numpy(np.clip(np.minimum(rising, falling), 0, None).astype(np.float32))


def log_mel(
    waveform: Tensor, *, sample_rate: int = SAMPLE_RATE, n_fft: int = N_FFT, hop: int = HOP, n_frames: int = N_FRAMES
) -> Tensor:
    """Return the log-mel spectrogram (1, 64 bands, frames) of a mono waveform (samples,), centre-cropped or zero-padded."""
    n_samples = hop * (n_frames - 1)
    spare = n_samples - len(waveform)
    if spare >= 0:
        waveform = torch.nn.functional.pad(waveform, (spare // 2, spare - spare // 2))
    else:
        waveform = waveform[-spare // 2 :][:n_samples]
    window = torch.hann_window(n_fft)
    power = torch.stft(waveform, n_fft, hop, window=window, pad_mode="constant", return_complex=True).abs().square()
    return torch.log(mel_filterbank(n_fft=n_fft, sample_rate=sample_rate) @ power + 1e-6)[None]


def load_spoken_digits(root: Path, split: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Read ``{digit}_{speaker}_{index}.wav`` from a folder or zip; indices 0-4 of each speaker and digit are the test split.

    Raises:
        NmfdiagError: If there are no such recordings, or one can't be decoded.
    """
    recordings = sorted(_recordings(root).items())
    inputs, labels, work = [], [], 0
    for name, read in recordings:
        match = RECORDING.search(name)
        if match and (int(match[3]) < TEST_RECORDINGS) == (split == "test"):
            waveform = _decode(name, read)
            work = check_work(work + len(waveform), root)
            inputs.append(log_mel(waveform))
            labels.append(int(match[1]))
    if not inputs:
        raise NmfdiagError(f"No recordings DIGIT_SPEAKER_INDEX.wav in {root}: put fsdd_wav.zip or recordings/ there.")
    return torch.stack(inputs).numpy(), np.asarray(labels), tuple(str(d) for d in range(10))


def check_work(work: int, root: Path) -> int:
    """Return the work that reading a data set has taken so far.

    Raises:
        NmfdiagError: If it is too much.
    """
    if work > MAX_AUDIO_WORK:
        raise NmfdiagError(f"The recordings in {root} are too long, or their rates too odd, to read them all.")
    return work


def read_wav(name: str, source: Path | BinaryIO) -> tuple[np.ndarray, int]:
    """Decode a wav file of any sample format and number of channels, if its header does not promise too much.

    Returns:
        Samples (n,) mono, and their number per second.

    Raises:
        NmfdiagError: If it is not a wav file, damaged, truncated or too long.
    """
    import soundfile

    try:
        with soundfile.SoundFile(source) as file:
            rate, length, values = file.samplerate, file.frames, file.frames * file.channels
            if file.format not in WAV_FORMATS:
                raise NmfdiagError(f"{name} can't be decoded: it is not a wav file, but {file.format}.")
            fits = 0 < values <= MAX_VALUES and length <= MAX_SECONDS * rate
            if not RATES[0] <= rate <= RATES[1] or not fits:
                raise NmfdiagError(
                    f"{name} has {length:,} samples of {file.channels} channels at {rate:,} a second; accepted are 1 to "
                    f"{MAX_VALUES:,} values at {RATES[0]:,} to {RATES[1]:,} a second, and {MAX_SECONDS} seconds."
                )
            samples = file.read(dtype="float32", always_2d=True)
    except NmfdiagError:
        raise
    except Exception as error:  # a damaged or hostile file may raise anything, but runs no code
        reason = getattr(error, "error_string", "") or str(error) or type(error).__name__
        raise NmfdiagError(f"{name} can't be decoded: {reason}") from None
    if len(samples) < length or not np.isfinite(samples).all():
        raise NmfdiagError(f"{name} is truncated, or holds values that are not finite.")
    return samples.mean(axis=1), rate


def _recordings(root: Path) -> dict[str, Callable[[], BinaryIO]]:
    archive = root / "fsdd_wav.zip"
    if archive.is_file():
        opened = open_zip(archive)
        large = next((i for i in opened.infolist() if i.file_size > MAX_WAV_BYTES), None)
        if large is not None:
            raise NmfdiagError(f"{archive.name}: {large.filename} expands to more than {MAX_WAV_BYTES >> 20} MiB.")
        names = (name for name in opened.namelist() if RECORDING.search(name))
        return {name: lambda name=name: io.BytesIO(opened.read(name)) for name in names}  # type: ignore[misc]
    folder = root / "recordings"
    paths = (Path(entry.path) for entry in (walk(folder, 1) if folder.is_dir() else ()) if entry.is_file())
    return {path.name: lambda path=path: path.open("rb") for path in paths}  # type: ignore[misc]


def _decode(name: str, read: Callable[[], BinaryIO]) -> Tensor:
    title = Path(name).name
    try:
        with read() as source:
            samples, rate = read_wav(title, source)
    except NmfdiagError:
        raise
    except ZIP_ERRORS as error:
        raise NmfdiagError(f"{title} can't be read: {error}") from None
    if rate != SAMPLE_RATE:
        raise NmfdiagError(f"{title} has {rate} samples a second, {SAMPLE_RATE} are accepted.")
    return torch.from_numpy(samples)
