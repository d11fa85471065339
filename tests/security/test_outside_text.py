"""Foreign text in links, names of runs and layers, keys of logs and messages is shown as text; run files are read within limits."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from headless_pages import ROOT
from streamlit.testing.v1 import AppTest

from nmfdiag.errors import NO_TEXT
from nmfdiag.monitor import run_reader
from nmfdiag.monitor.run_reader import monitored_runs
from nmfdiag.text import for_markdown, for_plot

HOSTILE = (
    "![x](https://evil.example/p.png) **Your session has ended.** [Log in](https://evil.example) www.evil.example a@evil.example "
    "<img src=x> :smile: $x$ `c` ~~s~~ a\u202eb \u061c\x1b[2J\n# h &lt;"
)
LIVE = re.compile(
    r"(?<!\\)(\*\*Your|\[Log|!\[x|<img|`c`|\$x\$|~~s|&lt;)|https?://evil|www\.evil|a@evil|:smile:", re.IGNORECASE
)
"""Patterns that Streamlit's Markdown would render as more than text."""
PLAIN = {"plotly_chart", "arrow_data_frame", "code", "html"}
"""Elements that don't interpret Markdown."""
HEAD = {"name": HOSTILE, "experiment": HOSTILE, "recipe": None, "probe": {"measure": HOSTILE, "per_class": HOSTILE}, "provenance": {"date": HOSTILE, HOSTILE: HOSTILE}}  # fmt: skip


def texts_of(message: Message) -> Iterator[str]:
    """Yield all strings of a message to the browser."""
    for field, value in message.ListFields():
        if field.name in ("url", "id", "element_id", "key"):
            continue
        parts = list(value) if field.is_repeated else [value]
        for part in parts:
            if isinstance(part, Message):
                yield from texts_of(part)
            elif isinstance(part, str):
                yield part


def markdown_texts(app: AppTest) -> list[str]:
    """Return the page's texts that are interpreted as Markdown; options of lists are plain text."""
    texts = []
    for block in (app.main, app.sidebar):
        for element in block:
            if element.type in PLAIN or element.type in ("selectbox", "multiselect"):
                continue
            proto = getattr(element, "proto", None)
            texts += list(texts_of(proto)) if proto is not None else []
    return texts


def epoch(number: int, **fields: Any) -> dict[str, Any]:
    return {"epoch": number, HOSTILE: 1.0, "curves": {"nmf": {HOSTILE: {"auc": 0.5, "relative": 0.5}}}} | fields


def write(folder: Path, name: str, *lines: Any) -> Path:
    path = folder / name / "run.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_escapes() -> None:
    escaped = for_markdown(HOSTILE)
    assert LIVE.search(HOSTILE) and not LIVE.search(escaped) and not NO_TEXT.search(escaped)
    assert (
        for_markdown("conv1_1 of digits-mlp (p = 0.4), 95 %: a -> b")
        == "conv1_1 of digits-mlp (p = 0.4), 95 %: a -\\> b"
    )
    assert "<" not in for_plot(HOSTILE) and "{" not in for_plot("%{x}")


def test_a_link_is_shown_as_text() -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key in ("network", "way", "weights_from"):
        app.query_params[key] = HOSTILE
    app.switch_page(str(ROOT / "pages" / "your_network.py")).run()
    assert not app.exception and any("No network" in info.value for info in app.info)
    assert not [text for text in markdown_texts(app) if LIVE.search(text) or NO_TEXT.search(text.replace("\n", ""))]


def test_a_run_with_hostile_names_is_shown_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMFDIAG_RUNS", str(tmp_path))
    write(tmp_path, "a", HEAD, epoch(1), epoch(2), {"result": {HOSTILE: HOSTILE}, "stopped": HOSTILE})
    write(tmp_path, "b", HEAD, epoch(1))
    write(tmp_path, "**bad** www.evil.example", {HOSTILE: 1})
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["layer_of"] = HOSTILE[::-1]
    app.switch_page(str(ROOT / "pages" / "training_runs.py")).run()
    assert not app.exception and any("session has ended" in text for text in markdown_texts(app))
    assert not [text for text in markdown_texts(app) if LIVE.search(text) or NO_TEXT.search(text.replace("\n", ""))]


def test_run_files_beyond_the_limits_are_named_and_the_others_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = {"name": "x", "experiment": "monitor", "recipe": None, "probe": {}, "provenance": {}}
    for name, limit in (("RUN_BYTES", 2**16), ("RUN_LINES", 50), ("RUN_VALUES", 3000), ("LINE_VALUES", 1000)):
        monkeypatch.setattr(run_reader, name, limit)
    recipe = {"dataset": "d", "arch": "a", "seed": 0, "n_train": 3}
    absurd = {"nmf": {"fc1": {"auc": 1e308}}}
    cases = {
        "good": ((head, epoch(1)), ""),
        "bytes": ((head, "x" * 2**16), "more than 0 MiB"),
        "lines": ((head, *[{}] * 60), "62 lines, accepted are 50"),
        "line": ((head, epoch(1, extra=[[]] * 1000)), "values in a line, accepted are 1,000"),
        "values": ((head, *(epoch(n, extra=[0] * 900) for n in range(1, 5))), "values, accepted are 3,000"),
        "measure": ((head, epoch(1, curves=absurd)), "a measure of epoch 1 is 1e+308"),
        "logged": ((head, epoch(1, train_loss=-1e300)), "epoch 1 logs -1e+300"),
        "noise": ((head | {"recipe": recipe | {"label_noise": -1e300}}, epoch(1)), "label noise must be a number in 0 .. 1"),
    }  # fmt: skip
    for name, (lines, _) in cases.items():
        write(tmp_path, name, *lines)
    write(tmp_path, "deep").write_text("[" * 900)
    runs, problems = monitored_runs(tmp_path)
    assert [run.path.parent.name for run in runs] == ["good"] and len(problems) == len(cases)
    for name, (_, reason) in cases.items():
        assert name == "good" or any(problem.startswith(f"{name}: ") and reason in problem for problem in problems), (
            name,
            problems,
        )


def test_runs_beyond_the_limit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = {"name": "x", "experiment": "monitor", "recipe": None, "probe": {}, "provenance": {}}
    for name in "abc":
        write(tmp_path, name, head, epoch(1))
    monkeypatch.setattr(run_reader, "MOST_RUNS", 2)
    runs, problems = monitored_runs(tmp_path)
    assert len(runs) == 2 and len(problems) == 1 and problems[0].startswith("Not read")
