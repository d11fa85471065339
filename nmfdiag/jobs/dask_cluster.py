"""Curves from the workers of a Dask scheduler: each worker is checked before it computes, and any failure there is reported in a sentence."""

import logging
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import CurveRequest, stamp
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.text import plural
from nmfdiag.zoo.registry import lookup

if TYPE_CHECKING:
    from distributed import Client, Future

Answer = CompressionCurve | NmfdiagError
CONNECT_SECONDS = 10
PATIENCE_SECONDS = 30.0
"""Seconds that a scheduler may be without a worker, or unreachable."""
POLL_SECONDS = 2.0
GO_ON = "Finished curves are kept: the same command continues from there."


def answer_on_worker(request: dict[str, Any], expected: dict[str, Any], device: str) -> dict[str, Any]:
    """Compute one curve on a worker. Sent by value, so that a worker without nmfdiag can say so.

    Args:
        request: The fields of a :class:`CurveRequest`.
        expected: The client's :func:`nmfdiag.jobs.requests.stamp` of it.
        device: Device to compute on.

    Returns:
        The curve's record, or ``{"error": ...}``.
    """
    from distributed import get_worker

    address = get_worker().address
    try:
        from nmfdiag.jobs.dask_cluster import checked_record
    except Exception as error:
        version = expected["nmfdiag"]
        return {
            "error": f"The worker {address} can't load nmfdiag {version} ({type(error).__name__}: {error}): install it there."
        }
    record: dict[str, Any] = checked_record(request, expected, device)
    return {"error": f"The worker {address}: {record['error']}"} if "error" in record else record


