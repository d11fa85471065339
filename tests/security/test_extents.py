"""A size claimed by a foreign file is compared with the file before anything of that size is allocated or repeated."""

import gzip
import io
import json
import pickle
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from safetensors.torch import save_file

from nmfdiag.data import audio, files
from nmfdiag.data.audio import read_wav
from nmfdiag.data.datasets import read_idx
from nmfdiag.data.files import decode_image
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.read import read_state_dict
from nmfdiag.networks.checkpoints.read_pickle_child import read_pickled
from nmfdiag.networks.checkpoints.sizes import options_in
from nmfdiag.zoo.files import ENTRY_FILE
from nmfdiag.zoo.registry import broken, lookup, refresh

STATE = {"weight": torch.arange(12.0).reshape(3, 4), "bias": torch.ones(3)}


def test_an_idx_file_is_read_in_pieces(tmp_path: Path) -> None:
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01\0\0\0\x04abcd"))
    tracemalloc.start()
    try:
        assert read_idx(path).tolist() == [97, 98, 99, 100] and read_idx(path).flags.writeable
        assert tracemalloc.get_traced_memory()[1] < 2**21
    finally:
        tracemalloc.stop()
    for content in (b"\0\0\x08\x01\x0f\xff\xff\xffabcd", b"\0\0\x08\x01\0\0\0\x03abcd", b"\0\0\x08\x01\0", b"\0\0\x08\x05" + b"\0\0\0\1" * 5 + b"a", b"\0\0\x08\x01\xff\xff\xff\xff"):  # fmt: skip
        path.write_bytes(gzip.compress(content))
        with pytest.raises(NmfdiagError, match=r"is not an IDX file|unpacks to"):
            read_idx(path)


def write_without_values(path: Path) -> None:
    """Write the format before PyTorch 1.6, with an empty list of storages and none of their values."""
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    keys = pickle.dumps([], 2)
    marks = [i for i in range(len(content)) if content.startswith(b"\x80\x02]q", i)]  # starts of the list of storages
    path.write_bytes(content[: marks[-1]] + keys)


def write_changed(path: Path, changed: bytes | None) -> None:
    """Write the current format with other bytes in place of one storage, or without it."""
    torch.save(STATE, path)
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            if not name.endswith("/data/0") or changed is not None:
                archive.writestr(name, changed if name.endswith("/data/0") and changed is not None else content)


@pytest.mark.parametrize("kind", ["earlier format", "missing", "short"])
def test_missing_values_are_not_invented(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "weights.pth"
    if kind == "earlier format":
        write_without_values(path)
    else:
        write_changed(path, None if kind == "missing" else b"\0" * 4)
    with pytest.raises(NmfdiagError, match="refer to values that the file does not hold"):
        read_pickled(path, 1000)


def test_either_format_is_still_read(tmp_path: Path) -> None:
    for zipped in (True, False):
        torch.save({"state_dict": STATE, "epoch": 3}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
        state = read_pickled(tmp_path / "w.pth", 1000)["state_dict"]
        assert all(torch.equal(state[name], value) for name, value in STATE.items())


def test_unusable_types_are_named(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(4, 4, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)}, tmp_path / "w.safetensors")
    with pytest.raises(NmfdiagError, match="a tensor 'w' of type F4: accepted are F64, F32"):
        read_state_dict(tmp_path / "w.safetensors")


@pytest.mark.parametrize("arch", ["mlp", "resnet", "cnn", "vit_b_16"])
def test_sides_of_empty_tensors_are_ignored(arch: str) -> None:
    names = ("fc1.linear.weight", "conv1.conv.weight", "conv1_1.conv.weight", "encoder.pos_embedding")
    for shape in ((10**9, 0), (1, 10**9, 0), (10**9, 0, 3, 3)):
        options = options_in(arch, {name: torch.zeros(shape) for name in names}, 3)
        assert all(value < 1000 for value in options.values())


LIES: dict[str, dict[str, Any]] = {
    "an accuracy": {"train_accuracy": 1e308},
    "another accuracy": {"test_accuracy_by_class": [0.5, -1e300]},
    "a noise": {"recipe": {"label_noise": -1e300}},
    "a deviation": {"std": [1e300]},
    "a log": {"log": [{"epoch": 1, "train_loss": 1e308}]},
    "a count": {"n_parameters": -5},
    "a width": {"layers": {"fc1": -1}},
    "a name": {"recipe": {"dataset": "[a](https://evil.example)"}},
}


@pytest.fixture
def write_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a copy of a shipped network into the user's zoo, with other fields in its entry."""
    entry = lookup("digits-mlp-p0-s0")
    for part, path in entry.files.items():
        place = tmp_path / ("pools" if part == "pool" else "liar") / path.name
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(path.read_bytes())
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path))

    def write(fields: dict[str, Any]) -> None:
        record = json.loads((entry.folder / ENTRY_FILE).read_text()) | {"called": "liar"}
        merged = record | fields | {"recipe": record["recipe"] | fields.get("recipe", {})}
        (tmp_path / "liar" / ENTRY_FILE).write_text(json.dumps(merged))
        refresh()

    yield write
    monkeypatch.undo()
    refresh()


