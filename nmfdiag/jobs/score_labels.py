"""Score the labels of a network's samples. Torch is loaded by the worker alone."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nmfdiag.jobs.requests import SuspectsRequest, stamp
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.provenance import provenance
from nmfdiag.zoo.registry import lookup

if TYPE_CHECKING:
    from nmfdiag.factorize.progress import Progress


def score(request: SuspectsRequest, *, device: str = "auto", on_progress: "Progress | None" = None) -> Suspects:
    """Score all samples that are kept of a zoo network.

    Args:
        request: The network.
        device: Device to compute on.
        on_progress: Called with the share done and a short text; may raise to cancel.

    Raises:
        NmfdiagError: If the network or device is unknown, a file is damaged, or the samples have labels of one class only.
    """
    from nmfdiag.jobs.compute import loaded, resolve
    from nmfdiag.measures.suspects.suspects import suspects

    began = time.perf_counter()
    device, entry = resolve(device), lookup(request.entry)
    report = on_progress or (lambda share, text: None)
    report(0.0, "loading")
    network, pool = loaded(entry, device)
    result = suspects(
        network,
        pool.inputs,
        pool.given_labels,
        class_names=entry.class_names,
        device=device,
        on_progress=report,
    ).numbered(pool.sample_rows.numpy(), pool.file_names)
    computed_with = provenance("torch", "numpy", "threads", "date", began=began, device=device)
    return replace(result, provenance=result.provenance | stamp(request, entry.digest) | computed_with)
