"""Read a pickled checkpoint in a child process: ``python -m nmfdiag.networks.checkpoints.read_pickle_child IN OUT BYTES TENSORS``.

A pickle is a small program. torch's restricted unpickler runs none of it, but a hostile file can still ask for any amount
of memory and time, so it is read here, where both are limited. The result is only a safetensors file, or a sentence on failure.
Other objects of a training script (options, counters, metrics) are read as inert placeholders.
"""

import io
import json
import pickle
import re
import sys
import textwrap
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import save_file
from torch import Tensor

from nmfdiag.data.file_kinds import open_zip
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.tensor_names import first_quoted, quoted

SAVED, EXPORTED, TORCHSCRIPT, NUMPY = "torch.save", "torch.export", "TorchScript", "NumPy"
CURES = {
    EXPORTED: "are an exported program (.pt2), which can run code, and no state dict: open it as one if you trust its author "
    "(--exported FILE --trust), or save the tensors with torch.save(model.state_dict(), ...).",
    TORCHSCRIPT: "are a TorchScript archive, which holds code, and no state dict: where you trust it, save its tensors with "
    "torch.save(torch.jit.load(...).state_dict(), ...).",
    NUMPY: "are an archive of NumPy arrays, and no checkpoint of PyTorch: samples go by --data, recorded activations by --activations.",
}
SPARE_BYTES = 2**30
"""Memory for everything but the file and a copy of its tensors."""
WRAPPINGS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
OPTIMIZER = "optimizer"
DEEPEST = 4
"""Largest number of nested wrappings."""


def main(source: str, target: str, max_bytes: str, max_tensors: str, key: str = "") -> int:
    """Read the checkpoint ``source`` into the safetensors file ``target``; print the result as one line of JSON."""
    path = Path(source)
    try:
        limit_memory(path.stat().st_size)
        content = read_pickled(path, 2 * int(max_tensors))
        is_lightning = isinstance(content, dict) and "pytorch-lightning_version" in content
        state = named_set(content, key) if key else state_dict_in(content)
        other_sets = other_sets_in(content, state)
        save(state, Path(target), int(max_bytes), int(max_tensors))
        answer: dict[str, Any] = {
            "trainer": "lightning" if is_lightning else "",
            "names": list(state),
            "others": other_sets,
        }
    except NmfdiagError as error:
        answer = {"error": str(error)}
    except Exception as error:  # a damaged or hostile file may raise anything, but runs no code
        answer = {"error": f"can't be read: {_reason(error)}"}
    print(json.dumps(answer))
    return int("error" in answer)


def limit_memory(file_bytes: int) -> None:
    """Limit this process's memory to what the file needs: its storages, a copy of them, and the output."""
    try:
        import resource  # not on Windows

        pages = int(Path("/proc/self/statm").read_text().split()[0])  # Linux; macOS enforces no such limit
    except (ImportError, OSError):
        return
    limit = pages * resource.getpagesize() + 3 * file_bytes + SPARE_BYTES
    if (hard_limit := resource.getrlimit(resource.RLIMIT_AS)[1]) != resource.RLIM_INFINITY:
        limit = min(limit, hard_limit)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def read_pickled(path: Path, max_entries: int) -> Any:
    """Unpickle a file of ``torch.save`` without running the functions that it names."""
    names: list[str] = []
    if zipfile.is_zipfile(path):
        check_archive(path, max_entries)
        check_archived_storages(path)
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    else:
        check_legacy_storages(path)
    stand_ins = [(_stand_in(name), name) for name in names]
    with torch.serialization.safe_globals(stand_ins):  # type: ignore[arg-type]
        return torch.load(path, map_location="cpu", weights_only=True)


class _Outline(pickle.Unpickler):
    """Reads a pickle without importing anything; collects the sizes of the storages that it refers to, by key."""

    def __init__(self, file: BinaryIO):
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, int] = {}

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" in ("collections.OrderedDict", "collections.defaultdict"):
            return _plain_dict
        return type(name, (Inert,), {"__slots__": ()})

    def persistent_load(self, reference: Any) -> Any:
        kind, key, number = reference[1].__name__, str(reference[2]), int(reference[4])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's storages are deprecated
            size = getattr(getattr(torch, kind, None), "dtype", torch.uint8).itemsize
        self.storages[key] = max(self.storages.get(key, 0), number * size)
        return Inert()


