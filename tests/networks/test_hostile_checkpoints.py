"""Checkpoints as an attacker would write them are refused, and run nothing."""

import collections
import json
import os
import pickle
import shutil
import struct
import sys
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints import read, read_pickle_child
from nmfdiag.networks.checkpoints.read import read_state_dict

STATE = {"conv.weight": torch.zeros(2, 3), "fc.bias": torch.ones(2)}


class Calls:
    """Unpickles into what a function returns, and so calls it."""

    def __init__(self, function: Any, *args: Any):
        self.reduced = (function, args)

    def __reduce__(self) -> Any:
        return self.reduced


@pytest.mark.usefixtures("in_a_child")
def test_a_real_child_reads_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a file that would touch another, in a folder whose ``torch.py`` a careless child would import."""
    (tmp_path / "torch.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    touched = tmp_path / "touched"
    trap = Calls(shutil.copyfile, str(tmp_path / "torch.py"), str(touched))
    pickle.loads(pickle.dumps(trap))
    assert touched.exists()  # the trap is one
    touched.unlink()
    torch.save({"state_dict": STATE, "x": trap}, tmp_path / "w.pth")
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    assert read_state_dict(Path("w.pth")).keys() == STATE.keys()
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.soak
@pytest.mark.usefixtures("in_a_child")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems enforce no limit on memory")
def test_memory_is_limited(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "x": Calls(bytearray, 6 * 2**30)}, tmp_path / "w.pth")
    with pytest.raises(NmfdiagError, match="they ask for more memory than a file of this size can need"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.usefixtures("in_a_child")
def test_time_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    monkeypatch.setattr(read, "SECONDS", 0.01)
    with pytest.raises(NmfdiagError, match="reading them took more than 0 seconds"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.usefixtures("in_a_child")
def test_a_child_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    monkeypatch.setattr(read, "READER", "nowhere")
    with pytest.raises(NmfdiagError, match=r"w\.pth can't be read: the process that reads them ended with 1"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("place", ["in a zip file", "legacy", "alone"])
@pytest.mark.parametrize("call", ["touch", "copy", "system", "eval", "import"])
def test_no_pickle_runs_code(tmp_path: Path, place: str, call: str) -> None:
    touched = tmp_path / "touched"
    trap = {
        "touch": Calls(Path.touch, touched),
        "copy": Calls(shutil.copyfile, sys.executable, str(touched)),
        "system": Calls(os.system, f"touch {touched}"),
        "eval": Calls(eval, f"open({str(touched)!r}, 'w')"),
        "import": Calls(__import__, "antigravity"),
    }[call]
    if place == "alone":
        (tmp_path / "w.pth").write_bytes(pickle.dumps(trap, protocol=2))
    else:
        torch.save({"w": trap}, tmp_path / "w.pth", _use_new_zipfile_serialization=place != "legacy")
    with pytest.raises(NmfdiagError, match=r"The weights w\.pth (can't be read|are not a state dict)"):
        read_state_dict(tmp_path / "w.pth")
    assert not touched.exists() and "antigravity" not in sys.modules


def lying_storage() -> Calls:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        storage = torch.zeros(4).storage()
    return Calls(torch._utils._rebuild_tensor_v2, storage, 0, (10**13,), (1,), False, OrderedDict())


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning", "ignore:Validating sparse:UserWarning")
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"w": torch.zeros(1).expand(10**10)}, "unpack to tensors of 40,000,000,000 bytes, accepted are 8,589,934,592"),
        ({"w": lying_storage()}, "can't be read: they ask for more memory"),
        ({"w": torch.zeros(2).to_sparse()}, "have a tensor 'w' that is quantised, sparse, complex or without values"),
        (
            {"w": torch.zeros(2, device="meta")},
            "have a tensor 'w' that is quantised, sparse, complex or without values",
        ),
        ({"w": torch.zeros(2, dtype=torch.complex64)}, "have a tensor 'w' that is quantised"),
        ({"w": torch.zeros((1,) * 9)}, "have more than 8 dimensions in the tensor 'w'"),
        ({}, "are not a state dict"),
        ([1, 2], "are not a state dict"),
        (torch.zeros(2), "are not a state dict"),
        ({"a": {"b": {"c": {"d": {"e": {"f": torch.zeros(1)}}}}}}, "are not a state dict"),
        ({"net_g": STATE, "net_d": STATE}, r"hold 2 sets of tensors \('net_g', 'net_d'\), none under a usual name"),
        (nn.Linear(2, 2), r"can't be read: they are a whole pickled object \(torch\.nn\.modules\.linear\.Linear\)"),
        ({"model": nn.Linear(2, 2), "epoch": 1}, r"a whole pickled object .*torch\.save\(model\.state_dict\(\)"),
    ],
)
def test_contents_that_are_none(tmp_path: Path, value: Any, message: str) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(NmfdiagError, match=rf"The weights w\.pth .*({message})"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.usefixtures("in_this_process")
def test_too_many_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "MAX_TENSORS", 1)
    shared = torch.zeros(1)
    torch.save({"a": shared, "b": shared}, tmp_path / "w.pth")
    with pytest.raises(NmfdiagError, match=r"are an archive of [6-9] entries, accepted are 2"):
        read_state_dict(tmp_path / "w.pth")
    torch.save({"a": shared, "b": shared}, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(NmfdiagError, match="have 2 tensors, accepted are 1"):
        read_state_dict(tmp_path / "w.pth")
    save_file(STATE, tmp_path / "w.safetensors")
    with pytest.raises(NmfdiagError, match="have 2 tensors, accepted are 1"):
        read_state_dict(tmp_path / "w.safetensors")


def zipped(path: Path, entries: dict[str, bytes], *, compressed: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def exported(path: Path) -> None:
    zipped(path, {"x/archive_format": b"pt2", "x/models/model.json": b"{}"})


def overlapping(path: Path) -> None:
    """Two names in the directory for one entry of the file."""
    zipped(path, {"x/data.pkl": b"N." * 500, "x/data/0": b"0" * 500})
    content = bytearray(path.read_bytes())
    second = content.rfind(b"PK\1\2")
    content[second + 20 : second + 28] = struct.pack("<2I", 1_000_000, 1_000_000)
    path.write_bytes(content)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: torch.jit.save(torch.jit.script(nn.Linear(2, 2)), p), "are a TorchScript archive, which holds code"),
        (exported, r"are an exported program \(\.pt2\), .*--exported FILE --trust"),
        (lambda p: np.savez(p.open("wb"), x=np.zeros(2)), "are an archive of NumPy arrays"),
        (lambda p: zipped(p, {"a.txt": b"x"}), "are a zip file, but not a checkpoint .* no data.pkl"),
        (lambda p: zipped(p, {"x/data.pkl": b"\0" * 10**7}, compressed=True), "entries unpack to 10,000,000"),
        (overlapping, "whose entries unpack to 1,00"),
        (lambda p: zipped(p, {"x/data.pkl": b"\x80\x02}q\0."}), "can't be read|are not a state dict"),
        (lambda p: p.write_bytes(b"\x80\x02nonsense"), "can't be read"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "can't be read"),
        (lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1"), "can't be read"),
        (lambda p: p.write_bytes(b"\x80"), "can't be read: they end too early"),
        (lambda p: p.write_bytes(b""), "have 0 bytes, accepted are 1 to"),
    ],
)
def test_files_that_are_none(tmp_path: Path, write: Any, message: str) -> None:
    write(tmp_path / "w.pth")
    with pytest.raises(NmfdiagError, match=rf"The weights w\.pth .*({message})"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_is_cut_anywhere(tmp_path: Path, zipped: bool) -> None:
    torch.save(STATE, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    content = (tmp_path / "w.pth").read_bytes()
    for length in range(1, len(content) - 1, 37):
        (tmp_path / "w.pth").write_bytes(content[:length])
        with pytest.raises(NmfdiagError, match=r"The weights w\.pth can't be read"):
            read_state_dict(tmp_path / "w.pth")


def test_paths_that_are_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NmfdiagError, match="is a folder: give the file of weights inside it"):
        read_state_dict(tmp_path)
    (tmp_path / "dangling.pth").symlink_to(tmp_path / "gone.pth")
    for name in ("nowhere.pth", "dangling.pth", "/dev/zero"):
        with pytest.raises(NmfdiagError, match=r"There is no weights file .*accepted are a \.safetensors file, or"):
            read_state_dict(tmp_path / name)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.pth")
        with pytest.raises(NmfdiagError, match="There is no weights file"):
            read_state_dict(tmp_path / "pipe.pth")
    with (tmp_path / "large.pth").open("wb") as file:
        file.truncate(read.MAX_WEIGHT_BYTES + 1)
    with pytest.raises(NmfdiagError, match="have 8,589,934,593 bytes, accepted are 1 to 8,589,934,592"):
        read_state_dict(tmp_path / "large.pth")


def header(entries: dict[str, Any], data: bytes = bytes(16), length: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[int], start: int, stop: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "can't be read: their header claims"),
        (header({"a": entry([4], 0, 16)}, length=2**62), "their header claims 4,611,686,018,427,387,904 bytes"),
        (header({"a": entry([4], 0, 16)}, length=0), "can't be read"),
        (header({"a": entry([4], 0, 16)}, length=10), "can't be read"),
        (header({"a": entry([4], -16, 0)}), "can't be read"),
        (header({"a": entry([4], 16, 0)}), "can't be read"),
        (header({"a": entry([2], 0, 8), "b": entry([3], 4, 16)}), "can't be read"),
        (header({"a": entry([4], 0, 16), "b": entry([4], 0, 16)}), "can't be read"),
        (header({"a": entry([2], 0, 8)}), "can't be read"),
        (header({"a": entry([4], 0, 10**12)}), "can't be read"),
        (header({"a": entry([2**63], 0, 16)}), "can't be read"),
        (header({"a": entry([2**32, 2**32], 0, 16)}), "can't be read"),
        (header({"a": entry([4], 0, 16)}, bytes(15)), "can't be read"),
        (header({"a": entry([4], 0, 16, "F33")}), "can't be read"),
        (header({"a": entry([4] + [1] * 20, 0, 16)}), "have more than 8 dimensions"),
        (header({"a": [[]]}), "can't be read"),
        (header({}, b""), "hold no tensors"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "can't be read"),
        (struct.pack("<Q", 100 * 2**20) + b"{" + b" " * (100 * 2**20), "header claims 104,857,600 bytes .* 16,777,216"),
    ],
    ids=range(19),
)
def test_safetensors_that_lie(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(NmfdiagError, match=rf"The weights w\.safetensors .*{message}"):
        read_state_dict(tmp_path / "w.safetensors")


def test_names_in_sentences_are_short(tmp_path: Path) -> None:
    save_file(
        {f"module.{'x' * 5000}\n<b>": torch.zeros(1), f"{'x' * 5000}\n<b>": torch.ones(1)}, tmp_path / "w.safetensors"
    )
    with pytest.raises(NmfdiagError) as caught:
        read_state_dict(tmp_path / "w.safetensors")
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_stand_ins_keep_nothing() -> None:
    stand_in = read_pickle_child._stand_in("somewhere.Thing")(1, 2)
    stand_in.__setstate__({"x": 1})
    assert type(stand_in).__name__ == "somewhere.Thing" and not hasattr(stand_in, "__dict__")
    assert isinstance(read_pickle_child._stand_in("collections.defaultdict")(list), collections.OrderedDict)
