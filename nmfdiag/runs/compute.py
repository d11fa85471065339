"""From requests to their curves."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nmfdiag.data import ProbeBatch, multi_class_batch, single_class_batch
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import coarse_ranks, default_ranks
from nmfdiag.factorize.progress import Progress
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.runs.request import MULTI_CLASS, CurveRequest
from nmfdiag.zoo.registry import ProbePool, lookup

if TYPE_CHECKING:
    from torch import Tensor

LOADED_NETWORKS = 8
RANKS_OF = {"full": default_ranks, "coarse": coarse_ranks}


def compute(request: CurveRequest, *, device: str = "auto", on_progress: Progress | None = None) -> CompressionCurve:
    """Compute one curve of a zoo network.

    Raises:
        NmfdiagError: If the network, layer, class, grid or device is unknown, or the layer is dead on the batch.
    """
    [answer] = compute_together([request], device=device, on_progress=on_progress)
    if isinstance(answer, NmfdiagError):
        raise answer
    return answer


def compute_together(
    requests: Sequence[CurveRequest], *, device: str = "auto", on_progress: Progress | None = None
) -> list[CompressionCurve | NmfdiagError]:
    """Compute curves of one layer of a zoo network that differ in their class only; on a GPU they are factorised in one call.

    Returns:
        Each request's curve, or what is wrong with its batch.

    Raises:
        NmfdiagError: If the network, layer, grid or device is unknown.
    """
    request = requests[0]
    if request.grid not in RANKS_OF:
        raise NmfdiagError(f"Unknown rank grid {request.grid!r}: accepted are {', '.join(RANKS_OF)}.")
    device = resolve(device)
    entry = lookup(request.entry)
    network, pool = _loaded(request.entry, entry.digest, device)
    answers: dict[CurveRequest, CompressionCurve | NmfdiagError] = {}
    batches: dict[CurveRequest, tuple[Tensor, Tensor]] = {}
    for one in requests:
        try:
            batch = probe_batch(pool, one)
            batches[one] = batch.inputs.to(device), batch.given_labels
        except NmfdiagError as error:
            answers[one] = error
    curves = compression_curves(
        network,
        request.layer,
        list(batches.values()),
        method=request.method,
        ranks=RANKS_OF[request.grid],
        seed=request.seed,
        solver=request.solver,
        tol=request.tol,
        max_iter=request.max_iter,
        draws=request.draws,
        operation=request.operation,
        on_progress=on_progress,
    )
    answers |= dict(zip(batches, curves, strict=True))
    return [answers[one] for one in requests]


def probe_batch(pool: ProbePool, request: CurveRequest) -> ProbeBatch:
    """The samples that a request is computed on."""
    options: dict[str, Any] = {"size": request.per_class, "seed": request.seed, "true_labels": pool.true_labels}
    if request.class_idx == MULTI_CLASS:
        return multi_class_batch(pool.inputs, pool.given_labels, **options)
    return single_class_batch(pool.inputs, pool.given_labels, request.class_idx, **options)


@lru_cache(maxsize=LOADED_NETWORKS)
def _loaded(name: str, _digest: str, device: str) -> tuple[SplitNetwork, ProbePool]:
    entry = lookup(name)
    pool = entry.load_pool()
    return SplitNetwork(entry.load_model().to(device), pool.inputs[:2].to(device)), pool


def devices() -> list[str]:
    """Devices to compute on, the fastest first."""
    import torch

    return (["cuda"] if torch.cuda.is_available() else []) + ["cpu"]


def resolve(device: str) -> str:
    """The device meant: ``"auto"`` is the fastest there is.

    Raises:
        NmfdiagError: If this machine has no such device.
    """
    found = devices()
    if device == "auto":
        return found[0]
    if device.split(":")[0] not in found:
        raise NmfdiagError(f"This machine has no device {device!r}: accepted are auto, {', '.join(found)}.")
    return device