@pytest.mark.parametrize("description", LIES)
def test_absurd_numbers_are_named(write_entry: Any, description: str) -> None:
    write_entry(LIES[description])
    assert len(broken()) == 1 and "The zoo entry liar can't be read" in broken()[0]
    assert lookup("digits-mlp-p0-s0").name  # the other networks are still listed


@pytest.mark.parametrize("options", [{"depth": 200_000}, {"width": 20_000}, {"depth": -1}])
def test_sizes_are_compared_with_the_file_before_anything_is_built(
    write_entry: Any, options: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_entry({"recipe": {"arch_options": options}})
    monkeypatch.setattr("nmfdiag.networks.architectures.build", lambda *_, **__: pytest.fail("it was built"))
    with pytest.raises(NmfdiagError, match="don't fit architecture 'mlp': nothing in the file is of the size"):
        lookup("liar").load_model()


def test_a_network_is_loaded_as_before(write_entry: Any) -> None:
    write_entry({})
    model, entry = lookup("liar").load_model(), lookup("liar")
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())) and not model.training
    right = model(entry.load_pool().inputs).argmax(1) == entry.load_pool().given_labels
    assert float(right.float().mean()) == pytest.approx(entry.pool_accuracy)


def wav(path: Path, **options: Any) -> Path:
    soundfile.write(path, np.zeros(options.pop("n", 400)), options.pop("rate", 8000), **options)
    return path


def test_whatever_decoding_raises_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = wav(tmp_path / "a.wav")

    def fails(*_: Any, **__: Any) -> None:
        raise AssertionError("<_io.BytesIO object at 0x7f00> is new")

    with monkeypatch.context() as patch:
        patch.setattr(soundfile.SoundFile, "read", fails)
        with pytest.raises(NmfdiagError, match=r"a\.wav can't be decoded: <_io\.BytesIO object> is new"):
            read_wav("a.wav", path)
    for content in (b"no sound", b"RIFF"):
        with pytest.raises(NmfdiagError) as raised:
            read_wav("b.wav", io.BytesIO(content))
        assert "0x" not in str(raised.value)
    with pytest.raises(NmfdiagError, match="expected PNG, JPEG, BMP, WEBP"):
        decode_image("a.png", b"no image")


def test_sounds_in_packings_of_telephones_are_read_or_refused(tmp_path: Path) -> None:
    for subtype in ("GSM610", "IMA_ADPCM", "MS_ADPCM", "ULAW"):
        try:
            samples, rate = read_wav("a.wav", wav(tmp_path / f"{subtype}.wav", subtype=subtype))
            assert rate == 8000 and len(samples) >= 400
        except NmfdiagError as error:
            assert "a.wav" in str(error)


def test_recordings_are_bounded_each_and_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "MAX_SECONDS", 1)
    with pytest.raises(NmfdiagError, match="and 1 seconds"):
        read_wav("long.wav", wav(tmp_path / "long.wav", n=8001))
    monkeypatch.setattr(audio, "MAX_AUDIO_WORK", 1000)
    folder = tmp_path / "recordings"
    folder.mkdir()
    for i in range(3):
        wav(folder / f"{i}_a_9.wav")
    with pytest.raises(NmfdiagError, match="too long, or their rates too odd"):
        audio.load_spoken_digits(tmp_path, "train")


def test_the_work_of_decoding_an_image_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "JPEG", progressive=True)
    assert decode_image("a.jpg", content.getvalue()).size == (64, 64)
    monkeypatch.setattr(files, "MAX_IMAGE_WORK", 2 * 64 * 64)
    with pytest.raises(NmfdiagError, match=r"4,096 pixels in \d+ scans, accepted are 8,192 together"):
        decode_image("a.jpg", content.getvalue())
