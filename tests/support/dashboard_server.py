"""The dashboard's server, for tests and benchmarks that visit it."""

import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from timeouts import CEILING, wait_until

ROOT = Path(__file__).resolve().parents[2]
STREAMLIT = ("-m", "streamlit")


@contextmanager
def serve(
    folder: Path, environment: dict[str, str], program: Sequence[str] = STREAMLIT
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a server on a free port, with its log and an empty cache in a folder; yield its address and its process."""
    base, process = next(filter(None, (_start(folder, environment, program) for _ in range(10))))
    try:
        yield base, process
    finally:
        process.terminate()
        try:
            process.wait(CEILING)
        finally:
            process.kill()


def _start(
    folder: Path, environment: dict[str, str], program: Sequence[str]
) -> tuple[str, subprocess.Popen[bytes]] | None:
    """Start a server and wait until it answers; return None if another process has taken the free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {"NMFDIAG_CACHE": str(folder), "NMFDIAG_RUNS": str(folder / "runs")}
    options = {"port": str(port), "headless": "true", "fileWatcherType": "none"}
    command = [sys.executable, *program, "run", "app.py"]
    command += [word for name, value in options.items() for word in (f"--server.{name}", value)]
    log = folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **folders, **environment}, stdout=file, stderr=file
        )
    base = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        if process.poll() is not None:
            return True
        with suppress(OSError), urllib.request.urlopen(f"{base}/_stcore/health", timeout=10):
            return str(port) in log.read_text()  # this server listens there, not another one
        return False

    try:
        wait_until(answers, pause=0.1)
    except TimeoutError:
        process.kill()
        raise
    if process.poll() is None:
        return base, process
    assert "is not available" in log.read_text(), log.read_text()[-2000:]
    return None


def log_errors(folder: Path) -> str:
    """Return the end of a server's log if it reports an error of ours."""
    log = (
        folder / "server.log"
    ).read_text()  # an error of Streamlit's own, as when a tab closes while it sends, doesn't count
    own_code = ("Uncaught", str(ROOT / "nmfdiag"), str(ROOT / "pages"))
    return log[-4000:] if any(mark in log for mark in own_code) else ""
