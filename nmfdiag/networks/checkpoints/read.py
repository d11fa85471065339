"""Read the tensors of a checkpoint from a stranger.

Every file counts as hostile: nothing in it is run, and its size, memory and time have limits. ``.safetensors`` is read here if its
header is short; pickles are read by a child process (:mod:`nmfdiag.networks.checkpoints.read_pickle_child`). Code that runs a user's
own code is separate, in :mod:`nmfdiag.networks.checkpoints.user_code` and :mod:`nmfdiag.networks.checkpoints.exported`.
"""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

from nmfdiag.data.file_kinds import checked_path, kind_of_file
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.exported import read_exported
from nmfdiag.networks.checkpoints.match import input_channels, nearest_architectures, network_for, options_for
from nmfdiag.networks.checkpoints.read_pickle_child import named_set
from nmfdiag.networks.checkpoints.state_dict_match import load_weights
from nmfdiag.networks.checkpoints.tensor_names import common_prefix, plain_names, quoted, without_prefix
from nmfdiag.networks.checkpoints.user_code import factory

__all__ = [
    "Weights",
    "factory",
    "input_channels",
    "load_weights",
    "nearest_architectures",
    "network_for",
    "options_for",
    "read_exported",
    "read_state_dict",
    "read_weights",
]

ACCEPTED_WEIGHTS = "a .safetensors file, or one of torch.save (.pt, .pth, .ckpt, .bin) with tensors by name"
TRIED = ("a checkpoint", "a pickle", "a safetensors file", "an exported program", "a zip file", "NumPy's")
"""Prefixes of the kinds, as :func:`kind_of_file` names them, that are read or have a reader with a better error."""
READER = "nmfdiag.networks.checkpoints.read_pickle_child"
MAX_WEIGHT_BYTES = 8 * 2**30
"""Largest size of a file, and of its tensors."""
MAX_TENSORS = 100_000
MAX_DIMENSIONS = 8
TYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32", "I16", "I8", "U8", "BOOL")
"""Types of tensors in a .safetensors file."""
MAX_HEADER = 16 * 2**20
"""Largest header of a .safetensors file, in bytes: enough for MAX_TENSORS long names."""
SECONDS, BYTES_A_SECOND = 120, 2**24
"""Time limit of the child process: a constant, and a rate for slow disks."""


@dataclass(frozen=True)
class Weights:
    """A checkpoint's tensors by name, and the names of its other sets of weights, such as averaged ones (EMA)."""

    state: dict[str, Tensor]
    others: tuple[str, ...] = ()


def read_state_dict(path: Path, key: str = "") -> dict[str, Tensor]:
    """Read a checkpoint's tensors by name, as :func:`read_weights` does."""
    return read_weights(path, key).state


def read_weights(path: Path, key: str = "") -> Weights:
    """Read a checkpoint's tensors by name, safely and without the usual wrappings.

    Args:
        key: The set of weights, if there are several: an entry of the checkpoint, or a prefix of its tensors' names; by default
            the usual one (``state_dict``, ``model`` and the like).
        path: A ``.safetensors`` file, or one of ``torch.save`` (``.pt``, ``.pth``, ``.ckpt``, ``.bin``) that holds a state
            dict, alone or inside a training script's or Lightning's checkpoint. The content decides, not the ending.

    Returns:
        Tensors by name, in the precision of the file, on the CPU. Prefixes of ``DataParallel`` and ``torch.compile``
        are removed, and in a Lightning checkpoint the attribute that all tensors are below.

    Raises:
        NmfdiagError: If there is no such file, or it is too large, damaged, hostile, or not a state dict.
    """
    path = checked_path(path, "weights")
    kind = _kind(path)
    try:
        trainer = ""
        other_sets: list[str] = []
        if kind == "safetensors":
            state = _read_safetensors(path)
            state = named_set(state, key) if key else state
        else:
            state, trainer, other_sets = _read_in_child(path, key)
        if not state:
            raise NmfdiagError("hold no tensors.")
    except NmfdiagError as error:
        raise NmfdiagError(f"The weights {path.name} {error}") from None
    plain = plain_names(state)
    plain = without_prefix(plain, common_prefix(plain)) if trainer == "lightning" else plain
    return Weights(plain, tuple(other_sets))


