"""The dashboard's server, for tests and benchmarks that visit it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STREAMLIT = ("-m", "streamlit")


@contextmanager
def serving(
    folder: Path, environment: dict[str, str], program: Sequence[str] = STREAMLIT
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server of its own on a free port, its log and an empty cache in a folder; its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {"NMFDIAG_CACHE": str(folder), "NMFDIAG_RUNS": str(folder / "runs")}
    options = {"port": str(port), "headless": "true", "fileWatcherType": "none"}
    command = [sys.executable, *program, "run", "app.py"]
    command += [word for name, value in options.items() for word in (f"--server.{name}", value)]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **folders, **environment}, stdout=log, stderr=log
        )
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with suppress(OSError):
                urllib.request.urlopen(f"{base}/_stcore/health")
                break
            time.sleep(0.1)
        else:
            raise TimeoutError((folder / "server.log").read_text()[-2000:])
        yield base, process
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def trouble(folder: Path) -> str:
    """The end of a server's log, if it tells of an error of ours."""
    said = (folder / "server.log").read_text()  # Streamlit itself may trip over a tab that closes while it sends
    ours = ("Uncaught", str(ROOT / "nmfdiag"), str(ROOT / "pages"))
    return said[-4000:] if any(words in said for words in ours) else ""
