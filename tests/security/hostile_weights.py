"""Hostile weights."""

import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from file_bytes import listed, zip_of
from hostile import (
    NAMES,
    WEIGHTS,
    Call,
    Hostile,
    content_writer,
    describe,
    torch_writer,
    touch_command,
    write_exported,
    write_sparse,
)
from torch import nn

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.tensor([1.0, -2.0])}


def laughs(_: Path) -> dict[str, Any]:
    """Return nested dictionaries, each with a thousand names for the same one."""
    inner: dict[str, Any] = {}
    for _ in range(5):
        inner = dict.fromkeys(map(str, range(1000)), inner)
    return {"model": inner, "epoch": 1}


def lying_storage() -> Call:
    return Call(torch._utils._rebuild_tensor_v2, torch.zeros(4).untyped_storage(), 0, (10**13,), (1,), False, {})


def checkpoints() -> Iterator[Hostile]:
    """Yield weights."""
    prefix = r"^The weights .*("
    pickled = {
        "a pickle alone": describe(lambda path, bait: path.write_bytes(pickle.dumps(touch_command(bait), 2)), "a bare pickle that runs code"),
        "a module": torch_writer(lambda bait: nn.Linear(2, 2), "a whole pickled network"),
        "in a zip": torch_writer(lambda bait: {"w": touch_command(bait)}, "a checkpoint that runs code"),
        "legacy": torch_writer(lambda bait: {"w": touch_command(bait)}, "one of the old format that runs code", _use_new_zipfile_serialization=False),
        "memory": torch_writer(lambda bait: {"w": Call(bytearray, 6 * 2**30)}, "one that asks for 6 GiB"),
        "laughs": torch_writer(laughs, "one of a thousand names for a thousand names"),
        "expanded": torch_writer(lambda bait: {"w": torch.zeros(1).expand(10**10)}, "one number shown as 40 GB"),
        "deep": content_writer(b"\x80\x02" + b"(" * 100_000 + b"l." * 10, "a hundred thousand open brackets"),
    }  # fmt: skip
    for name, write in pickled.items():
        yield Hostile(f"{name}.pth", WEIGHTS, write, prefix + "can't be read|are not a state dict|unpack to)")
    bomb = {"x/data.pkl": bytes(10**8)}
    yield Hostile(
        "bomb.pt",
        WEIGHTS,
        describe(lambda path, bait: zip_of(path, bomb, zipfile.ZIP_DEFLATED), "a zip bomb"),
        prefix + "unpack to 100,000,000)",
    )
    out = {"../../x/data.pkl": b"\x80\x02}.", "/x/data/0": b"0", "..\\x\\data.pkl": b"0"}
    yield Hostile(
        "out.pt",
        WEIGHTS,
        describe(lambda path, bait: zip_of(path, out), "a zip whose names lead out"),
        prefix + "can't be read|not a checkpoint)",
    )
    yield Hostile(
        "script.pt",
        WEIGHTS,
        describe(lambda path, bait: scripted(path), "a TorchScript archive"),
        prefix + "TorchScript)",
    )
    yield Hostile(
        "pt2.pt",
        WEIGHTS,
        describe(write_exported, "an exported program under another name"),
        prefix + r"are an exported program)",
    )
    write_list = describe(lambda path, bait: path.write_bytes(listed(2 * 10**6)), "a zip of two million names")
    yield Hostile("listed.pt", WEIGHTS, write_list, "lists its entries in")
    header = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    wide = header.replace(b"[4]", b"[4294967296,4294967296]")
    lies = {
        "a header of 4 EiB": struct.pack("<Q", 2**62) + header + bytes(16),
        "offsets that lie": struct.pack("<Q", len(header)) + header.replace(b"16", b"99") + bytes(16),
        "a shape that overflows": struct.pack("<Q", len(wide)) + wide + bytes(16),
        "brackets": struct.pack("<Q", 10**5) + b'{"a":' + b"[" * (10**5 - 5),
        "nothing": b"",
    }
    for description, content in lies.items():
        yield Hostile(
            "lies.safetensors",
            WEIGHTS,
            content_writer(content, f"safetensors, {description}"),
            prefix + "can't be read|have 0 bytes)",
        )
    missing = "There is no weights file"
    paths = {
        "zero.pth": (lambda path, bait: path.symlink_to("/dev/zero"), "a link to an endless device", missing),
        "self.pth": (lambda path, bait: path.symlink_to(path), "a link to itself", f"{missing}|can't be read"),
        "pipe.pth": (lambda path, bait: os.mkfifo(path), "a pipe that nobody writes into", missing),
        "large.pth": (lambda path, bait: write_sparse(path, 2**33 + 1), "a file of 8 GiB of nothing", "have 8,589,934,593 bytes"),
        "x" * 300: (lambda path, bait: None, "a name that is too long", "can't be read|no weights file"),
    }  # fmt: skip
    for name, (write, description, message) in paths.items():
        yield Hostile(name, WEIGHTS, describe(write, description), message, only_path=True)
    for name in (*NAMES, os.fsdecode(b"a\xff\xfe")):
        write = describe(lambda path, bait: torch.save(STATE, path), f"weights called {name!r}")
        yield Hostile(f"{name.replace('/', '')}.pt", WEIGHTS, write, "fit no known architecture", only_path=True)


def scripted(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)
