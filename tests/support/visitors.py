"""Visitors of the dashboard that use its protocol without a browser, many at once.

For the tests of reliability and for ``benchmarks/reliability/sessions.py``.

A visitor does what a browser does: it opens a page by its address, changes widgets, follows the progress, and goes to other pages.
After each run of the page's script it checks that the page is about its own choice, now or before. As a program this file is the
server, which also writes down the key of each result that it computes.
"""

import asyncio
import os
import random
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlencode

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from timeouts import CEILING
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import ZooEntry, entries

KEY_FILE_VARIABLE = "NMFDIAG_TELLS_KEYS"
"""Variable with the path of a file of the keys of computed results."""
STORED_KEY_FILE_VARIABLE, ONE_THREAD_VARIABLE = "NMFDIAG_TELLS_KEPT_KEYS", "NMFDIAG_ONE_THREAD"
"""The same for results in the cache; and a variable that makes results equal to the last bit in all processes."""
PROGRAM = (str(Path(__file__).resolve()),)
"""Program of a server that writes both files."""
PAGES = ("network", "curves", "phases", "classes", "reconstruction")
SIZES = (10, 20, 30)
THINK_SECONDS = (0.2, 2.0)
"""Shortest and longest time that a visitor spends on a page, in seconds."""
TIMEOUT = CEILING
SUBJECT = re.compile(r" · p = .* · seed \d · ")


@dataclass
class Visit:
    """One visitor's session, and what went wrong in it.

    Attributes:
        base: Address of the server.
        choice: The visitor's.
        page: The current one.
        changes: Seconds from each change of a widget to the end of the page's run.
        loads: The same of pages that were opened.
        errors: Exceptions on a page, runs that did not end, connections that broke.
        crossed: Pages about a choice that this visitor never made.
    """

    base: str
    choice: Choice
    page: str = PAGES[0]
    changes: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    crossed: list[str] = field(default_factory=list)
    _elements: dict[tuple[int, ...], Element] = field(default_factory=dict)
    _boxes: dict[str, str] = field(default_factory=dict)
    _states: dict[str, str] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)
    _timers: list[asyncio.Task[None]] = field(default_factory=list)
    _own: set[str] = field(default_factory=set)
    _began: str = ""
    _done: asyncio.Event = field(default_factory=asyncio.Event)

    async def spend(self, chance: random.Random, going_on: Callable[[int], bool]) -> None:
        """Visit the dashboard while ``going_on`` accepts the number of steps: mostly change a widget, sometimes switch the page."""
        origin = self.base.replace("http", "ws")
        try:
            options = {"origin": Origin(self.base), "subprotocols": [Subprotocol("streamlit")], "max_size": None}
            async with connect(f"{origin}/_stcore/stream", **options) as socket:
                reader = asyncio.create_task(self._read(socket))
                self.loads.append(await self._run(socket))
                steps = 0
                while going_on(steps) and not reader.done():
                    steps += 1
                    await asyncio.sleep(chance.uniform(*THINK_SECONDS))
                    if chance.random() < 0.25 or not self._boxes:
                        self.page = chance.choice(PAGES)
                        self._states.clear()
                        self._stop_timers()
                        self.loads.append(await self._run(socket))
                    else:
                        self._change(chance)
                        self.changes.append(await self._run(socket))
                self._stop_timers()
                reader.cancel()
                with suppress(asyncio.CancelledError, ConnectionClosed):
                    await reader
        except (OSError, ConnectionClosed) as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def texts(self) -> list[str]:
        """Return the texts of the page."""
        elements = self._elements.values()
        written = {"markdown": lambda e: e.markdown.body, "heading": lambda e: e.heading.body}
        return [written[kind](e) for e in elements if (kind := e.WhichOneof("type")) in written]

    def _change(self, chance: random.Random) -> None:
        """Choose another option in a list of the sidebar."""
        label = chance.choice([name for name in ("samples a batch", "layer", "seed") if name in self._boxes])
        if label == "samples a batch":
            self.choice = replace(
                self.choice, per_class=chance.choice([n for n in SIZES if n != self.choice.per_class])
            )
            value = str(self.choice.per_class)
        elif label == "layer":
            self.choice = replace(
                self.choice, layer=chance.choice([name for name in self.choice.layers if name != self.choice.layer])
            )
            value = self.choice.layer
        else:
            seed = 1 - self.choice.networks[0].recipe.seed
            levels = [network.label_noise for network in self.choice.networks]
            self.choice = replace(self.choice, networks=family_networks(self.choice.networks[0], levels, seed))
            value = str(seed)
        self._states[self._boxes[label]] = value

    async def _run(self, socket: ClientConnection) -> float:
        """Request a run of the page, wait for its end, and return the seconds."""
        self._began = ""
        self._done.clear()
        start = time.monotonic()
        await socket.send(self._message().SerializeToString())
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._done.wait()
        except TimeoutError:
            lacks = [text for text in self._expected_texts() if text not in self.texts()]
            self.errors.append(
                f"/{self.page}: after {TIMEOUT:g} s it " + (f"does not say {lacks}" if lacks else "has not ended")
            )
        return time.monotonic() - start

    def _expected_texts(self) -> list[str]:
        """Return the texts that the page must show for the visitor's choice."""
        heading = [f"How robust is {self.choice.layer} to compression?"] if self.page == "curves" else []
        return [self.choice.subject, *heading]

    def _ended(self) -> None:
        """Check a page whose run has ended: it may be about an earlier choice of this visitor, never about another's."""
        texts = self.texts()
        self._own.add(self.choice.subject)
        self.crossed += [
            f"/{self.page} is about {text}" for text in texts if SUBJECT.search(text) and text not in self._own
        ]
        if self.crossed or all(text in texts for text in self._expected_texts()):
            boxes = [e.selectbox for e in self._elements.values() if e.WhichOneof("type") == "selectbox"]
            self._boxes = {box.label: box.id for box in boxes}
            self._done.set()

    def _message(self, fragment: str = "") -> BackMsg:
        states = [WidgetState(id=key, string_value=value) for key, value in self._states.items()]
        message = BackMsg()
        run = message.rerun_script
        run.query_string = urlencode(query(self.choice))
        run.widget_states.CopyFrom(WidgetStates(widgets=states))
        run.fragment_id, run.is_auto_rerun = fragment, bool(fragment)
        if self.page in self._hashes:
            run.page_script_hash = self._hashes[self.page]
        else:
            run.page_name = self.page
        run.context_info.url, run.context_info.timezone = f"{self.base}/{self.page}", "UTC"
        return message

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for data in socket:
                assert isinstance(data, bytes)
                self._take(socket, ForwardMsg.FromString(data))
        except ConnectionClosed as error:
            self.errors.append(f"ConnectionClosed: {error}")
            self._done.set()

    def _take(self, socket: ClientConnection, message: ForwardMsg) -> None:
        """Handle a message of the server as a browser does."""
        kind = message.WhichOneof("type")
        run = message.metadata.run
        if kind == "new_session" and run.fragment_ids:
            if self._began:  # Streamlit doesn't always say then that the run of the page has ended
                self._ended()
        elif kind == "new_session":
            self._began = run.script_run_id
            self._stop_timers()
            self._elements.clear()
        elif kind == "navigation":
            self._hashes = {
                page.url_pathname if not page.is_default else "": page.page_script_hash
                for page in message.navigation.app_pages
            }
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            self._elements[tuple(message.metadata.delta_path)] = element
            if element.WhichOneof("type") == "exception":
                self.errors.append(f"{self.page}: {element.exception.type} {element.exception.message}")
        elif kind == "page_not_found":
            self.errors.append(f"{self.page}: not found")
        elif kind == "auto_rerun":
            again = self._again(socket, message.auto_rerun.interval, message.auto_rerun.fragment_id)
            self._timers.append(asyncio.create_task(again))
        elif kind == "script_finished":
            if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                self.errors.append(f"{self.page}: the script can't be read")
            if self._began == run.script_run_id and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                self._ended()

    async def _again(self, socket: ClientConnection, interval: float, fragment: str) -> None:
        """Run a part of the page regularly, which is how it shows progress."""
        with suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(interval)
                await socket.send(self._message(fragment).SerializeToString())

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def query(choice: Choice) -> list[tuple[str, str]]:
    """Return the query of the page's address."""
    first = choice.networks[0].recipe
    values = [("data", first.dataset), ("arch", first.arch), ("seed", str(first.seed)), ("layer", choice.layer)]
    values += [("batch", choice.batch_option), ("n", str(choice.per_class)), ("grid", choice.grid)]
    return [*values, *(("p", f"{network.label_noise:g}") for network in choice.networks)]


