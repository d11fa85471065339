"""Checkpoints are read as training scripts write them."""

import argparse
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.read import read_state_dict

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.tensor([1.0, -2.0])}


def same(got: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return list(sorted(got)) == list(sorted(expected)) and all(torch.equal(got[k], expected[k]) for k in expected)


class Options(argparse.Namespace):
    """A class that can't be imported where the checkpoint is read."""


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
