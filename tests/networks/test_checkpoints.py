"""Checkpoints as others write them are read; as an attacker would write them they are refused, and run nothing."""

import argparse
import collections
import json
import os
import pickle
import shutil
import struct
import sys
import warnings
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from unpickled import read_here, read_in_child

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints import read, read_pickle_child
from nmfdiag.networks.checkpoints.read import read_state_dict

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.tensor([1.0, -2.0])}


def same(got: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return list(sorted(got)) == list(sorted(wanted)) and all(torch.equal(got[k], wanted[k]) for k in wanted)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the seconds that a child process takes to start; without its limit on memory."""
    read_here(monkeypatch)


@pytest.fixture
def in_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in earnest."""
    read_in_child(monkeypatch)


class Calls:
    """Unpickles into what a function returns, and so calls it."""

    def __init__(self, function: Any, *args: Any):
        self.reduced = (function, args)

    def __reduce__(self) -> Any:
        return self.reduced


class Options(argparse.Namespace):
    """A class that is not importable where the checkpoint is read."""


# ---------------------------------------------------------------- as others write them


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in STATE.items()}


CONTENTS: dict[str, Any] = {
    "plain": STATE,
    "ordered": OrderedDict(STATE),
    "state_dict": {"state_dict": STATE, "epoch": 3, "best": torch.tensor(0.5)},
    "model": {"model": STATE, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}},
    "model_state_dict": {"model_state_dict": STATE, "loss": 0.1},
    "inside one another": {"model": {"state_dict": STATE}, "best": torch.tensor(0.5)},
    "a config under a usual name": {"model": {"name": "resnet18"}, "weights": STATE},
    "ema beside": {"state_dict_ema": prefixed("x."), "state_dict": STATE},
    "a name of its own": {"generator": STATE, "epoch": 3},
    "DataParallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "compiled DataParallel": prefixed("module._orig_mod."),
    "DataParallel compiled": prefixed("_orig_mod.module."),
    "a compiled part": {"conv._orig_mod.weight": STATE["conv.weight"], "fc.bias": STATE["fc.bias"]},
    "averaged": prefixed("module.") | {"n_averaged": torch.tensor(7)},
    "profiled": STATE | {"total_ops": torch.zeros(1), "conv.total_params": torch.zeros(1)},
    "Lightning": {
        "pytorch-lightning_version": "2.5.1",
        "state_dict": prefixed("model."),
        "hyper_parameters": {"lr": 0.1},
    },
    "Lightning, compiled": {"pytorch-lightning_version": "2.5.1", "state_dict": prefixed("net._orig_mod.")},
    "parameters": nn.ParameterDict({"w": nn.Parameter(torch.ones(2))}).state_dict(),
    "half": {name: value.bfloat16() for name, value in STATE.items()},
    "tied": {"a": STATE["conv.weight"], "b": STATE["conv.weight"], "c": STATE["conv.weight"][:1]},
    "strided": {"t": STATE["conv.weight"].t(), "expanded": torch.ones(1).expand(5)},
    "options": {"args": Options(lr=0.1, kind=Path("x")), "state_dict": STATE, "best": np.float64(0.5)},
    "a default dict": {"state_dict": STATE, "log": defaultdict(list, {"loss": [1.0]})},
    "an enumeration": {"state_dict": STATE, "kind": argparse.FileType("r")},
}
WANTED: dict[str, dict[str, Tensor]] = {
    "parameters": {"w": torch.ones(2)},
    **{name: CONTENTS[name] for name in ("half", "tied", "strided")},
}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("case", CONTENTS)
def test_what_training_scripts_write(tmp_path: Path, case: str, zipped: bool) -> None:
    torch.save(CONTENTS[case], tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    if not zipped and case in ("options", "a default dict", "an enumeration"):
        with pytest.raises(
            NmfdiagError, match=r"before PyTorch 1\.6 and name '.*(FileType|Options|Path|defaultdict|scalar)'"
        ):
            read_state_dict(tmp_path / "w.pt")
        return
    got = read_state_dict(tmp_path / "w.pt")
    assert same(got, WANTED.get(case, STATE))
    assert len({value.untyped_storage().data_ptr() for value in got.values()}) == len(got)


def test_safetensors_in_the_precision_of_the_file(tmp_path: Path) -> None:
    state = {"module.h": torch.tensor([1.5]).half(), "module.n": torch.tensor(3), "module.e": torch.zeros(0, 4)}
    save_file(state, tmp_path / "w.safetensors")
    got = read_state_dict(tmp_path / "w.safetensors")
    assert same(got, {name.removeprefix("module."): value for name, value in state.items()})
    assert [got[name].dtype for name in "hne"] == [torch.float16, torch.int64, torch.float32]


@pytest.mark.usefixtures("in_this_process")
def test_the_content_decides_not_the_ending(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.bin")
    assert same(read_state_dict(tmp_path / "w.bin"), STATE)
    torch.save(STATE, tmp_path / "w.safetensors")
    with pytest.raises(NmfdiagError, match=r"w\.safetensors can't be read: their header claims"):
        read_state_dict(tmp_path / "w.safetensors")
    torch.save(STATE, tmp_path / "noending")
    (tmp_path / "link.pth").symlink_to(tmp_path / "noending")
    assert same(read_state_dict(tmp_path / "link.pth"), STATE)


@pytest.mark.usefixtures("in_this_process")
def test_tensors_come_in_the_order_of_the_layers(tmp_path: Path) -> None:
    names = ["z.weight", "b", "module.10.weight", "module.9.weight", "a"]
    torch.save(
        {name: torch.ones(i + 1, dtype=torch.int64 if i % 2 else None) for i, name in enumerate(names)},
        tmp_path / "w.pt",
    )
    assert list(read_state_dict(tmp_path / "w.pt")) == ["z.weight", "b", "10.weight", "9.weight", "a"]


def test_two_tensors_of_one_name(tmp_path: Path) -> None:
    save_file({"module.x": torch.zeros(1), "x": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(NmfdiagError, match=r"have the tensor 'x' twice"):
        read_state_dict(tmp_path / "w.safetensors")


# ---------------------------------------------------------------- in a real child process


@pytest.mark.usefixtures("in_a_child")
def test_a_real_child_reads_and_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that would touch another, in a folder whose own ``torch.py`` would be imported by a careless child."""
    (tmp_path / "torch.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    touched = tmp_path / "touched"
    trap = Calls(shutil.copyfile, str(tmp_path / "torch.py"), str(touched))
    pickle.loads(pickle.dumps(trap))
    assert touched.exists()  # the trap is one
    touched.unlink()
    torch.save({"state_dict": STATE, "x": trap}, tmp_path / "w.pth")
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    assert same(read_state_dict(Path("w.pth")), STATE)
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
    with pytest.raises(NmfdiagError, match="their reading was given up after 0 seconds"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.usefixtures("in_a_child")
def test_a_child_that_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(STATE, tmp_path / "w.pth")
    monkeypatch.setattr(read, "READER", "nowhere")
    with pytest.raises(NmfdiagError, match=r"w\.pth can't be read: the process that reads them ended with 1"):
        read_state_dict(tmp_path / "w.pth")


# ---------------------------------------------------------------- as an attacker writes them


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
    with pytest.raises(NmfdiagError, match=r"The weights w\.pth (can't be read|are no state dict)"):
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
    ("value", "words"),
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
        ({}, "are no state dict"),
        ([1, 2], "are no state dict"),
        (torch.zeros(2), "are no state dict"),
        ({"a": {"b": {"c": {"d": {"e": {"f": torch.zeros(1)}}}}}}, "are no state dict"),
        ({"net_g": STATE, "net_d": STATE}, r"hold 2 sets of tensors \('net_g', 'net_d'\), none under a usual name"),
        (nn.Linear(2, 2), r"can't be read: they are a whole pickled object \(torch\.nn\.modules\.linear\.Linear\)"),
        ({"model": nn.Linear(2, 2), "epoch": 1}, r"a whole pickled object .*torch\.save\(model\.state_dict\(\)"),
    ],
)
def test_contents_that_are_none(tmp_path: Path, value: Any, words: str) -> None:
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(NmfdiagError, match=rf"The weights w\.pth .*({words})"):
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
    ("write", "words"),
    [
        (lambda p: torch.jit.save(torch.jit.script(nn.Linear(2, 2)), p), "are a TorchScript archive, which holds code"),
        (exported, r"are an exported program \(\.pt2\), .*--exported FILE --trust"),
        (lambda p: np.savez(p.open("wb"), x=np.zeros(2)), "are an archive of NumPy arrays"),
        (lambda p: zipped(p, {"a.txt": b"x"}), "are a zip file, but no checkpoint .* no data.pkl"),
        (lambda p: zipped(p, {"x/data.pkl": b"\0" * 10**7}, compressed=True), "entries unpack to 10,000,000"),
        (overlapping, "whose entries unpack to 1,00"),
        (lambda p: zipped(p, {"x/data.pkl": b"\x80\x02}q\0."}), "can't be read|are no state dict"),
        (lambda p: p.write_bytes(b"\x80\x02nonsense"), "can't be read"),
        (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "can't be read"),
        (lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1"), "can't be read"),
        (lambda p: p.write_bytes(b"\x80"), "can't be read: they end too early"),
        (lambda p: p.write_bytes(b""), "have 0 bytes, accepted are 1 to"),
    ],
)
def test_files_that_are_none(tmp_path: Path, write: Any, words: str) -> None:
    write(tmp_path / "w.pth")
    with pytest.raises(NmfdiagError, match=rf"The weights w\.pth .*({words})"):
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
        file.truncate(read.MAX_BYTES + 1)
    with pytest.raises(NmfdiagError, match="have 8,589,934,593 bytes, accepted are 1 to 8,589,934,592"):
        read_state_dict(tmp_path / "large.pth")


def header(entries: dict[str, Any], data: bytes = bytes(16), length: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[int], start: int, stop: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("content", "words"),
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
def test_safetensors_that_lie(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(NmfdiagError, match=rf"The weights w\.safetensors .*{words}"):
        read_state_dict(tmp_path / "w.safetensors")


def test_names_in_sentences_are_short(tmp_path: Path) -> None:
    save_file(
        {f"module.{'x' * 5000}\n<b>": torch.zeros(1), f"{'x' * 5000}\n<b>": torch.ones(1)}, tmp_path / "w.safetensors"
    )
    with pytest.raises(NmfdiagError) as caught:
        read_state_dict(tmp_path / "w.safetensors")
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_stand_ins_keep_nothing() -> None:
    made = read_pickle_child._stand_in("somewhere.Thing")(1, 2)
    made.__setstate__({"x": 1})
    assert type(made).__name__ == "somewhere.Thing" and not hasattr(made, "__dict__")
    assert isinstance(read_pickle_child._stand_in("collections.defaultdict")(list), collections.OrderedDict)