def family_networks(like: ZooEntry, levels: list[float], seed: int) -> tuple[ZooEntry, ...]:
    """Return the networks of a family at some levels of label noise."""
    recipes = {(like.recipe.dataset, like.recipe.arch, seed, p) for p in levels}
    matches = [
        e
        for e in entries().values()
        if not e.called and (e.recipe.dataset, e.recipe.arch, e.recipe.seed, e.recipe.label_noise) in recipes
    ]
    return tuple(sorted(matches, key=lambda entry: entry.label_noise))


def initial_choices(n: int, chance: random.Random) -> list[Choice]:
    """Return the first choices of n visitors: pairs with the same choice."""
    first_choices: list[Choice] = []
    for i in range(n):
        if i % 2:
            first_choices.append(first_choices[-1])
            continue
        like = entries()[f"digits-{('mlp', 'cnn')[i // 2 % 2]}-p0-s0"]
        levels = sorted(chance.sample([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 1 + i // 2 % 3))
        family = family_networks(like, levels, chance.choice([0, 1]))
        first_choices.append(Choice(family, chance.choice(list(like.layers)), per_class=chance.choice(SIZES)))
    return first_choices


async def visit_together(base: str, n: int, going_on: Callable[[int], bool], *, seed: int = 0) -> list[Visit]:
    """Let n visitors come at once and stay while ``going_on`` accepts each one's steps."""
    chance = random.Random(seed)
    visitors = [Visit(base, choice, PAGES[i // 2 % len(PAGES)]) for i, choice in enumerate(initial_choices(n, chance))]
    await asyncio.gather(*(visit.spend(random.Random(seed + i), going_on) for i, visit in enumerate(visitors)))
    return visitors


def read_keys(key_file: Path) -> list[str]:
    """Return the keys of the results that the server has computed, with repetitions."""
    return key_file.read_text().split() if key_file.exists() else []


def serve() -> None:
    """Run Streamlit, and write down the key of each computed result, before and after it is put into the cache."""
    from streamlit.web import cli

    from nmfdiag.jobs import cache, queue

    put = cache.CurveCache.put

    def tell(variable: str, key: str) -> None:
        with Path(os.environ.get(variable, os.devnull)).open("a") as file:
            file.write(key + "\n")

    def telling(target_cache: cache.CurveCache, key: str, result: object) -> None:
        tell(KEY_FILE_VARIABLE, key)
        put(target_cache, key, result)  # type: ignore[arg-type]
        tell(STORED_KEY_FILE_VARIABLE, key)

    cache.CurveCache.put = telling  # type: ignore[method-assign, assignment]
    if ONE_THREAD_VARIABLE in os.environ:
        queue.worker_threads = lambda: 1
    cli.main(sys.argv[1:])


if __name__ == "__main__":
    serve()
