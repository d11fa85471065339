"""The page *Training runs* without a browser: it answers, refreshes, trains, and explains what is missing."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from headless_pages import open_page, plots, run_until
from planted_run_files import HEAD, write_run
from streamlit.testing.v1 import AppTest

from nmfdiag.monitor import trainer
from nmfdiag.ui import training_controls
from nmfdiag.views.training_runs.sentences import THREE_LINES

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the watched folder of a server that has trained nothing."""
    monkeypatch.setenv("NMFDIAG_RUNS", str(tmp_path))
    st.cache_resource.clear()
    yield tmp_path
    st.cache_resource.clear()


def opened(**link: str | list[str]) -> AppTest:
    return open_page("training_runs", **link)


def button(app: AppTest, label: str) -> object:
    return next((b for b in app.button if b.label == label), None)


def texts(app: AppTest) -> str:
    return "\n".join([m.value for m in app.markdown] + [c.value for c in app.caption])


def titles(app: AppTest) -> list[str]:
    return [plot["layout"]["title"]["text"] for plot in plots(app)]


def test_without_runs_it_explains_how_to_make_one(folder: Path) -> None:
    app = opened()
    assert app.title[0].value == "Is this run memorising yet?" and not app.exception and not plots(app)
    names = [element.type for element in app.main if element.type in ("button", "code")]
    assert names == ["code", "button", "code"] and button(app, "Train one now").proto.type == "primary"  # type: ignore[attr-defined]
    assert "about a minute" in texts(app) and "No active run. Checking every 5 s." in texts(app)
    assert app.code[-1].value == THREE_LINES.format(folder=folder)


def test_the_snippet_is_that_of_the_readme() -> None:
    assert THREE_LINES.format(folder="runs") in README.read_text(encoding="utf-8")


def test_it_answers_for_the_newest_run_and_draws_panels_and_map(folder: Path) -> None:
    write_run(folder, "newest", age=1000)
    write_run(folder, "older", peak=20, age=5000)
    app = opened()
    assert not app.exception and not app.error and not app.warning
    assert app.markdown[0].value == "**Stopped: can't tell whether it memorises**"
    assert "Best stop, if labels are noisy: epoch 4. Relative AuC peaked there (0.90, now 0.74)." in texts(app)
    assert "no line for more than 10 minutes" in texts(app) and "**Advice only.** How noisy" in app.info[0].value
    rows = [line.split(" | ")[1:] for line in app.info[0].value.splitlines() if "labels," in line]
    assert rows == [["−20.9", "0 : 3 |"], ["−5.5", "0 : 3 |"], ["+14.5", "2 : 0 |"]]
    assert titles(app) == ["newest: AuC / batch accuracy, all layers", "newest: AuC / batch accuracy by layer"]
    assert [tab.label for tab in app.tabs] == ["How to read it", "Table", "Settings and provenance"]
    assert not button(app, "Cancel") and "No active run. Checking every 5 s." in texts(app)


def test_a_link_sets_every_choice(folder: Path) -> None:
    for seed in range(2):
        write_run(
            folder, f"net-s{seed}", p=0.4, seed=seed, peak=4 + seed, age=100 + seed, end_line={"result": {"epochs": 12}}
        )
    app = opened(runs=["net-s1", "net-s0"], by="absolute", layer_of="b", smooth="3 epochs", runs_as="mean and band")
    assert not app.exception and len(app.info) == 1
    assert [m.value.split(":")[0] for m in app.markdown[:2]] == ["**net-s1", "**net-s0"]
    assert "AuC of b peaked there" in texts(app) and "epoch 5" in texts(app)
    figure = plots(app)[0]
    assert figure["layout"]["title"]["text"] == "net, mean of 2 seeds: AuC, b"
    assert any(t.get("name") == "raw" for t in figure["data"]) and any(
        t.get("fill") == "toself" for t in figure["data"]
    )
    app.selectbox(key="map_of").select("net-s0").run()
    assert titles(app)[1] == "net-s0: AuC by layer" and not app.exception


