"""One curve asked for: primitives only, so that it can be hashed, sent and stored."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from nmfdiag.errors import NmfdiagError
from nmfdiag.version import __version__
from nmfdiag.zoo.registry import ZooEntry, lookup

SCHEMA = 3
"""Raise this when the code gives another curve for the same request."""

MULTI_CLASS = -1
GRIDS = ("full", "coarse")


@dataclass(frozen=True)
class CurveRequest:
    """One network, layer, batch and method.

    ``class_idx`` is the given label that the batch shares, or :data:`MULTI_CLASS`. ``method`` is ``"nmf"``, ``"pca"``,
    ``"random"``, or ``"signed"`` for a network whose activations can be negative. ``grid`` is one of :data:`GRIDS`.
    ``tol`` None is the solver's own. ``operation`` is ``"compress"`` (keep the k leading directions) or ``"ablate"``
    (remove them). Device and number of threads are no part of it: they don't change the answer beyond rounding.
    """

    unit: ClassVar[str] = "curves"
    schema: ClassVar[int] = SCHEMA

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
        """The same for every class: what a GPU answers in one call."""
        return replace(self, class_idx=0) if self.class_idx != MULTI_CLASS else self

    @property
    def key(self) -> str:
        """Hash of everything that can change the answer: the request, the network's files, the code's schema.

        Raises:
            NmfdiagError: If the zoo has no such network.
        """
        return self.key_for(lookup(self.entry).digest)

    def key_for(self, digest: str) -> str:
        """The key where the network's files have this hash (:attr:`nmfdiag.zoo.registry.ZooEntry.digest`)."""
        return _key(self, digest)


@lru_cache(maxsize=2**14)
def _key(request: CurveRequest, digest: str) -> str:
    """The key, which is remembered: a page asks for some hundred of them, several times each time that it is drawn."""
    asked = asdict(request)
    # The key of the time before there was a choice: what is in the cache stays valid.
    if request.operation == "compress":
        del asked["operation"]
    content = json.dumps([SCHEMA, asked, digest], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


class Keyed(Protocol):
    """A request for any kind of result."""

    schema: ClassVar[int]

    def key_for(self, digest: str) -> str:
        """The key where the network's files have this hash."""


def stamp(request: Keyed, digest: str) -> dict[str, Any]:
    """What a result's provenance says of its origin: the hash of the files that were read, and the key that follows from it."""
    return {
        "key": request.key_for(digest),
        "content": digest,
        "schema": request.schema,
        "nmfdiag": __version__,
    }


def profile_requests(
    entry: ZooEntry,
    *,
    layers: Sequence[str] | None = None,
    classes: Sequence[int] | None = None,
    methods: Sequence[str] | None = None,
    per_class: int = 50,
    **options: int | float | str,
) -> list[CurveRequest]:
    """The curves of a network: every layer on the first class, then on the next, so that a partial answer spans all layers.

    Without ``methods`` they are those of the network's own one: NMF, or signed NMF where its activations can be negative.

    Raises:
        NmfdiagError: If a layer or class is none of the network's.
    """
    for layer in layers or ():
        if layer not in entry.layers:
            raise NmfdiagError(f"Unknown layer {layer!r}: {entry.name} has {', '.join(entry.layers)}.")
    for c in classes or ():
        if c != MULTI_CLASS and not 0 <= c < entry.n_classes:
            raise NmfdiagError(f"Class {c} is out of range: {entry.name} has 0 .. {entry.n_classes - 1}.")
        if c != MULTI_CLASS and c not in entry.classes:
            there = ", ".join(f"{i} ({entry.class_names[i]})" for i in entry.classes)
            raise NmfdiagError(f"{entry.name} was added without samples of class {c}: there are {there}.")
    return [
        CurveRequest(entry.name, layer, c, method, per_class, **options)  # type: ignore[arg-type]
        for c in (entry.classes if classes is None else classes)
        for layer in layers or entry.layers
        for method in ((entry.method,) if methods is None else methods)
    ]
