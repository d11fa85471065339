"""What can be computed, as frozen records of primitives that can be hashed, sent and stored, and the key of each in the cache.

Nothing here needs torch. Answers: :class:`nmfdiag.measures.curve.CompressionCurve` for a :class:`CurveRequest`,
:class:`nmfdiag.measures.support.cover.SupportCover` for a :class:`SupportRequest`, :class:`RuntimeResult` for a :class:`RuntimeRequest`,
:class:`nmfdiag.measures.suspects.result.Suspects` for a :class:`SuspectsRequest`.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, lru_cache
from importlib.metadata import version
from statistics import median
from typing import Any, ClassVar

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.support.cover import CHANNELS, ROWS
from nmfdiag.version import __version__
from nmfdiag.zoo.registry import ZooEntry, lookup

SCHEMA, SUPPORT_SCHEMA, SUSPECTS_SCHEMA, CHECK_SCHEMA = 3, 1, 7, 3
"""Version of the code's answers, of curves and timings, of supports, of suspects and of pre-flight checks: raise it when the same request gets another
answer."""
MULTI_CLASS = -1
"""``class_idx`` of a batch of all classes."""
GRIDS = ("full", "coarse")
KINDS = ("rank", "rows", "channels", "convergence")
"""Kinds of timings: the time over each of the first three, or the error over time."""
WHOLE_GRID = 0
"""``rank`` of a timing of the whole default grid in one call."""
MAX_ITER = 1000
"""Iterations of a timing, enough for multiplicative updates to reach their tolerance on most layers."""


class _Request:
    """The key that all requests share."""

    entry: str

    @property
    def key(self) -> str:
        """The request's key in the cache; see :func:`key_of`.

        Raises:
            NmfdiagError: If the zoo has no such network.
        """
        return key_of(self, lookup(self.entry).digest)  # type: ignore[arg-type]


@dataclass(frozen=True)
class CurveRequest(_Request):
    """One network, layer, batch and method.

    ``class_idx`` is the given label that the batch shares, or :data:`MULTI_CLASS`. ``method`` is ``"nmf"``, ``"pca"``,
    ``"random"``, or ``"signed"`` for a network whose activations can be negative. ``grid`` is one of :data:`GRIDS`.
    ``tol`` None is the solver's default. ``operation`` is ``"compress"`` (keep the k leading directions) or ``"ablate"``
    (remove them). Device and number of threads are left out: they don't change the answer beyond rounding.
    """

    unit: ClassVar[str] = "curves"
    schema: ClassVar[int] = SCHEMA
    prefix: ClassVar[tuple[str, ...]] = ()

    entry: str
    layer: str
    class_idx: int
    method: str = "nmf"
    per_class: int = 50
    grid: str = "full"
    solver: str = "hals"
    tol: float | None = None
    max_iter: int = 200
    draws: int = 10
    seed: int = 0
    operation: str = "compress"

    @property
    def alike(self) -> "CurveRequest":
        """The request with the class left out: a GPU computes all classes of one in a single call."""
        return replace(self, class_idx=0) if self.class_idx != MULTI_CLASS else self


@dataclass(frozen=True)
class SupportRequest(_Request):
    """The support of one network's layer on one batch.

    ``class_idx`` is the given label that the batch shares, or :data:`MULTI_CLASS`; at most ``rows`` and ``channels`` are
    covered; ``seed`` chooses the batch and the part of it that is covered, and starts the search.
    """

    unit: ClassVar[str] = "supports"
    schema: ClassVar[int] = SUPPORT_SCHEMA
    prefix: ClassVar[tuple[str, ...]] = ("support",)

    entry: str
    layer: str
    class_idx: int
    per_class: int = 20
    rows: int = ROWS
    channels: int = CHANNELS
    seed: int = 0


@dataclass(frozen=True)
class RuntimeRequest(_Request):
    """One NMF call to be timed, on the activations of one layer and batch.

    ``rank`` is factorised alone, or the whole default grid in one call if it is :data:`WHOLE_GRID`. ``kind`` is one of
    :data:`KINDS`: ``"rows"`` and ``"channels"`` use a ``share`` of those, ``"convergence"`` records the error over time.
    ``tol`` None is each solver's default. A timing depends on the device, the number of threads and the machine, so they belong to the
    request, unlike a curve's.
    """

    unit: ClassVar[str] = "points"
    schema: ClassVar[int] = SCHEMA
    prefix: ClassVar[tuple[str, ...]] = ("runtime",)

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


@dataclass(frozen=True)
class SuspectsRequest(_Request):
    """The wrong labels among all samples that are kept of a network; ``layer`` stands for it in sentences."""

    unit: ClassVar[str] = "networks"
    schema: ClassVar[int] = SUSPECTS_SCHEMA
    prefix: ClassVar[tuple[str, ...]] = ("suspects",)
    layer: ClassVar[str] = "labels"

    entry: str


CURVE, LABELS, CHECK = "curve", "labels", "check"
"""Results on any network that a command opens."""
OWN_SCHEMAS = {CURVE: SCHEMA, LABELS: SUSPECTS_SCHEMA, CHECK: CHECK_SCHEMA}


@dataclass(frozen=True)
class OwnRequest:
    """One result on any network that a command opens; :mod:`nmfdiag.jobs.own_results` has the digest of such a network and its samples.

    ``result`` is one of :data:`OWN_SCHEMAS`, ``options`` is JSON of all that can change it, the batch of a curve among them.
    """

    prefix: ClassVar[tuple[str, ...]] = ("own",)

    result: str
    options: str

    @property
    def schema(self) -> int:
        """Version of the code's answers."""
        return OWN_SCHEMAS[self.result]


