"""Memory: what there is, what a curve will need, and what to say where it is not enough. Without torch."""

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from nmfdiag.jobs.requests import CurveRequest
    from nmfdiag.networks.split import SplitNetwork

USABLE = 0.9
FLOAT = 4
HEAD = 2.5
"""A module's input and output, and what it needs beside, as multiples of its output."""
UNLIMITED = 2**60
LEAST_BYTES = 2**31
"""What a process of ours may have in any case: torch alone takes a third of it."""
SIGNS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "bad_alloc",
    "alloc_failed",
)
"""In the messages of torch, numpy, CUDA and the system, in lower case."""


def available_bytes(device: str = "cpu", root: Path = Path("/")) -> int | None:
    """Memory that can still be had, of a device; None where the system does not say.

    Args:
        device: ``"cpu"``, or a GPU's name.
        root: Where ``proc`` and ``sys`` are.
    """
    if device != "cpu":
        import torch

        return int(torch.cuda.mem_get_info(device)[0]) if device.startswith("cuda") else None
    found = [_system(root), *_groups(root), _process()]
    return min((each for each in found if each is not None), default=None)


def curve_bytes(
    network: "SplitNetwork", request: "CurveRequest", n_samples: int, ranks_of: Callable[[int], list[int]]
) -> int:
    """Estimate what a curve needs at its peak, above what is loaded.

    That is the network up to the layer, or the activation matrix, its factorisation and a piece of the rest of the network.

    Args:
        network: The network.
        request: The curve.
        n_samples: Samples in its batch.
        ranks_of: From the full rank to the ranks of its grid.
    """
    from nmfdiag.factorize.memory import factorization_bytes
    from nmfdiag.measures.compression import STARTS
    from nmfdiag.measures.methods import method_of
    from nmfdiag.networks.split import PIECE_BYTES

    layer = network.layer(request.layer)
    before = [math.prod(each.output_shape) for each in network.layers if each.index <= layer.index]
    after = [math.prod(each.output_shape) for each in network.layers if each.index >= layer.index]
    values, width = n_samples * math.prod(layer.output_shape), layer.width
    method = method_of(request.method).costs_like
    ranks = ranks_of(min(values // width, width if method != "signed" else 2 * width))
    options: dict[str, Any] = {"method": method, "solver": request.solver, "n_starts": STARTS}
    solving = factorization_bytes(values // width, width, ranks, **options)
    piece = min(1.0, PIECE_BYTES / (FLOAT * values)) * n_samples
    tail = int(HEAD * FLOAT * piece * max(after))
    return max(int(HEAD * FLOAT * n_samples * max(before)), FLOAT * values + solving + tail)


def check_memory(needed: int, device: str, request: Any) -> None:
    """Refuse what would not fit.

    Raises:
        NmfdiagError: With the figures and what to lower.
    """
    there = available_bytes(device)
    if there is not None and needed > USABLE * there:
        share = USABLE * there / needed
        raise NmfdiagError(
            f"{request.layer} of {request.entry} needs about {_gib(needed)} of memory, and {_gib(there)} are free on {device}: "
            f"it was not begun. {_advice(request, share, device)}"
        )


def keep_within(process: int) -> None:
    """Let another process of ours have no more memory than there is now, so that it fails before the system runs out of it.

    Args:
        process: Its number. Only Linux can be told.
    """
    there = available_bytes()
    with suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        if there is not None:
            most = max(int(USABLE * there), LEAST_BYTES)
            resource.prlimit(process, resource.RLIMIT_DATA, (most, most))


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error says that memory could not be had, itself or what it was raised from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False


def memory_words(error: BaseException, request: Any, device: str) -> str:
    """Why a computation ended for want of memory, and what to ask for instead."""
    told = str(error).strip().splitlines()
    why = f" ({told[0][:200]})" if told else ""
    return f"There was not enough memory for {request.layer} of {request.entry}{why}. {_advice(request, 0.5, device)}"


def give_back() -> None:
    """Return what is no longer used to the system, after memory has run out."""
    import gc

    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _advice(request: Any, share: float, device: str) -> str:
    samples = int(getattr(request, "per_class", 0) * share)
    tips = []
    if samples >= 2:
        tips.append(f"at most {samples} samples a batch (now {request.per_class})")
    if getattr(request, "grid", "") == "full":
        tips.append("the coarse rank grid")
    if getattr(request, "method", "nmf") != "random":
        tips.append("a deeper layer, which has fewer rows")
    if device != "cpu":
        tips.append("the CPU")
    return f"Take {', or '.join(tips or ['a smaller layer'])}."


def _system(root: Path) -> int | None:
    """What Linux could give to new work without swapping."""
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:")))
    return None


def _groups(root: Path) -> Iterator[int]:
    """What is left in each of the control groups (containers) that this process is in, version 1 or 2."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            folder = root / "sys/fs/cgroup" / controllers
            used, most = (
                ("memory.usage_in_bytes", "memory.limit_in_bytes") if controllers else ("memory.current", "memory.max")
            )
            parts = Path(path.lstrip("/")).parts
            for depth in range(
                len(parts), -1, -1
            ):  # inside a container the path may be the host's: the last one is its own
                yield from _left(folder.joinpath(*parts[:depth]), used, most)


def _left(folder: Path, used: str, most: str) -> Iterator[int]:
    with suppress(OSError, ValueError):
        limit = int((folder / most).read_text(encoding="ascii"))  # "max" where there is none
        if limit < UNLIMITED:
            yield max(0, limit - int((folder / used).read_text(encoding="ascii")) + _reclaimable(folder))


def _reclaimable(folder: Path) -> int:
    """Files that are held in memory as long as nobody else needs it."""
    with suppress(OSError, ValueError):
        stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        return int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    return 0


def _process() -> int | None:
    """What is left of the address space that this process may have (``ulimit -v``)."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
            return max(0, limit - pages * os.sysconf("SC_PAGE_SIZE"))
    return None


def _gib(n: int) -> str:
    return f"{n / 2**30:.1f} GiB" if n >= 2**30 / 10 else f"{n / 2**20:.0f} MiB"
