"""One support cover asked for, and computing it: primitives only, torch is loaded by the worker alone."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import CurveRequest, stamp
from nmfdiag.measures.support.cover import CHANNELS, ROWS, SupportCover, support_cover
from nmfdiag.zoo.registry import ZooEntry, lookup

if TYPE_CHECKING:
    from nmfdiag.factorize.progress import Progress

SCHEMA = 1
"""Raise this when the code gives another cover for the same request."""


@dataclass(frozen=True)
class SupportRequest:
    """The support of one network's layer on one batch.

    ``class_idx`` is the given label that the batch shares, or :data:`nmfdiag.jobs.requests.MULTI_CLASS`; ``rows`` and
    ``channels`` are the most of each that are covered; ``seed`` is that of the batch, of the part taken and of the search.
    """

    unit: ClassVar[str] = "supports"
    schema: ClassVar[int] = SCHEMA

    entry: str
    layer: str
    class_idx: int
    per_class: int = 20
    rows: int = ROWS
    channels: int = CHANNELS
    seed: int = 0

    @property
    def key(self) -> str:
        """Hash of everything that can change the answer: the request, the network's files, the code's schema.

        Raises:
            NmfdiagError: If the zoo has no such network.
        """
        return self.key_for(lookup(self.entry).digest)

    def key_for(self, digest: str) -> str:
        """The key where the network's files have this hash."""
        content = json.dumps(["support", SCHEMA, asdict(self), digest], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def support_requests(
    networks: Sequence[ZooEntry], layer: str, *, class_idx: int, per_class: int = 20, rows: int = ROWS
) -> list[SupportRequest]:
    """The supports of all layers of these networks: the layer shown first, then from input to output.

    Raises:
        NmfdiagError: If the layer is none of the networks'.
    """
    layers = list(networks[0].layers)
    if layer not in layers:
        raise NmfdiagError(f"Unknown layer {layer!r}: {networks[0].name} has {', '.join(layers)}.")
    order = [layer, *(other for other in layers if other != layer)]
    return [SupportRequest(n.name, at, class_idx, per_class, rows) for at in order for n in networks]


def cover(request: SupportRequest, *, device: str = "auto", on_progress: "Progress | None" = None) -> SupportCover:
    """Compute one support cover of a zoo network.

    Args:
        request: Which.
        device: Where the network runs up to the layer; the cover is computed by the processor.
        on_progress: Called with the share done and a few words; may raise to cancel.

    Raises:
        NmfdiagError: If the network, layer, class or device is unknown, or the class has fewer than two samples.
    """
    import torch

    from nmfdiag.jobs.compute import loaded, probe_batch, resolve
    from nmfdiag.networks import fold

    began, report = time.perf_counter(), on_progress or (lambda done, words: None)
    where, entry = resolve(device), lookup(request.entry)
    network, pool = loaded(entry, where)
    curve = CurveRequest(
        request.entry, request.layer, request.class_idx, per_class=request.per_class, seed=request.seed
    )
    inputs = probe_batch(pool, curve).inputs.to(where)
    report(0.1, "activations")
    activation = network.cut(request.layer, inputs).activation
    A = fold(activation, network.layer(request.layer).channel_dim)
    report(0.3, "covering the support")
    found = support_cover(A, rows=request.rows, channels=request.channels, seed=request.seed)
    provenance = {
        **stamp(request, entry.digest),
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "scikit-learn": version("scikit-learn"),
        "device": where,
        "threads": torch.get_num_threads(),
        "n_samples": len(inputs),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "seconds": round(time.perf_counter() - began, 4),
    }
    return replace(found, provenance=provenance)
