"""Names of classes and files appear in plots, pages, reports and terminals as text, and a page accepts listed options only."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_bytes import png
from foreign_network import Stranger
from headless_pages import plots, visit
from hostile import NAMES
from streamlit.proto.WidgetStates_pb2 import WidgetState, WidgetStates
from streamlit.testing.v1 import AppTest

from nmfdiag.cli import OK, WRONG, main
from nmfdiag.data.imagenet import ClassList
from nmfdiag.errors import NO_TEXT, NmfdiagError, harmless
from nmfdiag.zoo.files import ENTRY_FILE
from nmfdiag.zoo.registry import broken, entries, lookup, refresh

HTML_MARKUP = ("<img", "\x1b", "\u202e")
MARKUP = (*HTML_MARKUP, "![", "[a](")
OWN_IMAGE = re.compile(r'<img src="data:image/png;base64,[A-Za-z0-9+/=]+" alt="">')
"""A sample's picture as the report draws it: no text of a stranger's stands in its tag."""
RAW = os.fsdecode(b"a\xff")
THREE = (NAMES[0], NAMES[3] + NAMES[4], RAW + NAMES[5])


@pytest.fixture
def hostile_zoo(stranger: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder with a zoo of a network whose three classes have hostile names."""
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path / "zoo"))
    data = tmp_path / "samples"
    for name in THREE:
        (data / name).mkdir(parents=True)
        for i in range(6):
            (data / name / f"{i}.png").write_bytes(png(40 * i, side=4))
    refresh()
    command = [
        "zoo",
        "open",
        "named",
        "--weights",
        stranger.weights,
        "--data",
        str(data),
        "--normalization",
        "none",
        "--per-class",
        "6",
    ]
    assert main(command) == OK
    yield tmp_path
    refresh()


def body_without_own_images(report: Path) -> str:
    """Return the body of a report without the pictures of samples; there is at least one of them."""
    page = report.read_text(encoding="utf-8")
    body, n_images = OWN_IMAGE.subn("", page[page.index("<body>") :])
    assert n_images > 0
    return body


def test_classes_are_shown_as_text(hostile_zoo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lookup("named").class_names == tuple(harmless(name) for name in sorted(THREE))
    assert not any(NO_TEXT.search(name) for name in lookup("named").class_names)
    capsys.readouterr()
    assert (
        main(["report", "named", "--html", str(hostile_zoo / "r.html"), "--to-json", str(hostile_zoo / "r.json")]) == OK
    )
    output = capsys.readouterr()
    assert not any(mark in output.out + output.err for mark in MARKUP)
    body = body_without_own_images(hostile_zoo / "r.html")
    assert [body[body.index(mark) :][:80] for mark in HTML_MARKUP if mark in body] == []
    assert {c["name"] for c in json.loads((hostile_zoo / "r.json").read_text())["class_readings"]} == set(
        lookup("named").class_names
    )
    app = visit("classes", data="named", arch="mlp", p="0", n="6", grid="coarse", layer="fc1")
    assert not app.exception and any("‹img" in json.dumps(plot, ensure_ascii=False) for plot in plots(app))
    texts = [
        element.value for kind in (app.markdown, app.caption, app.title, app.info, app.warning) for element in kind
    ]
    texts += [json.dumps(plot, ensure_ascii=False) for plot in plots(app)]
    assert not any(mark in text for text in texts for mark in MARKUP)


@pytest.mark.usefixtures("in_this_process")
def test_a_report_of_files_with_hostile_names(
    stranger: Stranger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights, data = (tmp_path / f"{RAW}{NAMES[0]}{end}" for end in (".pt", ".npz"))
    weights.write_bytes((stranger.folder / "weights.pt").read_bytes())
    data.write_bytes(Path(stranger.data).read_bytes())
    assert main(["report", "--weights", str(weights), "--data", str(data), "--layers", "fc1", "--per-class", "4"]) in (
        OK,
        WRONG,
    )
    [written] = tmp_path.glob("*.html")
    body = body_without_own_images(written)
    assert not any(mark in body for mark in HTML_MARKUP) and "&lt;img" in body


def test_a_class_is_still_found_by_its_own_name() -> None:
    names = ["a[1]", "b<2>", "c"]
    classes = ClassList.from_names(names)
    assert classes.names == ("a(1)", "b‹2›", "c") and [classes.place(name) for name in names] == [0, 1, 2]


def test_an_error_is_one_line_of_bounded_length() -> None:
    assert str(NmfdiagError("a\nb\x1b[2J\ud800")) == "a b\\x1b[2J\\ud800" and len(str(NmfdiagError("x" * 10**7))) < 6000


def selection_page() -> None:
    import streamlit as st

    from nmfdiag.ui.upload_form import select_option

    st.write(select_option("data set", ["digits"], {}))


def test_a_browser_can_not_choose_an_unlisted_option() -> None:
    app = AppTest.from_function(selection_page, default_timeout=60).run()
    assert app.markdown[0].value == "digits"
    forged = WidgetStates(widgets=[WidgetState(id=app.selectbox[0].id, string_value="/etc")])
    forged_app = AppTest.from_function(selection_page, default_timeout=60)
    forged_app._run(forged)  # as a forged first message of a browser
    assert forged_app.markdown[0].value == "digits" and not forged_app.exception


HARM = {
    "a pool elsewhere": {"pool": "../../../secret"},
    "a name that is a path": {"called": "../x"},
    "no shape": {"input_shape": "8x8"},
    "a huge shape": {"input_shape": [1, 10**9, 10**9]},
    "classes that are numbers": {"class_names": [1, 2]},
    "a recipe that is none": {"recipe": {"arch": "cnn"}},
    "no recipe": {"recipe": None},
    "sizes that are text": {"layers": {"fc1": "128"}},
}


@pytest.mark.parametrize("description", [*HARM, "brackets", "a list", "nothing", "a number"])
def test_one_entry_of_the_zoo_that_lies_harms_no_other(
    description: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.loads((lookup("digits-mlp-p0-s0").folder / ENTRY_FILE).read_text()) | HARM.get(description, {})
    text = {"brackets": "[" * 10**5, "a list": "[1]", "nothing": "", "a number": "9" * 5000}.get(
        description, json.dumps(record)
    )
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path))
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / ENTRY_FILE).write_text(text)
    refresh()
    try:
        assert len(entries()) > 10 and "The zoo entry evil can't be read" in broken()[0]
        assert all("evil" not in str(entry.folder) for entry in entries().values())
    finally:
        monkeypatch.undo()
        refresh()


def test_sizes_that_an_entry_invents_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = lookup("digits-mlp-p0-s0")
    for name in ("evil", "pools"):
        (tmp_path / name).mkdir()
    for part, path in entry.files.items():
        (tmp_path / ("pools" if part == "pool" else "evil") / path.name).write_bytes(path.read_bytes())
    record = json.loads((entry.folder / ENTRY_FILE).read_text())
    record |= {"called": "evil", "recipe": record["recipe"] | {"arch_options": {"width": 2, "length": 3}}}
    (tmp_path / "evil" / ENTRY_FILE).write_text(json.dumps(record))
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path))
    refresh()
    with pytest.raises(NmfdiagError, match="don't fit architecture 'mlp'"):
        lookup("evil").load_model()
    monkeypatch.undo()
    refresh()
