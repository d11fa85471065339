"""Compute the support cover of a zoo network's layer. Torch is loaded by the worker alone."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nmfdiag.jobs.requests import CurveRequest, SupportRequest, stamp
from nmfdiag.measures.support.cover import SupportCover, support_cover
from nmfdiag.provenance import provenance
from nmfdiag.zoo.registry import lookup

if TYPE_CHECKING:
    from nmfdiag.factorize.progress import Progress


def cover(request: SupportRequest, *, device: str = "auto", on_progress: "Progress | None" = None) -> SupportCover:
    """Compute one support cover of a zoo network.

    Args:
        request: The support.
        device: Device that runs the network up to the layer; the cover itself is computed on the CPU.
        on_progress: Called with the share done and a short text; may raise to cancel.

    Raises:
        NmfdiagError: If the network, layer, class or device is unknown, or the class has fewer than two samples.
    """
    from nmfdiag.jobs.compute import loaded, probe_batch, resolve
    from nmfdiag.networks.matrix_fold import fold

    began, report = time.perf_counter(), on_progress or (lambda share, text: None)
    device, entry = resolve(device), lookup(request.entry)
    network, pool = loaded(entry, device)
    curve = CurveRequest(
        request.entry, request.layer, request.class_idx, per_class=request.per_class, seed=request.seed
    )
    inputs = probe_batch(pool, curve).inputs.to(device)
    report(0.1, "activations")
    activation = network.cut(request.layer, inputs).activation
    A = fold(activation, network.layer(request.layer).channel_dim)
    report(0.3, "covering the support")
    result = support_cover(A, rows=request.rows, channels=request.channels, seed=request.seed)
    computed_with = provenance(
        "torch", "numpy", "scikit-learn", "threads", "date", began=began, device=device, n_samples=len(inputs)
    )
    return replace(result, provenance=stamp(request, entry.digest) | computed_with)
