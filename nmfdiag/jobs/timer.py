"""Time tasks fairly: a fixed number of threads, tasks in turn, CPU time beside wall time, median beside spread."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """Seconds of every repeat, (repeats,): CPU time of all threads of the process, and wall time."""

    cpu: tuple[float, ...]
    wall: tuple[float, ...]

    def seconds(self, device: str) -> float:
        """Return the median of the time to compare: CPU time on the CPU, which a busy machine hardly changes, else wall time."""
        return median(self.cpu if device == "cpu" else self.wall)

    def columns(self) -> dict[str, Any]:
        """Return the columns of :class:`nmfdiag.bench.table.Row` that hold times."""
        return {
            "repeats": len(self.cpu),
            "cpu_seconds": median(self.cpu), "cpu_min": min(self.cpu), "cpu_max": max(self.cpu),
            "wall_seconds": median(self.wall), "wall_min": min(self.wall), "wall_max": max(self.wall),
        }  # fmt: skip

    def __add__(self, summand: "Timing") -> "Timing":
        """Add repeat by repeat, up to the shorter one."""
        pairs = [zip(a, b, strict=False) for a, b in ((self.cpu, summand.cpu), (self.wall, summand.wall))]
        cpu, wall = (tuple(a + b for a, b in pair) for pair in pairs)
        return Timing(cpu, wall)


def once(task: Callable[[], T], device: str = "cpu") -> tuple[T, float, float]:
    """Run a task and wait until its device is idle; return its result, CPU seconds and wall seconds."""
    synchronize(device)
    cpu, wall = time.process_time(), time.perf_counter()
    result = task()
    synchronize(device)
    return result, time.process_time() - cpu, time.perf_counter() - wall


def interleaved(
    tasks: Mapping[str, Callable[[], T]],
    repeats: int,
    *,
    device: str = "cpu",
    inspect: Callable[[str, T], None] | None = None,
    budget: float = float("inf"),
) -> dict[str, Timing]:
    """Run every task, then every task again: a disturbance of the machine then affects all of them.

    Args:
        tasks: Tasks by name.
        repeats: Rounds.
        device: ``"cpu"`` or ``"cuda"``.
        inspect: Called, untimed, with the name and result of each task's first run, which is then dropped.
        budget: Total wall seconds up to which a task is run again.

    Returns:
        The times by name.
    """
    cpu: dict[str, list[float]] = {name: [] for name in tasks}
    wall: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(repeats):
        for name, task in tasks.items():
            if turn and sum(wall[name]) >= budget:
                continue
            result, cpu_seconds, wall_seconds = once(task, device)
            cpu[name].append(cpu_seconds)
            wall[name].append(wall_seconds)
            if inspect is not None and turn == 0:
                inspect(name, result)
            del result
    return {name: Timing(tuple(cpu[name]), tuple(wall[name])) for name in tasks}


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Limit torch, the BLAS libraries and OpenMP to n threads inside the block; the engine uses torch's number."""
    import torch
    from threadpoolctl import threadpool_limits

    with ExitStack() as stack:
        stack.callback(torch.set_num_threads, torch.get_num_threads())
        stack.enter_context(threadpool_limits(n))
        torch.set_num_threads(n)
        yield


def synchronize(device: str) -> None:
    """Wait until a GPU has finished; return at once for the CPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
