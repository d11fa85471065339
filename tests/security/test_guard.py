"""What the server accepts: its own pages, under its own names, and a limited amount of uploads."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from streamlit import config, net_util
from streamlit.web.server import server_util

from nmfdiag.ui import guard
from nmfdiag.ui.guard import Guard, refusal, stay_offline

OWN = "127.0.0.1:8501"


@pytest.fixture(autouse=True)
def options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    options = {
        "server.allowedHosts": ["127.0.0.1", "diag.example"],
        "server.corsAllowedOrigins": ["https://diag.example"],
        "server.maxUploadSize": 1,
    }
    get_option = config.get_option
    monkeypatch.setattr(config, "get_option", lambda name: options.get(name, get_option(name)))
    return options


@pytest.mark.parametrize(
    ("hosts", "origins", "accepted"),
    [
        ([OWN], [], True),
        ([OWN], [f"http://{OWN}"], True),
        (["Diag.Example"], ["https://diag.example"], True),
        ([OWN], ["https://diag.example"], True),  # a proxy that does not pass the host on
        ([OWN], ["http://127.0.0.1:8502"], False),
        ([OWN], ["null"], False),
        ([OWN], [""], False),
        ([OWN], [f"http://{OWN}", "https://evil.example"], False),
        (["evil.example:8501"], ["http://evil.example:8501"], False),
        (["127.0.0.1.evil.example"], [], False),
        (["evil.example@127.0.0.1"], [], False),
        ([OWN, "evil.example"], [], False),
        ([], [], False),
        ([""], [], False),
    ],
)
def test_hosts_and_origins(hosts: list[str], origins: list[str], accepted: bool) -> None:
    assert (refusal(hosts, origins) == "") == accepted


def test_without_names_every_request_is_refused(options: dict[str, Any]) -> None:
    options["server.allowedHosts"] = []
    assert refusal([OWN], [])


def test_no_address_is_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("get_external_ip", "get_internal_ip"):
        monkeypatch.setattr(net_util, name, getattr(net_util, name))  # to be put back
    monkeypatch.setattr(net_util, "_make_blocking_http_get", lambda *_, **__: pytest.fail("an address was requested"))
    stay_offline()
    assert not server_util.is_url_from_allowed_origins("https://evil.example")


def put(server: Guard, session: str, size: int | None) -> int:
    """Return the status of the answer to an upload."""
    length = [] if size is None else [(b"content-length", str(size).encode())]
    scope = {"type": "http", "method": "PUT", "path": f"/_stcore/upload_file/{session}/file", "headers": [(b"host", OWN.encode()), *length]}  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(server(scope, receive, send))
    return int(sent[0]["status"])


def test_uploads_in_memory_are_bounded_by_session_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded: dict[str, int] = {}
    monkeypatch.setattr(guard, "uploaded_bytes", lambda: uploaded)

    async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})

    server, megabyte = Guard(app), guard.MEGABYTE
    assert put(server, "a", megabyte) == put(server, "a", None) == 204
    uploaded["a"] = 2 * megabyte + 1
    assert put(server, "a", megabyte) == put(server, "a", None) == 413  # an unknown length counts as the largest
    assert put(server, "a", 10) == put(server, "b", megabyte) == 204
    uploaded.clear()
    uploaded |= {str(i): 2 * megabyte for i in range(5)} | {"c": 3 * megabyte // 2}
    assert put(server, "b", megabyte) == 413 and put(server, "b", 10) == 204
