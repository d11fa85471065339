"""Memory: how much is free, how much a curve will need, and the message where it is too small. Without torch."""

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.text import estimated_size

if TYPE_CHECKING:
    from nmfdiag.jobs.requests import CurveRequest
    from nmfdiag.networks.split import SplitNetwork

USABLE = 0.9
"""Share of the free memory that may be used."""
FLOAT = 4
"""Bytes of a number."""
HEAD = 2.5
"""Memory of a module's input, output and temporary values, as a multiple of its output."""
UNLIMITED = 2**60
"""Bytes from which a limit counts as none."""
LEAST_BYTES = 2**31
"""Bytes that a child process may use in any case: torch alone takes a third of it."""
SIGNS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "bad_alloc",
    "alloc_failed",
)
"""Phrases in the messages of torch, numpy, CUDA and the system, in lower case."""


def available_bytes(device: str = "cpu", root: Path = Path("/")) -> int | None:
    """Return the free memory of a device; None where the system doesn't report it.

    Args:
        device: ``"cpu"``, or a GPU's name.
        root: Parent folder of ``proc`` and ``sys``.
    """
    if device != "cpu":
        import torch

        return int(torch.cuda.mem_get_info(device)[0]) if device.startswith("cuda") else None
    limits = [_system_bytes(root), *_group_limits(root), _address_space()]
    return min((limit for limit in limits if limit is not None), default=None)


def curve_bytes(
    network: "SplitNetwork", request: "CurveRequest", n_samples: int, ranks_of: Callable[[int], list[int]]
) -> int:
    """Estimate the peak memory of a curve, beside the loaded network and samples.

    It is the larger of the network up to the layer, and the activation matrix with its factorisation and a piece of the rest of the network.

    Args:
        network: The network.
        request: The curve.
        n_samples: Samples in its batch.
        ranks_of: Returns the ranks of its grid for a full rank.
    """
    from nmfdiag.factorize.memory import factorization_bytes
    from nmfdiag.measures.compression import STARTS
    from nmfdiag.measures.methods import method_of
    from nmfdiag.networks.split import PIECE_BYTES

    layer = network.layer(request.layer)
    before = [math.prod(candidate.output_shape) for candidate in network.layers if candidate.index <= layer.index]
    after = [math.prod(candidate.output_shape) for candidate in network.layers if candidate.index >= layer.index]
    values, width = n_samples * math.prod(layer.output_shape), layer.width
    method = method_of(request.method).costs_like
    ranks = ranks_of(min(values // width, width if method != "signed" else 2 * width))
    options: dict[str, Any] = {"method": method, "solver": request.solver, "n_starts": STARTS}
    solving = factorization_bytes(values // width, width, ranks, **options)
    piece = min(1.0, PIECE_BYTES / (FLOAT * values)) * n_samples
    tail = int(HEAD * FLOAT * piece * max(after))
    return max(int(HEAD * FLOAT * n_samples * max(before)), FLOAT * values + solving + tail)


def check_memory(needed: int, device: str, request: Any) -> None:
    """Refuse a request that would not fit.

    Raises:
        NmfdiagError: If it needs too much; it names the figures and what to lower.
    """
    available = available_bytes(device)
    if available is not None and needed > USABLE * available:
        share = USABLE * available / needed
        raise NmfdiagError(
            f"{request.layer} of {request.entry} needs about {estimated_size(needed)} of memory, and {estimated_size(available)} are free on {device}: "
            f"it was not begun. {_advice(request, share, device)}"
        )


def keep_within(process: int) -> None:
    """Limit a child process to the memory that is free now, so that it fails before the system runs out of it; on Linux only.

    Args:
        process: Its number.
    """
    available = available_bytes()
    with suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        if available is not None:
            limit = max(int(USABLE * available), LEAST_BYTES)
            resource.prlimit(process, resource.RLIMIT_DATA, (limit, limit))


def out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error, or one that it was raised from, says that memory could not be allocated."""
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False


def memory_message(error: BaseException, request: Any, device: str) -> str:
    """Return why a computation ran out of memory, and what to request instead."""
    lines = str(error).strip().splitlines()
    reason = f" ({lines[0][:200]})" if lines else ""
    return (
        f"There was not enough memory for {request.layer} of {request.entry}{reason}. {_advice(request, 0.5, device)}"
    )


def release_memory() -> None:
    """Return unused memory to the system, after it has run out."""
    import gc

    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _advice(request: Any, share: float, device: str) -> str:
    samples = int(getattr(request, "per_class", 0) * share)
    tips, is_whole = [], getattr(request, "unit", "") == "networks"
    if samples >= 2:
        tips.append(f"at most {samples} samples a batch (now {request.per_class})")
    if getattr(request, "grid", "") == "full":
        tips.append("the coarse rank grid")
    if getattr(request, "method", "nmf") != "random" and not is_whole:
        tips.append("a deeper layer, which has fewer rows")
    if device != "cpu":
        tips.append("the CPU")
    fallback = "fewer samples" if is_whole else "a smaller layer"
    return f"Take {', or '.join(tips or [fallback])}."


def _system_bytes(root: Path) -> int | None:
    """Return the memory that Linux has for new work without swapping."""
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:")))
    return None


def _group_limits(root: Path) -> Iterator[int]:
    """Yield the free memory of each control group (container) of this process, version 1 or 2."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            folder = root / "sys/fs/cgroup" / controllers
            usage_file, limit_file = (
                ("memory.usage_in_bytes", "memory.limit_in_bytes") if controllers else ("memory.current", "memory.max")
            )
            parts = Path(path.lstrip("/")).parts
            for depth in range(
                len(parts), -1, -1
            ):  # inside a container the path may be the host's: the last one is ours
                yield from _free_bytes(folder.joinpath(*parts[:depth]), usage_file, limit_file)


def _free_bytes(folder: Path, usage_file: str, limit_file: str) -> Iterator[int]:
    with suppress(OSError, ValueError):
        limit = int((folder / limit_file).read_text(encoding="ascii"))  # "max" if there is none
        if limit < UNLIMITED:
            yield max(0, limit - int((folder / usage_file).read_text(encoding="ascii")) + _reclaimable(folder))


def _reclaimable(folder: Path) -> int:
    """Return the bytes of cached files, which are freed when memory is needed."""
    with suppress(OSError, ValueError):
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    return 0


def _address_space() -> int | None:
    """Return the free part of this process's address space (``ulimit -v``)."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            return max(0, limit - pages * os.sysconf("SC_PAGE_SIZE"))
    return None
