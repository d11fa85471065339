"""From requests to their curves."""

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from nmfdiag.data.probe import ProbeBatch, multi_class_batch, single_class_batch
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import coarse_ranks, default_ranks
from nmfdiag.factorize.progress import Progress
from nmfdiag.jobs.memory_limits import check_memory, curve_bytes, give_back, memory_words, out_of_memory
from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest, stamp
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import ProbePool, ZooEntry, lookup

if TYPE_CHECKING:
    from torch import Tensor

LOADED_BYTES = 2**30
"""Of networks and their probe pools that stay loaded; the one in use stays whatever its size."""
RANKS_OF = {"full": default_ranks, "coarse": coarse_ranks}


def compute(request: CurveRequest, *, device: str = "auto", on_progress: Progress | None = None) -> CompressionCurve:
    """Compute one curve of a zoo network.

    Raises:
        NmfdiagError: If the network, layer, class, grid or device is unknown, the layer is dead on the batch, or memory is not enough.
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
        NmfdiagError: If the network, layer, grid or device is unknown, or memory is not enough for one of them alone.
    """
    try:
        answers = _together(requests, resolve(device), on_progress)
        return [_explained(one, answer, device) for one, answer in zip(requests, answers, strict=True)]
    except (MemoryError, RuntimeError) as error:  # torch's are RuntimeErrors
        if not out_of_memory(error):
            raise
        told = memory_words(error, requests[0], resolve(device))
    give_back()
    if len(requests) == 1:
        raise NmfdiagError(told)
    return [compute_together([one], device=device, on_progress=on_progress)[0] for one in requests]


def _explained(
    request: CurveRequest, answer: CompressionCurve | NmfdiagError, device: str
) -> CompressionCurve | NmfdiagError:
    """The answer, or what is to be said where it is an error for want of memory that a network's own code met with."""
    if isinstance(answer, NmfdiagError) and answer.__cause__ is not None and out_of_memory(answer.__cause__):
        return NmfdiagError(memory_words(answer.__cause__, request, resolve(device)))
    return answer


def _together(
    requests: Sequence[CurveRequest], device: str, on_progress: Progress | None
) -> list[CompressionCurve | NmfdiagError]:
    request, report = requests[0], on_progress or (lambda done, words: None)
    if request.grid not in RANKS_OF:
        raise NmfdiagError(f"Unknown rank grid {request.grid!r}: accepted are {', '.join(RANKS_OF)}.")
    entry = lookup(request.entry)
    report(0.0, "loading")  # which may cancel
    network, pool = loaded(entry, device)
    answers: dict[CurveRequest, CompressionCurve | NmfdiagError] = {}
    batches: dict[CurveRequest, tuple[Tensor, Tensor]] = {}
    for one in requests:
        try:
            batch = probe_batch(pool, one)
            batches[one] = batch.inputs.to(device), batch.given_labels
        except NmfdiagError as error:
            answers[one] = error
    if batches:
        n_samples = [len(inputs) for inputs, _ in batches.values()]
        needed = curve_bytes(network, request, max(n_samples), RANKS_OF[request.grid])
        check_memory(needed * (len(batches) if device != "cpu" else 1), device, request)
    report(0.0, "activations")
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
    for one, curve in zip(batches, curves, strict=True):
        if isinstance(curve, CompressionCurve):
            curve.provenance.update(stamp(one, entry.digest))
        answers[one] = curve
    return [answers[one] for one in requests]


def probe_batch(pool: ProbePool, request: CurveRequest) -> ProbeBatch:
    """The samples that a request is computed on."""
    options: dict[str, Any] = {"size": request.per_class, "seed": request.seed, "true_labels": pool.true_labels}
    if request.class_idx == MULTI_CLASS:
        return multi_class_batch(pool.inputs, pool.given_labels, **options)
    return single_class_batch(pool.inputs, pool.given_labels, request.class_idx, **options)


_kept: dict[tuple[str, str, str], tuple[SplitNetwork, ProbePool]] = {}
_shelf = Lock()


def loaded(entry: ZooEntry, device: str) -> tuple[SplitNetwork, ProbePool]:
    """A network and its probe pool; those used last stay loaded.

    Raises:
        NmfdiagError: If a file is missing, damaged, or not the one that the entry was written with.
    """
    key = entry.name, entry.digest, device
    with _shelf:
        if key in _kept:
            _kept[key] = _kept.pop(key)
            return _kept[key]
    pool = entry.load_pool()
    model, example = entry.load_model().to(device), pool.inputs[:2].to(device)
    opened = SplitNetwork(model, example, entry.activations), pool
    with _shelf:
        _kept[key] = opened
        while len(_kept) > 1 and sum(map(_size, _kept.values())) > LOADED_BYTES:
            del _kept[next(iter(_kept))]
    return opened


def _size(loaded: tuple[SplitNetwork, ProbePool]) -> int:
    network, pool = loaded
    held = [*network.model.parameters(), *network.model.buffers(), pool.inputs]
    return sum(tensor.nbytes for tensor in held)


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
