"""Who may use the dashboard's server (pages that it served itself, under one of its names), how much they may upload, and the headers of its answers."""

import webbrowser
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

import streamlit as st
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config, net_util
from streamlit.runtime import Runtime
from streamlit.web.server import server_util
from streamlit.web.server.starlette.starlette_websocket import is_host_allowed

HEALTH, UPLOADS = "/_stcore/health", "/_stcore/upload_file/"
SESSION_UPLOADS, ALL_UPLOADS = 3, 12
"""Uploads of the largest size that one session, and all sessions, may hold in memory at once; a form has three fields."""
MEGABYTE = 2**20
HEADERS = {
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' ws: wss: data: blob:; "
    "frame-ancestors 'self'; form-action 'self'; base-uri 'self'; object-src 'none'",
}
"""Headers of every answer: no other site shows the dashboard in a frame, and the page fetches nothing from other servers."""


def stay_offline() -> None:
    """Keep Streamlit from asking a service on the internet for its own address when another site's page connects."""
    net_util.get_external_ip = net_util.get_internal_ip = lambda: None


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncGenerator[None, None]:
    """Prepare the server's start; open the browser on a desktop, which Streamlit does for scripts only."""
    stay_offline()
    if not config.get_option("server.headless"):
        Timer(1, webbrowser.open, [server_util.get_url(config.get_option("browser.serverAddress"))]).start()
    yield


@cache
def preloads() -> str:
    """Return the ``Link`` header of a page: its browser fetches at once what draws plots, not when the first plot comes. Empty if Streamlit has no such file."""
    scripts = Path(st.__file__).parent.glob("static/static/js/PlotlyChart.*.js")
    return ", ".join(f"<./static/js/{path.name}>; rel=modulepreload; crossorigin" for path in scripts)


class Guard:
    """Middleware that checks each request before Streamlit sees it, and adds headers to each answer."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self._arriving: dict[str, int] = defaultdict(int)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        reason = "" if scope["path"].endswith(HEALTH) else refusal(headers.getlist("host"), headers.getlist("origin"))
        if scope["type"] == "websocket":
            if reason:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": reason})
            else:
                await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer_headers = MutableHeaders(scope=message)
                answer_headers.update(HEADERS)
                is_page = message["status"] == 200 and answer_headers.get("content-type", "").startswith("text/html")
                if is_page and "/media/" not in scope["path"] and preloads():
                    answer_headers["Link"] = preloads()
            await send(message)

        if reason:
            await PlainTextResponse(f"{reason}\n", 403)(scope, receive, send_with_headers)
        elif scope["method"] == "PUT" and UPLOADS in scope["path"]:
            await self._upload(scope, receive, send_with_headers, headers)
        else:
            await self.app(scope, receive, send_with_headers)

    async def _upload(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Pass an upload on while its session, and all sessions together, hold few enough."""
        largest = config.get_option("server.maxUploadSize") * MEGABYTE
        session = scope["path"].split(UPLOADS, 1)[1].split("/", 1)[0]
        length = headers.get("content-length", "")
        size = min(int(length), largest) if length.isdecimal() else largest
        uploaded = uploaded_bytes()
        session_total = uploaded.get(session, 0) + self._arriving[session] + size
        total = sum(uploaded.values()) + sum(self._arriving.values()) + size
        if session_total > SESSION_UPLOADS * largest or total > ALL_UPLOADS * largest:
            await PlainTextResponse("The server holds too many uploads: remove some, or wait.\n", 413)(
                scope, receive, send
            )
            return
        self._arriving[session] += size
        try:
            await self.app(scope, receive, send)
        finally:
            self._arriving[session] -= size
            if self._arriving[session] <= 0:
                del self._arriving[session]


def refusal(hosts: list[str], origins: list[str]) -> str:
    """Return why a request is refused; empty if it is accepted.

    Args:
        hosts: Its ``Host`` headers; accepted is one of the server's names (``server.allowedHosts``).
        origins: Its ``Origin`` headers; accepted are none, the host itself, and ``server.corsAllowedOrigins``.
    """
    if len(hosts) != 1 or not config.get_option("server.allowedHosts") or not is_host_allowed(hosts[0]):
        return "This server is not reached by that name: start it with --server.allowedHosts NAME if it should be."
    for origin in origins:
        same = urlsplit(origin).netloc.lower() == hosts[0].lower()
        if not (same or server_util.is_allowed_origin(origin)):
            return "Pages of other sites may not use this server: name them by --server.corsAllowedOrigins if they may."
    return ""


def uploaded_bytes() -> dict[str, int]:
    """Return the bytes of uploads in memory, by session."""
    if not Runtime.exists():
        return {}
    storage: dict[str, dict[str, Any]] = getattr(Runtime.instance().uploaded_file_mgr, "file_storage", {})
    return {session: sum(len(file.data) for file in list(files.values())) for session, files in list(storage.items())}


MIDDLEWARE = [Middleware(Guard)]