def check_archived_storages(path: Path) -> None:
    """Refuse a zip file that refers to missing values: torch would return whatever is in memory.

    Raises:
        NmfdiagError: If a storage is missing, or shorter than the pickle says.
    """
    with open_zip(path) as archive:
        sizes = {info.filename.split("/", 1)[-1]: info.file_size for info in archive.infolist()}
        outline = _Outline(io.BytesIO(archive.read(next(n for n in archive.namelist() if n.endswith("data.pkl")))))
    outline.load()
    _refuse_missing([key for key, n_bytes in outline.storages.items() if sizes.get(f"data/{key}", -1) < n_bytes])


def check_legacy_storages(path: Path) -> None:
    """Do the same for the format before PyTorch 1.6: a magic number, versions, the objects, the list of storages, their values.

    Raises:
        NmfdiagError: If the list lacks a storage; torch checks the values.
    """
    with path.open("rb") as file:
        if _Outline(file).load() != torch.serialization.MAGIC_NUMBER:
            return  # another kind of file, which torch refuses
        for _ in range(2):
            _Outline(file).load()
        outline = _Outline(file)
        outline.load()
        listed = _Outline(file).load()
    _refuse_missing(sorted(outline.storages.keys() - set(map(str, listed))))


def _refuse_missing(keys: Sequence[str]) -> None:
    if keys:
        raise NmfdiagError(
            f"refer to values that the file does not hold (storage {quoted(keys[0])}): it is damaged, or hostile."
        )


class Inert:
    """Placeholder for an object of a class that must not be imported; takes any arguments and keeps nothing."""

    __slots__ = ()

    def __new__(cls, *args: Any) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def _stand_in(name: str) -> Any:
    if name == "collections.defaultdict":
        return _plain_dict
    return type(name, (Inert,), {"__slots__": ()})


def _plain_dict(*args: Any) -> OrderedDict[Any, Any]:
    return OrderedDict()


def archive_kind(path: Path) -> str:
    """Return the kind of a zip file: of ``torch.save``, ``torch.export``, TorchScript or NumPy; empty for others."""
    with open_zip(path) as archive:
        names = {name.split("/", 1)[-1] for name in archive.namelist()}
    if "archive_format" in names or "serialized_exported_program.json" in names:
        return EXPORTED
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return TORCHSCRIPT
    if any(name.endswith(".npy") for name in names):
        return NUMPY
    return SAVED if "data.pkl" in names else ""


def check_archive(path: Path, max_entries: int) -> None:
    """Refuse a zip file that is not of ``torch.save``, or unpacks to more than its size."""
    kind = archive_kind(path)
    if kind in CURES:
        raise NmfdiagError(CURES[kind])
    if kind != SAVED:
        raise NmfdiagError("are a zip file, but not a checkpoint of torch.save: it has no data.pkl.")
    with open_zip(path) as archive:
        entries = archive.infolist()
    if len(entries) > max_entries:
        raise NmfdiagError(f"are an archive of {len(entries):,} entries, accepted are {max_entries:,}.")
    size, claimed = path.stat().st_size, sum(entry.file_size for entry in entries)
    if claimed > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise NmfdiagError(
            f"are a zip file of {size:,} bytes whose entries unpack to {claimed:,}: torch.save packs without compression."
        )


def state_dict_in(content: Any) -> dict[str, Tensor]:
    """Return the tensors by name without the wrappings of training scripts."""
    for _ in range(DEEPEST):
        if isinstance(content, Inert):
            raise NmfdiagError(
                f"can't be read: they are a whole pickled object ({type(content).__name__}), which would run code. Where you trust it, "
                f"save its tensors with torch.save(model.state_dict(), ...)."
            )
        if not isinstance(content, dict):
            break
        usual = [
            content[key]
            for key in WRAPPINGS
            if isinstance(content.get(key), dict) and _has_tensors(content[key], DEEPEST)
        ]
        tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if not usual and tensors:
            return tensors
        candidates = {str(name): value for name, value in content.items() if _has_tensors(value)}
        if not usual and len(candidates) > 1:
            raise NmfdiagError(
                f"hold {len(candidates)} sets of tensors ({first_quoted(candidates)}), none under a usual name such as 'state_dict': save the one "
                f"of the network with torch.save, or name it (--weights-key)."
            )
        whole = [content[key] for key in WRAPPINGS if isinstance(content.get(key), Inert)]
        content = next(iter((*usual, *candidates.values(), *whole)), None)
    raise NmfdiagError("are not a state dict: expected tensors by name.")