def test_a_run_under_way_is_followed_and_choices_stay(folder: Path) -> None:
    path = write_run(folder, "growing", epochs=6, peak=20, age=1)
    app = opened(by="absolute")
    assert "growing, epoch 6." in texts(app) and "AuC is highest now (0.31)." in texts(app)
    assert "Under way: growing." in texts(app)
    write_run(folder, "growing", epochs=7, peak=20, age=0)
    app.run()
    assert "growing, epoch 7." in texts(app) and app.selectbox(key="by").value == "absolute"
    path.write_text(path.read_text() + json.dumps({"result": {"epochs": 7}}) + "\n")
    app.run()
    assert app.markdown[0].value.startswith("**Finished: ") and not app.exception


def test_a_run_that_begins_is_found_and_shown_unless_another_was_chosen(folder: Path) -> None:
    app = opened()
    write_run(folder, "first", age=1)
    app.run()
    assert app.multiselect(key="runs").value == ["first"]
    write_run(folder, "second", age=0)
    app.run()
    assert app.multiselect(key="runs").value == ["second"] and not app.exception
    app.multiselect(key="runs").set_value(["first"]).run()
    write_run(folder, "third", age=0)
    app.run()
    assert app.multiselect(key="runs").value == ["first"]
    button(app, "Show third").click().run()  # type: ignore[attr-defined]
    assert app.multiselect(key="runs").value == ["third"] and not app.exception


def test_the_page_looks_only_at_the_files_and_runs_again_only_if_one_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(folder, "old")
    intervals, looks, reruns = [], [], []
    monkeypatch.setattr(
        training_controls, "draw_repeatedly", lambda draw, interval: (intervals.append(interval), looks.append(draw))
    )
    monkeypatch.setattr(training_controls, "rerun_page", lambda: reruns.append(1))
    opened()
    assert intervals == [training_controls.POLL_SECONDS]
    looks[0]()
    assert not reruns
    write_run(folder, "new", age=0)
    looks[0]()
    assert reruns


def test_unreadable_runs_are_reported_and_the_rest_is_drawn(folder: Path) -> None:
    write_run(folder, "good")
    write_run(folder, "bad").write_text("{oops\n{}\n")
    app = opened(runs="gone", layer_of="conv9")
    assert not app.exception and app.warning[0].value.startswith("bad: Line 1") and len(plots(app)) == 2
    assert [message.value.rsplit(". ", 2 if "Showing" in message.value else 1)[0] for message in app.info[:2]] == [
        'No runs "gone"',
        'No layers "conv9"',
    ]


def test_a_run_without_measurements_is_not_an_error(folder: Path) -> None:
    write_run(folder, "empty", epochs=0, age=1)
    app = opened()
    assert not app.exception and "empty: no epoch has ended yet" in texts(app) and len(plots(app)) == 1


TRAINS = f"""
import pathlib, sys, time
run = pathlib.Path(sys.argv[2], sys.argv[1], "run.jsonl")
run.parent.mkdir(parents=True)
run.write_text({json.dumps(HEAD | {"name": "NAME", "recipe": None})!r}.replace("NAME", sys.argv[1]) + chr(10))
time.sleep(600)
"""


def test_the_button_trains_one_shows_it_and_cancel_ends_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(folder, "mine")
    monkeypatch.setattr(
        trainer, "train_command", lambda name, runs, out: [sys.executable, "-c", TRAINS, name, str(runs), str(out)]
    )
    app = opened()
    app.selectbox(key="_recipe").select("digits-cnn-p1-s0").run()
    button(app, "Train one now").click().run()  # type: ignore[attr-defined]
    assert not app.exception and "Under way: digits-cnn-p1-s0" in texts(app)
    assert button(app, "Train one now").disabled  # type: ignore[attr-defined]
    run_until(app, lambda app: "digits-cnn-p1-s0: no epoch" in texts(app))
    assert app.multiselect(key="runs").value == ["digits-cnn-p1-s0"]
    button(app, "Cancel").click().run()  # type: ignore[attr-defined]
    assert not app.exception and "**Cancelled: too few measurements: 0**" in texts(app)
    assert not button(app, "Train one now").disabled  # type: ignore[attr-defined]


def test_a_process_that_fails_shows_its_last_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = [sys.executable, "-c", "import sys; sys.exit('first' + chr(10) + 'nmfdiag: *no* data')"]
    monkeypatch.setattr(trainer, "train_command", lambda *_: fails)
    app = opened()
    button(app, "Train one now").click().run()  # type: ignore[attr-defined]
    run_until(app, lambda app: app.error)
    assert r"digits-mlp-p0.4-s0 was not trained. nmfdiag: \*no\* data" in app.error[0].value
