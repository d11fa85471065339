"""What the tests of the pages share: wait until a page has all its results, and read its plots."""

import json
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"arch": "mlp", "p": ["0", "1"], "n": "10", "grid": "coarse"}


def settled(app: AppTest, seconds: float = 120) -> AppTest:
    """Run the page again until everything is computed."""
    end = time.monotonic() + seconds
    while not any("s of computing on" in caption.value for caption in app.caption):
        assert not app.exception and time.monotonic() < end, [c.value for c in app.caption]
        time.sleep(0.3)
        app.run()
    return app


def visit(page: str = "overview", **link: str | list[str]) -> AppTest:
    """Open a page by a link and wait until its curves are there."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in {**SMALL, **link}.items():
        app.query_params[key] = value
    if page != "overview":
        app.switch_page(str(ROOT / "pages" / f"{page}.py"))
    return settled(app.run())


def plots(app: AppTest) -> list[dict]:
    """The page's Plotly figures."""
    return [json.loads(element.proto.spec) for element in app.get("plotly_chart")]
