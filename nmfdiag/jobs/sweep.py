"""Compute many curves: cached ones are not computed again, so a sweep that was stopped continues where it was."""

from collections.abc import Iterable, Iterator

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.dask_cluster import Answer, check_address, on_dask
from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.measures.curve import CompressionCurve

LOCAL = "local"


def sweep(
    requests: Iterable[CurveRequest], cache: CurveCache, *, scheduler: str = LOCAL, device: str = "auto"
) -> Iterator[tuple[CurveRequest, Answer]]:
    """Compute curves, and keep each as soon as it is finished.

    Args:
        requests: The curves.
        cache: Cache of finished curves.
        scheduler: ``"local"``: one after the other in this process. ``"tcp://host:port"``: on the workers of a Dask scheduler,
            which need this version of nmfdiag and the same zoo: others are refused, by name, before they compute.
        device: Device to compute on.

    Yields:
        Each request with its curve or error, in order of completion; cached ones first.

    Raises:
        NmfdiagError: If the scheduler is unknown, can't be reached, or is lost before it has answered everything.
    """
    if scheduler != LOCAL:
        check_address(scheduler)
    missing = {request.key: request for request in requests}
    for key, curve in cache.get_many(missing).items():
        yield missing.pop(key), curve
    if scheduler == LOCAL:
        answers: Iterable[tuple[str, Answer]] = ((key, _answer(request, device)) for key, request in missing.items())
    else:
        answers = on_dask(missing, scheduler, device)
    for key, answer in answers:
        if isinstance(answer, CompressionCurve):
            answer = _stored(cache, key, answer)
        yield missing[key], answer


def _stored(cache: CurveCache, key: str, curve: CompressionCurve) -> Answer:
    try:
        cache.put(key, curve)
    except NmfdiagError as error:  # the network was replaced meanwhile
        return error
    return curve


def _answer(request: CurveRequest, device: str) -> Answer:
    try:
        return compute(request, device=device)
    except NmfdiagError as error:
        return error
