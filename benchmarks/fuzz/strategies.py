"""Good files, and strategies of hypothesis that change them."""

import io
import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image

TRAP_FILE = "ran"
"""The file that a pickle writes whose code is run."""


class Trap:
    """An object whose unpickling writes a file."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {TRAP_FILE}",)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=8)
    | st.just(10**30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated_bytes(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """Draw a good file with some bytes changed, moved, removed or cut off."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        position = draw(st.integers(0, max(len(content) - 1, 0)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            new = draw(
                st.binary(min_size=1, max_size=8)
                | st.sampled_from([b"\xff" * 4, b"\0" * 8, b"\x7f\xff\xff\xff", b"-1", b"9" * 20])
            )
            content[position : position + len(new)] = new
        elif kind == 1:
            content[position:position] = draw(st.binary(max_size=16))
        elif kind == 2:
            del content[position : position + draw(st.integers(1, 64))]
        elif kind == 3:
            content[position : position + 4] = struct.pack("<I", draw(st.integers(0, 2**32 - 1)))
        else:
            del content[position:]
    return bytes(content)


@st.composite
def changed_record(draw: st.DrawFn, record: Any) -> Any:
    """Draw a good JSON record with values replaced, added or removed, at any depth."""
    copy = json.loads(json.dumps(record))
    for _ in range(draw(st.integers(1, 4))):
        part, path = copy, draw(st.lists(st.integers(0, 50), min_size=1, max_size=5))
        for step in path[:-1]:
            keys = list(part) if isinstance(part, dict) else range(len(part))
            inner = part[keys[step % len(keys)]] if keys else None
            if not isinstance(inner, dict | list) or not inner:
                break
            part = inner
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        if keys and draw(st.booleans()):
            part[keys[path[-1] % len(keys)]] = draw(JSON)
        elif keys and draw(st.booleans()):
            del part[keys[path[-1] % len(keys)]]
        elif isinstance(part, dict):
            part[draw(st.text(max_size=6))] = draw(JSON)
    return copy


def write_file(folder: Path, name: str, content: bytes) -> Path:
    """Write a file and the folders above it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def text_of(record: Any) -> bytes:
    """Return a record as JSON."""
    return json.dumps(record).encode()


def torch_bytes(value: Any, **options: Any) -> bytes:
    """Return what torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    """Return arrays as an .npz."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def image(kind: str, mode: str = "L") -> bytes:
    """Return a small image."""
    buffer = io.BytesIO()
    Image.new(mode, (5, 4), 7 if mode != "RGB" else (1, 2, 3)).save(buffer, kind)
    return buffer.getvalue()


def zip_bytes(entries: dict[str, bytes], packing: int) -> bytes:
    """Return a zip of entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def sound(kind: str, subtype: str = "PCM_16") -> bytes:
    """Return a short recording of two channels."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((400, 2), np.float32), 8000, format=kind, subtype=subtype)
    return buffer.getvalue()


HEADER = st.one_of(
    st.text(st.sampled_from("(){}[]'\":, -+*0123456789descrfortanh_oup<>|iufbOV"), max_size=300),
    st.builds(
        lambda descr, order, shape: str({"descr": descr, "fortran_order": order, "shape": shape}),
        st.sampled_from(["<f4", "|u1", "|O", "|V8", "<U3", "<m8", ">i8", "<c8", "?", [("a", "<f4")], [], None, 3]),
        st.booleans() | st.none(),
        st.lists(st.integers(-2, 5) | st.sampled_from([2**31, 2**63, 10**30]), max_size=70).map(tuple),
    ),
    st.integers(1, 9000).map(lambda n: "-" * n + "1"),
)


@st.composite
def archives_of_arrays(draw: st.DrawFn, names: tuple[str, ...]) -> bytes:
    """Draw an .npz whose arrays have arbitrary headers."""
    entries = {}
    for name in names:
        header = (draw(HEADER) + "\n").encode()
        start = b"\x93NUMPY" + bytes([draw(st.sampled_from([1, 1, 2, 3, 9])), 0]) + struct.pack("<H", len(header))
        entries[f"{name}.npy"] = start + header + draw(st.binary(max_size=64))
    return zip_bytes(entries, draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])))


NAMES = st.text(st.characters(codec=None, exclude_characters="/\0"), min_size=1, max_size=20).filter(
    lambda name: name not in (".", "..")
)
