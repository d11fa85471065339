"""A server that is killed (-9) under its reader, and started again on the same cache.

For the tests of reliability and for ``benchmarks/reliability/kill.py``.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import process_kills
import visitors
from dashboard_server import log_errors, serve
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Markdown_pb2 import Markdown
from timeouts import CEILING
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from nmfdiag.jobs import safe_disk
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.jobs.safe_disk import Database
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import lookup

TIMEOUT = CEILING
MIN_FILE_SIZE = 200
"""Bytes above which a value is stored in a separate file, in a cache of :func:`make_cache_of_files`."""
COUNT = re.compile(r"(\d+) of (\d+) curves done")
ALERTS = (Alert.ERROR, Alert.WARNING)
REPRODUCIBLE = {visitors.ONE_THREAD_VARIABLE: "1", "CUDA_VISIBLE_DEVICES": ""}
"""A server's variables that make its results equal, to the last bit, to those of another process."""
Fresh = dict[str, CompressionCurve]


def reader_choice() -> Choice:
    """Return the reader's choice: fifty curves."""
    network = lookup("digits-mlp-p0-s0")
    return Choice((network,), next(iter(network.layers)), per_class=50)


@dataclass
class Reader(visitors.Visit):
    """A reader who opens the network's page and follows its progress.

    Attributes:
        counts: Curves that the page says are there, after each run of its script.
        complete: What a page with all curves says and draws, but the lines that tell of seconds; empty before.
    """

    counts: list[int] = field(default_factory=list)
    complete: list[str] = field(default_factory=list)

    async def follow(self) -> None:
        """Stay until the page is complete or the server is gone."""
        origin, protocol = Origin(self.base), Subprotocol("streamlit")
        address = f"{self.base.replace('http', 'ws')}/_stcore/stream"
        async with connect(address, origin=origin, subprotocols=[protocol], max_size=None) as socket:
            reading = asyncio.create_task(self._read(socket))
            await self._run(socket)
            end = time.monotonic() + TIMEOUT
            while not self.complete and not reading.done():
                assert time.monotonic() < end, f"it stays at {self.counts[-1:]} curves"
                await asyncio.sleep(0.005)
            self._stop_timers()
            reading.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await reading

    def _ended(self) -> None:
        super()._ended()
        counts = [int(match[1]) for text in self.texts() if (match := COUNT.search(text))]
        self.counts += counts or [len(self.choice.requests())]
        if not counts:
            self.complete = self._texts()

    def _texts(self) -> list[str]:
        """Return the texts and plots of the page."""
        texts = []
        for element in self._elements.values():
            kind = element.WhichOneof("type")
            if kind == "markdown" and element.markdown.element_type != Markdown.Type.CAPTION:
                texts.append(element.markdown.body)
            elif kind == "plotly_chart":
                texts.append(element.plotly_chart.spec)
        return texts

    def _take(self, socket: ClientConnection, message: ForwardMsg) -> None:
        super()._take(socket, message)
        element = message.delta.new_element
        if element.WhichOneof("type") == "alert" and element.alert.format in ALERTS:
            self.errors.append(f"the page says: {element.alert.body}")


