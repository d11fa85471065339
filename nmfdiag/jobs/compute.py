"""Compute the curves of requests."""

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

from nmfdiag.data.probe import ProbeBatch, multi_class_batch, single_class_batch
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import coarse_ranks, default_ranks
from nmfdiag.factorize.progress import Progress
from nmfdiag.jobs.memory_limits import check_memory, curve_bytes, memory_message, out_of_memory, release_memory
from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest, stamp
from nmfdiag.measures.compression import compression_curves
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import ProbePool, ZooEntry, lookup

if TYPE_CHECKING:
    from torch import Tensor

LOADED_BYTES = 2**30
"""Bytes of networks and their probe pools that stay loaded; the last used one stays whatever its size."""
RANKS_OF = {"full": default_ranks, "coarse": coarse_ranks}


def compute(request: CurveRequest, *, device: str = "auto", on_progress: Progress | None = None) -> CompressionCurve:
    """Compute one curve of a zoo network.

    Raises:
        NmfdiagError: If the network, layer, class, grid or device is unknown, the layer is dead on the batch, or memory is too small.
    """
    [answer] = compute_together([request], device=device, on_progress=on_progress)
    if isinstance(answer, NmfdiagError):
        raise answer
    return answer


def compute_together(
    requests: Sequence[CurveRequest], *, device: str = "auto", on_progress: Progress | None = None
) -> list[CompressionCurve | NmfdiagError]:
    """Compute curves of one layer of a zoo network that differ only in their class; on a GPU they are factorised in one call.

    Returns:
        Each request's curve, or the error of its batch.

    Raises:
        NmfdiagError: If the network, layer, grid or device is unknown, or memory is too small for a single one.
    """
    try:
        answers = _compute_together(requests, resolve(device), on_progress)
        return [
            _with_memory_explained(request, answer, device) for request, answer in zip(requests, answers, strict=True)
        ]
    except (MemoryError, RuntimeError) as error:  # torch's are RuntimeErrors
        if not out_of_memory(error):
            raise
        message = memory_message(error, requests[0], resolve(device))
    release_memory()
    if len(requests) == 1:
        raise NmfdiagError(message)
    return [compute_together([request], device=device, on_progress=on_progress)[0] for request in requests]


def _with_memory_explained(
    request: CurveRequest, answer: CompressionCurve | NmfdiagError, device: str
) -> CompressionCurve | NmfdiagError:
    """Return the answer, with an explanation if it is an error because the network's code ran out of memory."""
    if isinstance(answer, NmfdiagError) and answer.__cause__ is not None and out_of_memory(answer.__cause__):
        return NmfdiagError(memory_message(answer.__cause__, request, resolve(device)))
    return answer


def _compute_together(
    requests: Sequence[CurveRequest], device: str, on_progress: Progress | None
) -> list[CompressionCurve | NmfdiagError]:
    request, report = requests[0], on_progress or (lambda share, text: None)
    if request.grid not in RANKS_OF:
        raise NmfdiagError(f"Unknown rank grid {request.grid!r}: accepted are {', '.join(RANKS_OF)}.")
    entry = lookup(request.entry)
    report(0.0, "loading")  # may cancel
    network, pool = loaded(entry, device)
    answers: dict[CurveRequest, CompressionCurve | NmfdiagError] = {}
    batches: dict[CurveRequest, tuple[Tensor, Tensor]] = {}
    for class_request in requests:
        try:
            batch = probe_batch(pool, class_request)
            batches[class_request] = batch.inputs.to(device), batch.given_labels
        except NmfdiagError as error:
            answers[class_request] = error
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
    for class_request, curve in zip(batches, curves, strict=True):
        if isinstance(curve, CompressionCurve):
            curve.provenance.update(stamp(class_request, entry.digest))
        answers[class_request] = curve
    return [answers[class_request] for class_request in requests]


def probe_batch(pool: ProbePool, request: CurveRequest) -> ProbeBatch:
    """Return the samples that a request is computed on."""
    options: dict[str, Any] = {"size": request.per_class, "seed": request.seed, "true_labels": pool.true_labels}
    if request.class_idx == MULTI_CLASS:
        return multi_class_batch(pool.inputs, pool.given_labels, **options)
    return single_class_batch(pool.inputs, pool.given_labels, request.class_idx, **options)


_loaded: dict[tuple[str, str, str], tuple[SplitNetwork, ProbePool]] = {}
_loaded_lock = Lock()


def loaded(entry: ZooEntry, device: str) -> tuple[SplitNetwork, ProbePool]:
    """Return a network and its probe pool; the last used ones stay loaded.

    Raises:
        NmfdiagError: If a file is missing, damaged, or not the one that the entry was written with.
    """
    key = entry.name, entry.digest, device
    with _loaded_lock:
        if key in _loaded:
            _loaded[key] = _loaded.pop(key)
            return _loaded[key]
    pool = entry.load_pool()
    model, example = entry.load_model().to(device), pool.inputs[:2].to(device)
    opened = SplitNetwork(model, example, entry.activations), pool
    with _loaded_lock:
        _loaded[key] = opened
        while len(_loaded) > 1 and sum(map(_size, _loaded.values())) > LOADED_BYTES:
            del _loaded[next(iter(_loaded))]
    return opened


def _size(loaded: tuple[SplitNetwork, ProbePool]) -> int:
    network, pool = loaded
    tensors = [*network.model.parameters(), *network.model.buffers(), pool.inputs]
    return sum(tensor.nbytes for tensor in tensors)


def devices() -> list[str]:
    """Return the devices to compute on, the fastest first."""
    import torch

    return (["cuda"] if torch.cuda.is_available() else []) + ["cpu"]


def resolve(device: str) -> str:
    """Return the device of a name: ``"auto"`` is the fastest one.

    Raises:
        NmfdiagError: If this machine doesn't have the device.
    """
    available = devices()
    if device == "auto":
        return available[0]
    if device.split(":")[0] not in available:
        raise NmfdiagError(f"This machine has no device {device!r}: accepted are auto, {', '.join(available)}.")
    return device