Request = CurveRequest | SupportRequest | RuntimeRequest | SuspectsRequest


@dataclass(frozen=True)
class RuntimeResult:
    """The timings of one NMF call.

    Attributes:
        rows: Rows of the factorised matrix.
        channels: Its channels.
        ranks: Ranks of the call; empty if the matrix is too small for the requested one, and then nothing was timed.
        wall_seconds: Wall time of each repeat.
        cpu_seconds: CPU time of the whole process, over all threads, of each repeat.
        relative_error: ``||A - W H|| / ||A||`` of each rank.
        n_iter: Iterations of each rank.
        converged: Whether each rank reached the tolerance.
        trace: For ``kind="convergence"``, a row for each time the solver measured its error on the whole matrix: seconds since
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


def keys_of(requests: Iterable[Request]) -> list[str]:
    """Return the requests' keys in the cache; each network is looked up once.

    Raises:
        NmfdiagError: If the zoo has no such network.
    """
    digest = cache(lambda name: lookup(name).digest)
    return [key_of(request, digest(request.entry)) for request in requests]


def key_of(request: Request | OwnRequest, digest: str) -> str:
    """Return the key of a request in the cache: a hash of everything that can change the answer.

    That is the request, the code's schema and, of a timing and of an :class:`OwnRequest`, the versions that compute.

    Args:
        request: The request.
        digest: Hash of the network's files (:attr:`nmfdiag.zoo.registry.ZooEntry.digest`).
    """
    has_versions = request.prefix in (RuntimeRequest.prefix, OwnRequest.prefix)
    return _key(request, digest, (__version__, version("torch"), version("numpy")) if has_versions else ())


@lru_cache(maxsize=2**14)
def _key(request: Request | OwnRequest, digest: str, versions: tuple[str, ...]) -> str:
    """Return the key; cached, because a page needs hundreds of them, several times each time it is drawn."""
    fields = asdict(request)
    if fields.get("operation") == "compress":  # left out, as before there were other operations: old results stay valid
        del fields["operation"]
    content = json.dumps(
        [*request.prefix, request.schema, *([versions] if versions else []), fields, digest], sort_keys=True
    )
    return hashlib.sha256(content.encode()).hexdigest()


def stamp(request: Request | OwnRequest, digest: str) -> dict[str, Any]:
    """Return the origin of a result, for its provenance: the hash of the files that were read, and the key that follows from it."""
    return {"key": key_of(request, digest), "content": digest, "schema": request.schema, "nmfdiag": __version__}


def profile_requests(
    entry: ZooEntry,
    *,
    layers: Sequence[str] | None = None,
    classes: Sequence[int] | None = None,
    methods: Sequence[str] | None = None,
    per_class: int = 50,
    **options: int | float | str,
) -> list[CurveRequest]:
    """Return the curves of a network: every layer on the first class, then on the next, so that a partial answer spans all layers.

    Without ``methods`` it is the network's default one: NMF, or signed NMF where its activations can be negative.

    Raises:
        NmfdiagError: If a layer or class is unknown.
    """
    for layer in layers or ():
        _check_layer(entry, layer)
    for c in classes or ():
        if c != MULTI_CLASS and not 0 <= c < entry.n_classes:
            raise NmfdiagError(f"Class {c} is out of range: {entry.name} has 0 .. {entry.n_classes - 1}.")
        if c != MULTI_CLASS and c not in entry.classes:
            accepted = ", ".join(f"{i} ({entry.class_names[i]})" for i in entry.classes)
            raise NmfdiagError(f"{entry.name} was added without samples of class {c}: it has {accepted}.")
    return [
        CurveRequest(entry.name, layer, c, method, per_class, **options)  # type: ignore[arg-type]
        for c in (entry.classes if classes is None else classes)
        for layer in layers or entry.layers
        for method in ((entry.method,) if methods is None else methods)
    ]


def support_requests(
    networks: Sequence[ZooEntry], layer: str, *, class_idx: int, per_class: int = 20, rows: int = ROWS
) -> list[SupportRequest]:
    """Return the supports of all layers of some networks: this layer first, then the others from input to output.

    Raises:
        NmfdiagError: If the layer is unknown.
    """
    _check_layer(networks[0], layer)
    layers = sorted(networks[0].layers, key=lambda name: name != layer)
    return [SupportRequest(entry.name, name, class_idx, per_class, rows) for name in layers for entry in networks]


def _check_layer(entry: ZooEntry, layer: str) -> None:
    if layer not in entry.layers:
        raise NmfdiagError(f"Unknown layer {layer!r}: {entry.name} has {', '.join(entry.layers)}.")