class Lives:
    """Successive lives of a server on one cache.

    Attributes:
        stored: Curves in the cache after the last life.
        swept: Files without a row that killed servers have left and later ones have removed, without the one planted each time.
    """

    def __init__(self, folder: Path, fresh: Fresh, complete: list[str], *, files: bool = False):
        self.folder, self.fresh, self.complete = folder, fresh, complete
        self.cache, self.kept, self.computed = (folder / name for name in ("cache", "kept", "computed"))
        for path in (self.cache, self.kept, self.computed):
            path.mkdir(parents=True)
        if files:
            make_cache_of_files(self.cache)
        self.lives, self.stored, self.swept = 0, set[str](), 0

    def live(self, after: float, *, computing: bool = True) -> bool:
        """Start the server, kill it, and return whether it was at work.

        Check that stored curves are shown and not computed again, and what the kill leaves.

        Args:
            after: Seconds until the kill, since a curve was stored, or without ``computing`` since the reader came.
            computing: Whether the server still has curves to compute.
        """
        kept_keys, computed_keys = (path / str(self.lives) for path in (self.kept, self.computed))
        planted_files = plant_orphans(self.cache, self.folder / "copy")
        key_files = {visitors.KEY_FILE_VARIABLE: str(computed_keys), visitors.STORED_KEY_FILE_VARIABLE: str(kept_keys)}
        ready = (
            process_kills.has_lines(kept_keys, 1) if computing else (lambda: True)
        )  # the labels come first, then a curve
        with serve(self.cache, REPRODUCIBLE | key_files, visitors.PROGRAM) as (base, process):
            reader = Reader(base, reader_choice())
            hit = asyncio.run(follow_until_killed(reader, process, ready, after))
        self.lives += 1
        assert not hit or process.returncode == -signal.SIGKILL, "it ended without a kill"
        assert log_errors(self.cache) == ""
        errors = [error for error in reader.errors if not (hit and error.startswith("ConnectionClosed"))]
        assert errors == [] and reader.crossed == [], (errors, reader.crossed)
        again = self.stored & set(visitors.read_keys(computed_keys))
        assert not again, f"computed again: {again}"
        if reader.counts:
            assert not any(path.exists() for path in planted_files), "files without a row were not swept"
            assert reader.counts == sorted(reader.counts) and reader.counts[0] >= len(self.stored), reader.counts
            self.swept += len(planted_files) - 1
        if not hit:
            assert reader.complete == self.complete
        self.check()
        return hit

    def check(self) -> None:
        """Check a copy of the cache, since the next server has to open what this one left."""
        copy_cache(self.cache, self.folder / "copy")
        scored = {SuspectsRequest(network.name).key for network in reader_choice().networks}
        process_kills.check_after_kill(self.folder / "copy", self.kept, self.fresh, scored)
        before, self.stored = self.stored, set(stored_keys(self.folder / "copy")) - scored
        assert before <= self.stored


async def follow_until_killed(
    reader: Reader,
    process: subprocess.Popen[bytes],
    ready: Callable[[], bool],
    after: float,
    sent_signal: signal.Signals = signal.SIGKILL,
) -> bool:
    """Let a reader follow the page until it is complete or the server is killed; return whether it was killed."""

    async def moment() -> None:
        while not ready() or not reader._began:
            await asyncio.sleep(0.002)
        await asyncio.sleep(after)

    following, waiting = asyncio.create_task(reader.follow()), asyncio.create_task(moment())
    await asyncio.wait([following, waiting], return_when=asyncio.FIRST_COMPLETED)
    hit = not following.done()
    if hit:
        process.send_signal(sent_signal)
    waiting.cancel()
    await following
    return hit


def complete_page(folder: Path) -> list[str]:
    """Return the complete page of a server that is not killed."""
    folder.mkdir()
    with serve(folder, REPRODUCIBLE, visitors.PROGRAM) as (base, _):
        reader = Reader(base, reader_choice())
        asyncio.run(reader.follow())
    assert reader.complete and reader.errors == [], reader.errors
    return reader.complete


def make_cache_of_files(folder: Path) -> None:
    """Make a cache that stores each curve in a separate file, as large results are: a kill may leave files without a row."""
    with closing(Database(folder)) as cache:
        cache._writing.reset("disk_min_file_size", MIN_FILE_SIZE)


def copy_cache(cache: Path, copy: Path) -> None:
    """Copy a cache that no process has open."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(cache, copy)


def stored_keys(cache: Path) -> list[str]:
    """Return the keys of a cache."""
    with closing(Database(cache)) as opened:
        return [key for key, _ in opened.read(None)]


def plant_orphans(cache: Path, copy: Path) -> list[Path]:
    """Plant a file without a row; return all such files, made so old that no process can still be about to write their rows."""
    planted = cache / "ab" / "cd" / f"{'0' * 28}.val"
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_bytes(b"x")
    copy_cache(cache, copy)
    age, safe_disk.ORPHAN_SECONDS = safe_disk.ORPHAN_SECONDS, -1
    try:
        with closing(Database(copy)) as opened:
            orphans = [cache / path.relative_to(copy) for path in opened.orphans()]
    finally:
        safe_disk.ORPHAN_SECONDS = age
    old = time.time() - safe_disk.ORPHAN_SECONDS - 3600
    for path in orphans:
        os.utime(path, (old, old))
    return orphans
