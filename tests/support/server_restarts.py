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
from urllib.parse import urlencode

import process_kills
import visitors
from dashboard_server import serving, trouble
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.Markdown_pb2 import Markdown
from timeouts import CEILING
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from nmfdiag.jobs import safe_disk
from nmfdiag.jobs.safe_disk import Database
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import lookup

PATIENT = CEILING
SMALL = 200
"""Bytes above which a value gets a file of its own, in a cache made by :func:`cache_of_files`."""
COUNT = re.compile(r"^(\d+) of (\d+) curves are there")
ALERTS = (Alert.ERROR, Alert.WARNING)
SAME = {visitors.ONE_THREAD: "1", "CUDA_VISIBLE_DEVICES": ""}
"""A server's variables with which its results are the same to the last bit as those of another process."""
Fresh = dict[str, CompressionCurve]


def choice() -> Choice:
    """What the reader looks at: fifty curves."""
    network = lookup("digits-mlp-p0-s0")
    return Choice((network,), next(iter(network.layers)), per_class=50)


@dataclass
class Reader(visitors.Visit):
    """Opens the overview and follows its progress.

    Attributes:
        counts: Curves that the page says are there, after each run of its script.
        complete: What a page with all curves says and draws, but the lines that tell of seconds; empty before.
    """

    counts: list[int] = field(default_factory=list)
    complete: list[str] = field(default_factory=list)

    async def follow(self) -> None:
        """Stay until the page is complete, or the server gone."""
        origin, protocol = Origin(self.base), Subprotocol("streamlit")
        address = f"{self.base.replace('http', 'ws')}/_stcore/stream"
        async with connect(address, origin=origin, subprotocols=[protocol], max_size=None) as socket:
            reading = asyncio.create_task(self._read(socket))
            await self._run(socket)
            end = time.monotonic() + PATIENT
            while not self.complete and not reading.done():
                assert time.monotonic() < end, f"it stays at {self.counts[-1:]} curves"
                await asyncio.sleep(0.005)
            self._stop_timers()
            reading.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed):
                await reading

    def _ended(self) -> None:
        super()._ended()
        found = [int(match[1]) for text in self.texts() if (match := COUNT.match(text))]
        self.counts += found or [len(self.choice.requests())]
        if not found:
            self.complete = self._words()

    def _words(self) -> list[str]:
        """What is said and drawn."""
        found = []
        for element in self._elements.values():
            kind = element.WhichOneof("type")
            if kind == "markdown" and element.markdown.element_type != Markdown.Type.CAPTION:
                found.append(element.markdown.body)
            elif kind == "plotly_chart":
                found.append(element.plotly_chart.spec)
        return found

    def _message(self, fragment: str = "") -> visitors.BackMsg:
        message = super()._message(fragment)
        message.rerun_script.query_string = urlencode(self.choice.link)
        return message

    def _take(self, socket: ClientConnection, message: ForwardMsg) -> None:
        super()._take(socket, message)
        element = message.delta.new_element
        if element.WhichOneof("type") == "alert" and element.alert.format in ALERTS:
            self.errors.append(f"the page says: {element.alert.body}")


