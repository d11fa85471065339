"""Many curves in one go: what is kept already is not computed again, so a sweep that was stopped goes on where it was."""

from collections.abc import Iterable, Iterator
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.runs.cache import CurveCache
from nmfdiag.runs.compute import compute
from nmfdiag.runs.request import CurveRequest

Answer = CompressionCurve | NmfdiagError
LOCAL = "local"


def sweep(
    requests: Iterable[CurveRequest], cache: CurveCache, *, scheduler: str = LOCAL, device: str = "auto"
) -> Iterator[tuple[CurveRequest, Answer]]:
    """Compute curves, and keep each as soon as it is there.

    Args:
        requests: What to compute.
        cache: Where finished curves are looked up and kept.
        scheduler: ``"local"``: one after the other in this process. ``"tcp://host:port"``: on the workers of a Dask scheduler,
            which need nmfdiag and the same zoo.
        device: Where to compute.

    Yields:
        Each request with its curve, or with what is wrong with it, as they come; those that are kept already first.

    Raises:
        NmfdiagError: If the scheduler is unknown or can't be reached.
    """
    wanted = {request.key: request for request in requests}
    for key, curve in cache.get_many(wanted).items():
        yield wanted.pop(key), curve
    if scheduler == LOCAL:
        answers: Iterable[tuple[str, Answer]] = ((key, _answer(one, device)) for key, one in wanted.items())
    elif scheduler.startswith("tcp://"):
        answers = _on_dask(wanted, scheduler, device)
    else:
        raise NmfdiagError(f"Unknown scheduler {scheduler!r}: accepted are {LOCAL} and tcp://host:port.")
    for key, answer in answers:
        if isinstance(answer, CompressionCurve):
            cache.put(key, answer)
        yield wanted[key], answer


def _answer(request: CurveRequest, device: str) -> Answer:
    try:
        return compute(request, device=device)
    except NmfdiagError as error:
        return error


def _record(request: CurveRequest, device: str) -> dict[str, Any]:
    """What a worker sends back: plain values only."""
    answer = _answer(request, device)
    return {"error": str(answer)} if isinstance(answer, NmfdiagError) else answer.to_dict()


def _on_dask(wanted: dict[str, CurveRequest], scheduler: str, device: str) -> Iterator[tuple[str, Answer]]:
    try:
        from dask.distributed import Client, as_completed
    except ImportError:
        raise NmfdiagError(
            "A Dask scheduler needs the package dask[distributed]: pip install 'nmfdiag[distributed]'."
        ) from None
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, TimeoutError) as error:
        raise NmfdiagError(f"No Dask scheduler answers at {scheduler} ({error}).") from None
    with client:
        keys = {
            client.submit(_record, one, device, key=f"nmfdiag-{key}", pure=True): key for key, one in wanted.items()
        }
        for future, record in as_completed(keys, with_results=True):
            wrong = record.get("error")
            yield keys[future], CompressionCurve.from_dict(record) if wrong is None else NmfdiagError(wrong)
