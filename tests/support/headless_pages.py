"""What the tests of the pages share: wait until a page has all its results, and read its plots."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

from streamlit.testing.v1 import AppTest
from timeouts import CEILING, wait_until

from nmfdiag.jobs.queue import Jobs
from nmfdiag.ui import live_results

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"arch": "mlp", "p": ["0", "1"], "n": "10", "grid": "coarse"}
QUEUES: WeakSet[Jobs] = WeakSet()
"""Of all pages, those too that Streamlit's cache has been cleared of."""


class Queue(Jobs):
    """A page's queue that the tests know of."""

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        QUEUES.add(self)


live_results.Jobs = Queue  # type: ignore[misc]


def pending(queue: Jobs) -> dict[str, Any]:
    with queue._lock:
        return queue._waiting | queue._running


def drop_all() -> None:
    """Withdraw all that pages have asked for: nobody looks at them any more, and it would be computed beside the next tests."""
    for queue in QUEUES:
        for owner in {owner for task in pending(queue).values() for owner in task.owners}:
            queue.cancel(owner)


def open_page(page: str = "overview", **link: str | list[str]) -> AppTest:
    """Open a page by a link."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=CEILING)
    if page != "overview":
        app.switch_page(str(ROOT / "pages" / f"{page}.py"))
    for key, value in link.items():
        app.query_params[key] = value
    return app.run()


def run_until(app: AppTest, reached: Callable[[AppTest], object]) -> AppTest:
    """Run the page again until something is true of it."""

    def look() -> bool:
        assert not app.exception
        return bool(reached(app)) or (app.run(), False)[1]

    wait_until(look, pause=0.1)
    return app


def settled(app: AppTest) -> AppTest:
    """Run the page again when everything is computed; not meanwhile, since that takes longer than the computing."""

    def complete(app: AppTest) -> bool:
        if any("s of computing on" in caption.value for caption in app.caption):
            return True
        wait_until(lambda: not any(map(pending, QUEUES)))
        return False

    return run_until(app, complete)


def visit(page: str = "overview", **link: str | list[str]) -> AppTest:
    """Open a page by a link and wait until its curves are there."""
    return settled(open_page(page, **{**SMALL, **link}))


def plots(app: AppTest) -> list[dict]:
    """The page's Plotly figures."""
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]
