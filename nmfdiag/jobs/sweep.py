"""Many curves in one go: what is kept already is not computed again, so a sweep that was stopped goes on where it was."""

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
    """Compute curves, and keep each as soon as it is there.

    Args:
        requests: What to compute.
        cache: Where finished curves are looked up and kept.
        scheduler: ``"local"``: one after the other in this process. ``"tcp://host:port"``: on the workers of a Dask scheduler,
            which need this version of nmfdiag and the same zoo: others are refused, by name, before they compute.
        device: Where to compute.

    Yields:
        Each request with its curve, or with what is wrong with it, as they come; those that are kept already first.

    Raises:
        NmfdiagError: If the scheduler is unknown, can't be reached, or is lost with all that it has not answered yet.
    """
    if scheduler != LOCAL:
        check_address(scheduler)
    wanted = {request.key: request for request in requests}
    for key, curve in cache.get_many(wanted).items():
        yield wanted.pop(key), curve
    if scheduler == LOCAL:
        answers: Iterable[tuple[str, Answer]] = ((key, _answer(one, device)) for key, one in wanted.items())
    else:
        answers = on_dask(wanted, scheduler, device)
    for key, answer in answers:
        if isinstance(answer, CompressionCurve):
            answer = _kept(cache, key, answer)
        yield wanted[key], answer


def _kept(cache: CurveCache, key: str, curve: CompressionCurve) -> Answer:
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