def checked_record(request: dict[str, Any], expected: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Return a curve's record, or ``{"error": ...}``, without computing where network, schema or version differ from the client's."""
    from nmfdiag.jobs.compute import compute

    try:
        _check_here(request, expected)
        return compute(CurveRequest(**request), device=device).to_dict()
    except Exception as error:  # any error goes back as a sentence, and the next curve is tried
        return {"error": str(error) if isinstance(error, NmfdiagError) else f"{type(error).__name__}: {error}"}


def _check_here(request: dict[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare this worker with the client.

    Raises:
        NmfdiagError: If the version, the schema or the network differs.
    """
    from nmfdiag.version import __version__

    if expected["nmfdiag"] != __version__:
        raise NmfdiagError(f"It has nmfdiag {__version__}, expected {expected['nmfdiag']}: install the same version.")
    entry = lookup(request["entry"])
    local = stamp(CurveRequest(**request), entry.digest)
    if local["content"] != expected["content"]:
        raise NmfdiagError(
            f"Its network {entry.name} is another one: the hash of weights and samples is {local['content'][:12]}, expected "
            f"{expected['content'][:12]}. Give it the same zoo (NMFDIAG_ZOO)."
        )
    if local != expected:
        raise NmfdiagError(
            f"Its nmfdiag computes other curves (schema {local['schema']}, expected {expected['schema']})."
        )


def on_dask(requests: Mapping[str, CurveRequest], scheduler: str, device: str) -> Iterator[tuple[str, Answer]]:
    """Compute curves on the workers of a Dask scheduler.

    Args:
        requests: Requests by key.
        scheduler: ``tcp://host:port``.
        device: Device that the workers compute on.

    Yields:
        Each key with its curve or error, in order of completion.

    Raises:
        NmfdiagError: If the address is malformed, no scheduler answers there, or the scheduler or its last worker is lost.
    """
    check_address(scheduler)
    try:
        from distributed import Client
    except ImportError:
        raise NmfdiagError(
            "A Dask scheduler needs the package dask[distributed]: pip install 'nmfdiag[distributed]'."
        ) from None
    # It prints tracebacks of errors that are reported below.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except Exception as error:
        raise NmfdiagError(f"No Dask scheduler answers at {scheduler} ({_first_line(error)}).") from None
    try:
        futures = _submit(client, requests, device)
        for future in _finished_futures(client, set(futures)):
            key = futures[future]
            yield key, _curve(key, requests[key], future)
    except NmfdiagError:
        raise
    except Exception as error:
        raise NmfdiagError(f"The Dask scheduler {scheduler} was lost ({_first_line(error)}). {GO_ON}") from None
    finally:
        client.close(timeout=CONNECT_SECONDS)


def check_address(scheduler: str) -> None:
    """Refuse anything but the address of a Dask scheduler.

    Raises:
        NmfdiagError: If the address is malformed.
    """
    try:
        parts = urlsplit(scheduler)
        plain = parts.netloc == scheduler.removeprefix("tcp://").rstrip("/") and "@" not in parts.netloc
        if parts.scheme == "tcp" and plain and parts.hostname and parts.port:
            return
    except ValueError:  # a port that is not a number
        pass
    raise NmfdiagError(f"Unknown scheduler {scheduler!r}: accepted are local and tcp://host:port.")


def _submit(client: "Client", requests: Mapping[str, CurveRequest], device: str) -> dict["Future", str]:
    function = _ByValue(answer_on_worker)
    futures = {}
    for key, request in requests.items():
        expected = stamp(request, lookup(request.entry).digest)
        if expected["key"] != key:
            raise NmfdiagError(f"{request.entry} was replaced while the sweep was being prepared: try again.")
        name = f"nmfdiag-{expected['nmfdiag']}-{key}"
        futures[client.submit(function, asdict(request), expected, device, key=name, pure=True)] = key
    return futures


def _finished_futures(client: "Client", left: set["Future"]) -> Iterator["Future"]:
    """Yield futures as they finish, fail or are lost.

    Raises:
        NmfdiagError: If no worker, or no scheduler, has answered for :data:`PATIENCE_SECONDS`.
    """
    last_sign = time.monotonic()
    while left:
        finished = [future for future in left if future.status != "pending"]
        if finished or _has_worker(client):
            last_sign = time.monotonic()
        elif time.monotonic() - last_sign > PATIENCE_SECONDS:
            missing = "has no worker" if client.status == "running" else "no longer answers"
            address = client.scheduler.address if client.scheduler is not None else "that was named"
            raise NmfdiagError(
                f"The Dask scheduler {address} {missing}; not computed: {plural(len(left), 'curve')}. Start workers "
                f"(dask worker {address}) with nmfdiag and the same zoo. {GO_ON}"
            )
        if client.status == "closed":
            raise NmfdiagError(
                f"The connection to the Dask scheduler was closed; not computed: {plural(len(left), 'curve')}. {GO_ON}"
            )
        left.difference_update(finished)
        yield from finished
        if left and not finished:
            _wait(client, left)


def _wait(client: "Client", futures: set["Future"]) -> None:
    """Wait until one of them is finished, or :data:`POLL_SECONDS` have passed."""
    from distributed import wait

    with client.as_current(), suppress(TimeoutError):
        wait(list(futures), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")


def _has_worker(client: "Client") -> bool:
    """Return whether the scheduler answers and has a worker."""
    if client.status != "running":
        return False
    try:
        return bool(client.sync(client.scheduler.identity, n_workers=1, callback_timeout=CONNECT_SECONDS)["workers"])
    except Exception:
        return False


def _curve(key: str, request: CurveRequest, future: "Future") -> Answer:
    """Return the curve of one request, or its error."""
    try:
        record = future.result(timeout=CONNECT_SECONDS)
        if "error" in record:
            return NmfdiagError(str(record["error"]))
        curve = CompressionCurve.from_dict(record)
        if curve.provenance.get("key") != key:
            return NmfdiagError(
                f"A worker answered with another curve than that of {request.layer} of {request.entry}."
            )
        return curve
    except Exception as error:
        died = type(error).__name__ == "KilledWorker"
        reason = (
            "the workers that tried it have died, perhaps because they ran out of memory"
            if died
            else _first_line(error)
        )
        return NmfdiagError(f"{request.layer} of {request.entry} could not be computed: {reason}.")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


class _ByValue:
    """A function that is pickled with its code, for workers that may lack its module."""

    def __init__(self, function: Callable[..., Any]):
        import cloudpickle

        module = sys.modules[function.__module__]
        cloudpickle.register_pickle_by_value(module)
        try:
            self.code = cloudpickle.dumps(function)
        finally:
            cloudpickle.unregister_pickle_by_value(module)

    def __reduce__(self) -> tuple[Any, ...]:
        return pickle.loads, (self.code,)

    def __call__(self) -> None:
        """Never called here: workers unpickle the function itself."""