def other_sets_in(content: Any, state: dict[str, Tensor]) -> list[str]:
    """Return the names of a checkpoint's other sets of weights for the same network, such as averaged ones (EMA)."""
    if not isinstance(content, dict):
        return []
    shapes = {tuple(value.shape) for value in state.values()}
    names = []
    for name, value in content.items():
        inner = _tensors_of(value) if name != OPTIMIZER else {}
        alike = shapes & {tuple(tensor.shape) for tensor in inner.values()}
        if 2 * len(alike) > len(shapes) and not _share_memory(inner, state):
            names.append(str(name))
    return names


def named_set(content: Any, key: str) -> dict[str, Tensor]:
    """Return the set of weights of a name: an entry of the checkpoint, or the tensors whose names start with it.

    Raises:
        NmfdiagError: If there is no such set.
    """
    if not isinstance(content, dict):
        raise NmfdiagError("are not a state dict: expected tensors by name.")
    if tensors := _tensors_of(content.get(key)):
        return tensors
    flat = _tensors_of(content)
    if below := {name: value for name, value in flat.items() if name.startswith(f"{key}.")}:
        return below
    sets = [str(name) for name, value in content.items() if _tensors_of(value)] or list(
        {name.partition(".")[0] for name in flat}
    )
    raise NmfdiagError(
        f"hold no set of weights called {quoted(key)}: there are {first_quoted(sorted(sets), 9) or 'none to choose from'}."
    )


def _tensors_of(value: Any) -> dict[str, Tensor]:
    """Return the tensors by name in an entry of a checkpoint; empty if it holds no set of weights, or several."""
    try:
        return state_dict_in(value) if isinstance(value, dict) and _has_tensors(value, DEEPEST) else {}
    except NmfdiagError:
        return {}


def _share_memory(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Return whether two sets of tensors share their memory."""
    return {value.data_ptr() for value in a.values()} == {value.data_ptr() for value in b.values()}


def _has_tensors(value: Any, depth: int = 1) -> bool:
    """Return whether a dict, or a dict nested inside it, holds tensors by name; repeated dicts are read once."""
    level = [value] if isinstance(value, dict) else []
    for _ in range(depth):
        entries = [v for container in level for k, v in container.items() if isinstance(k, str)]
        if any(isinstance(v, Tensor) for v in entries):
            return True
        level = list({id(v): v for v in entries if isinstance(v, dict)}.values())
    return False


def save(state: dict[str, Tensor], target: Path, max_bytes: int, max_tensors: int) -> None:
    """Write tensors with separate memory; refuse special ones, and too many or too large ones."""
    if len(state) > max_tensors:
        raise NmfdiagError(f"have {len(state):,} tensors, accepted are {max_tensors:,}.")
    for name, value in state.items():
        if value.is_quantized or value.layout != torch.strided or value.device.type != "cpu" or value.is_complex():
            raise NmfdiagError(
                f"have a tensor {quoted(name)} that is quantised, sparse, complex or without values: accepted are plain ones."
            )
    n_bytes = sum(value.numel() * value.element_size() for value in state.values())
    if n_bytes > max_bytes:  # with strides of 0 one number makes a tensor of 10^12
        raise NmfdiagError(f"unpack to tensors of {n_bytes:,} bytes, accepted are {max_bytes:,}.")
    save_file(dict(_with_own_memory(state)), target)


def _with_own_memory(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    addresses = set()
    for name, value in state.items():
        plain = value.detach().as_subclass(Tensor).contiguous()
        start = plain.untyped_storage().data_ptr()
        yield name, plain.clone() if start in addresses else plain
        addresses.add(start)


def _reason(error: Exception) -> str:
    """Return torch's error without its advice to read the file in a way that runs code."""
    text = str(error)
    if (
        isinstance(error, MemoryError)
        or ("alloc" in text and "memory" in text)
        or "storage that is not resizable" in text
    ):
        return "they ask for more memory than a file of this size can need."
    if isinstance(error, EOFError | IndexError) or text == "pickle data was truncated":
        return "they end too early."
    if unsupported := re.search(r"Unsupported global: GLOBAL (\S+)", text):
        return f"they are of the format before PyTorch 1.6 and name {quoted(unsupported[1])}: save the state dict again with torch.save."
    if blocked := re.search(r"GLOBAL (\S+) whose module", text):
        return f"they name {quoted(blocked[1])}, which would run code."
    message = re.search(r"WeightsUnpickler error: (.*)", text)
    return textwrap.shorten(message[1] if message else text, 300) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
