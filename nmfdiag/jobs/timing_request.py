"""One timed point of NMF asked for, and its answer: primitives only, no torch.

Unlike a curve, a timing depends on the device, the number of threads, the machine and the versions: all of them are in
the key.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from statistics import median
from typing import Any, ClassVar

from nmfdiag.jobs.requests import SCHEMA
from nmfdiag.version import __version__
from nmfdiag.zoo.registry import lookup

KINDS = ("rank", "rows", "channels", "convergence")
WHOLE_GRID = 0
MAX_ITER = 1000


@dataclass(frozen=True)
class RuntimeRequest:
    """One NMF call to be timed, on the activations of one layer and batch.

    ``rank`` is factorised alone, or the whole default grid in one call if it is :data:`WHOLE_GRID`. ``kind`` is one of
    :data:`KINDS`: ``"rows"`` and ``"channels"`` take a ``share`` of those, ``"convergence"`` keeps the error over
    time. ``tol`` None is each solver's own. ``max_iter`` is high enough for multiplicative updates to reach their tolerance on most layers.
    """

    unit: ClassVar[str] = "points"
    schema: ClassVar[int] = SCHEMA

    entry: str
    layer: str
    class_idx: int
    kind: str
    rank: int
    solver: str
    device: str
    threads: int
    machine: str
    share: float = 1.0
    per_class: int = 20
    tol: float | None = None
    max_iter: int = MAX_ITER
    seed: int = 0

    @property
    def key(self) -> str:
        """Hash of everything that can change the answer, the machine and the versions included.

        Raises:
            NmfdiagError: If the zoo has no such network.
        """
        return self.key_for(lookup(self.entry).digest)

    def key_for(self, digest: str) -> str:
        """The key where the network's files have this hash."""
        versions = [__version__, version("torch"), version("numpy")]
        content = json.dumps(["runtime", SCHEMA, versions, asdict(self), digest], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True)
class RuntimeResult:
    """The timings of one NMF call.

    Attributes:
        rows: Rows of the matrix that was factorised.
        channels: Its channels.
        ranks: The ranks of the call; none if the matrix is too small for what was asked, and then nothing was timed.
        wall_seconds: One a repeat.
        cpu_seconds: Of the whole process, over all threads; one a repeat.
        relative_error: ``||A - W H|| / ||A||``, one a rank.
        n_iter: Iterations, one a rank.
        converged: Whether the tolerance was reached, one a rank.
        trace: For ``kind="convergence"``, a row each time the solver measured its error on the whole matrix: seconds since
            the call began (median, least and most over the repeats) and the least relative error until then.
        provenance: What it was computed with: device, threads, processor, versions, date.
    """

    rows: int
    channels: int
    ranks: list[int]
    wall_seconds: list[float]
    cpu_seconds: list[float]
    relative_error: list[float]
    n_iter: list[int]
    converged: list[bool]
    trace: list[tuple[float, float, float, float]] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """Median wall time."""
        return median(self.wall_seconds)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "RuntimeResult":
        return cls(**(record | {"trace": [(t, low, high, error) for t, low, high, error in record["trace"]]}))


@dataclass(frozen=True)
class Machine:
    """Where is measured: devices, the fastest first, threads on the CPU, and a name for each device."""

    devices: tuple[str, ...]
    threads: int
    names: tuple[str, ...]
