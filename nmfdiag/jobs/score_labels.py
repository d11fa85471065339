"""Score the labels of a network's samples. Torch is loaded by the worker alone."""

import copy
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nmfdiag.jobs.requests import SuspectsRequest, stamp
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.provenance import provenance
from nmfdiag.zoo.registry import lookup

if TYPE_CHECKING:
    from torch import Tensor

    from nmfdiag.factorize.progress import Progress
    from nmfdiag.networks.split import SplitNetwork

PASS = 0.03
"""Share of the work that the bar moves on by during a pass over the samples; the pass itself is told of when it ends."""


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
    progress = _Progress(on_progress or (lambda share, text: None))
    progress(0.0, "loading")
    network, pool = loaded(entry, device)
    progress.n_samples = len(pool.inputs)
    result = suspects(
        _watched(network, progress),
        pool.inputs,
        pool.given_labels,
        class_names=entry.class_names,
        device=device,
        on_progress=progress,
    ).numbered(pool.sample_rows.numpy(), pool.file_names)
    computed_with = provenance("torch", "numpy", "threads", "date", began=began, device=device)
    return replace(result, provenance=result.provenance | stamp(request, entry.digest) | computed_with)


class _Progress:
    """Passes progress on, and tells of every batch, so that a long pass over the samples can be cancelled.

    Args:
        report: Called with the share done and a short text; may raise to cancel.
    """

    def __init__(self, report: "Progress"):
        self.n_samples, self._report = 1, report
        self._last, self._n_run = (0.0, ""), 0

    def __call__(self, share: float, text: str) -> None:
        self._last, self._n_run = (share, text), 0
        self._report(share, text)

    def add(self, n: int) -> None:
        """Note that the network runs on a batch of n samples."""
        share, text = self._last
        self._n_run += n
        self._report(min(1.0, share + PASS * min(1.0, self._n_run / self.n_samples)), text)


def _watched(network: "SplitNetwork", progress: _Progress) -> "SplitNetwork":
    """Return a shallow copy of a network, which others use too, that tells of every batch it runs on."""
    watched, prepared = copy.copy(network), copy.copy(network.prepared)
    copy_in_layout = prepared.copy_in_layout

    def told_copy(inputs: "Tensor") -> "Tensor":
        progress.add(len(inputs))
        return copy_in_layout(inputs)

    prepared.copy_in_layout = told_copy  # type: ignore[method-assign]
    watched.prepared = prepared
    return watched
