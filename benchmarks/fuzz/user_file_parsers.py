"""Parsers of users' files (weights, samples, recordings, activations), with good files to start from."""

import gzip
import io
import json
import pickle
import struct
import zipfile
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import save as safetensors_bytes
from strategies import Trap, image, npz, sound, torch_bytes, write_file, zip_bytes

from nmfdiag.data.datasets import load
from nmfdiag.data.files import load_image_folder
from nmfdiag.networks.architectures import build
from nmfdiag.networks.checkpoints import read, read_pickle_child
from nmfdiag.networks.checkpoints.match import nearest_architectures, network_for, options_for

STATE = {"a.weight": torch.ones(2, 3), "a.bias": torch.zeros(2), "n": torch.tensor(3)}
SAFE = [safetensors_bytes(STATE), safetensors_bytes({"module.x": torch.ones(1).half()})]
PICKLED = [
    torch_bytes({"state_dict": STATE, "epoch": 1}), torch_bytes(STATE, _use_new_zipfile_serialization=False), torch_bytes({"w": Trap()}),
    torch_bytes({"w": Trap()}, _use_new_zipfile_serialization=False), pickle.dumps(Trap(), 2), torch_bytes({"model": {"x": {"y": torch.ones(1)}}}),
]  # fmt: skip


def safetensors_file(content: bytes, folder: Path) -> object:
    """Read weights that are not pickled."""
    return read.read_state_dict(write_file(folder, "w.safetensors", content))


def pickled_file(content: bytes, folder: Path) -> object:
    """Read pickled weights as the child process does, but in this one; no code may run."""
    path, output = write_file(folder, "w.pth", content), io.StringIO()
    limits, read_pickle_child.limit_memory = read_pickle_child.limit_memory, lambda n_bytes: None
    try:
        with redirect_stdout(output):
            read_pickle_child.main(str(path), str(folder / "out"), str(2**24), "100")
    finally:
        read_pickle_child.limit_memory = limits
    return json.loads(output.getvalue())


@st.composite
def states(draw: st.DrawFn) -> tuple[str, dict[str, torch.Tensor]]:
    """Draw the tensors of one of our architectures, with names and shapes changed."""
    arch = draw(st.sampled_from(["cnn", "mlp", "resnet", "audio_cnn"]))
    state = dict(build(arch, (1, 16, 16), 3, width=2).state_dict())
    sizes = st.lists(st.integers(0, 4) | st.sampled_from([10**3, 10**5]), max_size=4)
    for _ in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(sorted(state)))
        kind = draw(st.integers(0, 3))
        value = state.pop(name)
        if kind == 0:
            state[draw(st.text(max_size=12))] = value
        elif kind == 1:
            shape = draw(sizes)
            state[name] = torch.zeros(shape) if np.prod(shape, dtype=float) < 10**6 else torch.zeros(1)
        elif kind == 2:
            state[name] = value.to(draw(st.sampled_from([torch.int8, torch.float64, torch.bfloat16, torch.bool])))
    return draw(st.sampled_from([arch, "auto", "resnet18", "vit_b_16", draw(st.text(max_size=8))])), state


def match_architecture(example: tuple[str, dict[str, torch.Tensor]], folder: Path) -> object:
    """Find the architecture of weights, or build one for them."""
    arch, state = example
    if arch == "auto":
        return nearest_architectures(state)
    return network_for(arch, state, (1, 16, 16), options=options_for(arch, state))


SAMPLES = [
    npz(x=np.zeros((4, 3, 5), np.uint8), y=np.arange(4)), npz(images=np.ones((2, 3)), labels=np.zeros(2, np.uint16)),
    npz(x=np.array([Trap()], object), y=np.zeros(1, int)), npz(x=np.zeros((2, 2), ">f8"), y=np.zeros(2, ">i4")),
]  # fmt: skip
ACTIVATIONS = [
    npz(
        activations=np.ones((4, 3), np.float16), labels=np.array([0, 1, 0, 1]), weight=np.ones((2, 3)), bias=np.ones(2)
    ),
    npz(x=np.ones((4, 3, 2, 2)), y=np.zeros(4, np.uint8), weight=np.ones((2, 3), np.longdouble)),
]
IMAGES = [image(kind) for kind in ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF")] + [
    image("PNG", mode) for mode in ("RGB", "LA", "I;16", "1")
]
PACKED = [
    zip_bytes({f"{c}/{i}.png": image("PNG") for c in "ab" for i in range(2)}, packing)
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
]


def folder_of_images(classes: list[tuple[str, bytes]], folder: Path) -> object:
    """Read classes whose folders are called anything."""
    for i, (name, content) in enumerate(classes):
        try:
            class_folder = folder / "data" / name
            class_folder.mkdir(parents=True, exist_ok=True)
            (class_folder / f"{i}.png").write_bytes(content)
        except (OSError, UnicodeEncodeError):  # a name that no file can have
            return None
    return [name.encode() for name in load_image_folder(folder / "data", "train")[2]]


SOUNDS = [
    sound("WAV"),
    sound("WAV", "FLOAT"),
    sound("RF64"),
    sound("WAVEX"),
    sound("FLAC"),
    sound("AIFF"),
    sound("W64"),
]
TABLE = b"slice_file_name,fsID,start,end,salience,fold,classID,class\n1-3-0-0.wav,1,0,1,1,1,3,dog_bark\n"


def urban_sound(example: tuple[bytes, bytes, str], folder: Path) -> object:
    """Read UrbanSound8K of one clip."""
    clip, table, name = example
    write_file(folder, f"UrbanSound8K/audio/fold1/{name}", clip)
    write_file(folder, "UrbanSound8K/metadata/UrbanSound8K.csv", table)
    return load("urban_sound", root=folder)


def spoken_digits(example: tuple[bytes, bool], folder: Path) -> object:
    """Read one recording, from a folder or a zip."""
    content, is_zip = example
    write_file(folder, "fsdd_wav.zip" if is_zip else "recordings/3_ann_9.wav", content)
    return load("spoken_digits", root=folder)


def mnist(contents: tuple[bytes, bytes], folder: Path) -> object:
    """Read MNIST's files."""
    for name, content in zip(("images-idx3", "labels-idx1"), contents, strict=True):
        write_file(folder, f"MNIST/raw/train-{name}-ubyte.gz", content)
    return load("mnist", root=folder)


def idx(*shape: int) -> bytes:
    """Return zeros in MNIST's format."""
    return gzip.compress(
        bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + bytes(int(np.prod(shape)))
    )


IDX = [idx(3, 4, 4), idx(3), idx(1, 1, 1, 1, 1)]
INDEX = {"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}