class Lives:
    """Lives of a server, one after the other, on one cache.

    Attributes:
        stored: Curves in the cache after the last life.
        swept: Files without a row that killed servers have left, and later ones have swept; beside them one is planted each time.
    """

    def __init__(self, folder: Path, fresh: Fresh, complete: list[str], *, files: bool = False):
        self.folder, self.fresh, self.complete = folder, fresh, complete
        self.cache, self.kept, self.computed = (folder / name for name in ("cache", "kept", "computed"))
        for path in (self.cache, self.kept, self.computed):
            path.mkdir(parents=True)
        if files:
            cache_of_files(self.cache)
        self.lives, self.stored, self.swept = 0, set[str](), 0

    def live(self, after: float, *, computing: bool = True) -> bool:
        """Start the server, and kill it so many seconds after it has kept a curve (else: after the reader came); was it at work?

        Checks that what was there is shown, that nothing of it is computed again, and what the kill leaves.
        """
        kept, computed = (path / str(self.lives) for path in (self.kept, self.computed))
        gone = left_behind(self.cache, self.folder / "copy")
        told = {visitors.TOLD: str(computed), visitors.KEPT: str(kept)}
        ready = process_kills.has_lines(kept, 0) if computing else (lambda: True)
        with serving(self.cache, SAME | told, visitors.COUNTING) as (base, process):
            reader = Reader(base, choice())
            hit = asyncio.run(until_killed(reader, process, ready, after))
        self.lives += 1
        assert not hit or process.returncode == -signal.SIGKILL, "it ended by itself"
        assert trouble(self.cache) == ""
        wrong = [words for words in reader.errors if not (hit and words.startswith("ConnectionClosed"))]
        assert wrong == [] and reader.crossed == [], (wrong, reader.crossed)
        again = self.stored & set(visitors.keys(computed))
        assert not again, f"computed again: {again}"
        if reader.counts:
            assert not any(path.exists() for path in gone), "files without a row were not swept"
            assert reader.counts == sorted(reader.counts) and reader.counts[0] >= len(self.stored), reader.counts
            self.swept += len(gone) - 1
        if not hit:
            assert reader.complete == self.complete
        self.check()
        return hit

    def check(self) -> None:
        """What must hold of a copy of the cache: the next server has to open what this one left."""
        copied(self.cache, self.folder / "copy")
        process_kills.check_after_kill(self.folder / "copy", self.kept, self.fresh)
        before, self.stored = self.stored, set(stored(self.folder / "copy"))
        assert before <= self.stored


async def until_killed(
    reader: Reader,
    process: subprocess.Popen[bytes],
    ready: Callable[[], bool],
    after: float,
    sent: signal.Signals = signal.SIGKILL,
) -> bool:
    """Let a reader follow the page until it is complete, or the server killed (or sent another signal); which is it?"""

    async def moment() -> None:
        while not ready() or not reader._began:
            await asyncio.sleep(0.002)
        await asyncio.sleep(after)

    following, waiting = asyncio.create_task(reader.follow()), asyncio.create_task(moment())
    await asyncio.wait([following, waiting], return_when=asyncio.FIRST_COMPLETED)
    hit = not following.done()
    if hit:
        process.send_signal(sent)
    waiting.cancel()
    await following
    return hit


def complete_page(folder: Path) -> list[str]:
    """The complete page of a server that nobody kills."""
    folder.mkdir()
    with serving(folder, SAME, visitors.COUNTING) as (base, _):
        reader = Reader(base, choice())
        asyncio.run(reader.follow())
    assert reader.complete and reader.errors == [], reader.errors
    return reader.complete


def cache_of_files(folder: Path) -> None:
    """Make a cache in which each curve lies in a file of its own, as large results do: a kill may leave files without a row."""
    with closing(Database(folder)) as cache:
        cache._writing.reset("disk_min_file_size", SMALL)


def copied(cache: Path, copy: Path) -> None:
    """Make a copy of a cache that no process has open."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(cache, copy)


def stored(cache: Path) -> list[str]:
    """Keys of a cache."""
    with closing(Database(cache)) as opened:
        return [key for key, _ in opened.read(None)]


def left_behind(cache: Path, copy: Path) -> list[Path]:
    """Files without a row, one more that is planted, all made so old that no process can still be about to write their rows."""
    planted = cache / "ab" / "cd" / f"{'0' * 28}.val"
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_bytes(b"x")
    copied(cache, copy)
    age, safe_disk.ORPHAN_SECONDS = safe_disk.ORPHAN_SECONDS, -1
    try:
        with closing(Database(copy)) as opened:
            found = [cache / path.relative_to(copy) for path in opened.orphans()]
    finally:
        safe_disk.ORPHAN_SECONDS = age
    old = time.time() - safe_disk.ORPHAN_SECONDS - 3600
    for path in found:
        os.utime(path, (old, old))
    return found