def _kind(path: Path) -> str:
    """Return ``"safetensors"`` or ``"pickled"``, after checks that don't read the whole file."""
    try:
        if path.is_dir():
            raise NmfdiagError(f"{path} is a folder: give the file of weights inside it ({ACCEPTED_WEIGHTS}).")
        if not path.is_file():
            raise NmfdiagError(f"There is no weights file {path}: accepted are {ACCEPTED_WEIGHTS}.")
        n_bytes = path.stat().st_size
    except OSError as error:  # a name that is too long, or a locked folder
        raise NmfdiagError(f"The weights {path.name} can't be read: {error.strerror}.") from None
    if not 0 < n_bytes <= MAX_WEIGHT_BYTES:
        raise NmfdiagError(f"The weights {path.name} have {n_bytes:,} bytes, accepted are 1 to {MAX_WEIGHT_BYTES:,}.")
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise NmfdiagError(f"The weights {path.name} can't be read: {error.strerror}.") from None
    kind = kind_of_file(path)
    if kind and not kind.startswith(TRIED) and (kind, path.suffix) != ("a JSON text", ".safetensors"):
        raise NmfdiagError(
            f"The weights {path.name} can't be read: the file is {kind}. Accepted are {ACCEPTED_WEIGHTS}."
        )
    is_safetensors = start[8:] == b"{" and int.from_bytes(start[:8], "little") <= n_bytes - 8
    return "safetensors" if is_safetensors or path.suffix == ".safetensors" else "pickled"


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file if its header is short enough to be parsed; the library checks its content."""
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        n_header = int.from_bytes(file.read(8), "little")
    if n_header > min(MAX_HEADER, n_bytes - 8):
        raise NmfdiagError(
            f"can't be read: their header claims {n_header:,} bytes of the file's {n_bytes:,}, accepted are {MAX_HEADER:,}."
        )
    state: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as opened:
            names = opened.keys()
            if len(names) > MAX_TENSORS:
                raise NmfdiagError(f"have {len(names):,} tensors, accepted are {MAX_TENSORS:,}.")
            for name in names:
                part = opened.get_slice(name)
                if part.get_dtype() not in TYPES:
                    raise NmfdiagError(
                        f"have a tensor {quoted(name)} of type {part.get_dtype()}: accepted are {', '.join(TYPES)}."
                    )
                if len(part.get_shape()) > MAX_DIMENSIONS:
                    raise NmfdiagError(f"have more than {MAX_DIMENSIONS} dimensions in the tensor {quoted(name)}.")
                state[name] = opened.get_tensor(name).clone()  # the file may change or disappear later
    except NmfdiagError:
        raise
    except Exception as error:  # a damaged or hostile file may raise anything, but runs no code
        cut = "they end too early (a download that was not finished?): " if "not fully covered" in str(error) else ""
        raise NmfdiagError(f"can't be read: {cut}{textwrap.shorten(str(error), 300)}") from None
    return state


def _read_in_child(path: Path, key: str) -> tuple[dict[str, Tensor], str, list[str]]:
    """Return the tensors of a pickled file, its trainer (``"lightning"`` or nothing), and the names of its other sets of weights."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "tensors.safetensors")
        answer = _answer_of_child(path, target, *([key] if key else []))
        if "error" in answer:
            raise NmfdiagError(answer["error"])
        state = _read_safetensors(target)
        in_order = {name: state[name] for name in answer["names"]}  # the order of the layers
        return in_order, answer["trainer"], answer["others"]


def _answer_of_child(path: Path, target: Path, key: str = "") -> dict[str, Any]:
    package = str(Path(__file__).resolve().parents[3])  # where this package is imported from
    paths = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    seconds = SECONDS + path.stat().st_size / BYTES_A_SECOND
    limits = [str(MAX_WEIGHT_BYTES), str(MAX_TENSORS)]
    command = [sys.executable, "-P", "-m", READER, str(path.absolute()), str(target), *limits, key]
    try:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            env={**os.environ, "PYTHONPATH": paths},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NmfdiagError(f"can't be read: reading them took more than {seconds:.0f} seconds.") from None
    try:
        answer = json.loads(process.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise NmfdiagError(f"can't be read: the process that reads them ended with {process.returncode}.") from None
    return dict(answer)
