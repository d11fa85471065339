"""The pages without a browser: answers, links that are kept or corrected, and explanations of damage."""

import shutil
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from headless_pages import SMALL, open_page, plots, run_until, settled, visit
from queues import pending
from streamlit.testing.v1 import AppTest
from timeouts import wait_until

from nmfdiag.jobs import time_nmf as runtime_module
from nmfdiag.jobs.queue import Jobs
from nmfdiag.ui import live_results
from nmfdiag.zoo.registry import refresh

PAGES = ("network", "curves", "phases", "reconstruction")


def subject(app: AppTest) -> str:
    return next(caption.value for caption in app.caption if " · seed " in caption.value)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_answers_and_draws(page: str) -> None:
    app = visit(page)
    assert not app.exception and not app.error
    assert app.title[0].value.endswith("?")
    assert any(markdown.value.startswith("**NMF") for markdown in app.markdown)
    for plot in plots(app):
        lines = [t for t in plot["data"] if t.get("mode") == "lines+markers"]
        assert {t["name"] for t in lines} == {"p = 0", "p = 1"}
        assert all(len(t["x"]) == len(t["y"]) >= 4 for t in lines)
    assert len(plots(app)) == (2 if page == "reconstruction" else 1)
    assert [tab.label for tab in app.tabs] == ["How to read it", "Table", "Settings and provenance"]


def test_a_link_sets_every_choice() -> None:
    app = visit("curves", seed="1", layer="fc3", batch="7", methods=["nmf", "random"], axis="log", p=["0.4"])
    assert subject(app) == "digits · mlp · p = 0.4 · seed 1 · class 7, 10 samples"
    assert "fc3" in app.title[0].value and not app.info
    names = {t["name"] for t in plots(app)[0]["data"] if t.get("mode") == "lines+markers" and t["x"] != [None]}
    assert names == {"p = 0.4, NMF", "p = 0.4, Random ablation"}
    assert plots(app)[0]["layout"]["xaxis"]["type"] == "log"


def test_the_link_of_a_page_names_what_is_not_the_default_and_opens_the_same() -> None:
    app = open_page(
        "reconstruction", **(SMALL | {"n": "20"}), layer="fc3", methods=["nmf", "random"], k="8", error="raw"
    )
    link = parse_qs(app.code[0].value.removeprefix("?"))
    assert link == {
        "data": ["digits"], "arch": ["mlp"], "p": ["0", "1"], "grid": ["coarse"], "layer": ["fc3"], "methods": ["nmf", "random"], "error": ["raw"],
    }  # fmt: skip
    again = open_page("reconstruction", **link)
    assert subject(again) == subject(app) and again.code[0].value == app.code[0].value
    again.select_slider(key="k").set_value(16).run()
    assert parse_qs(again.code[0].value.removeprefix("?")) == link | {"k": ["16"]}


def test_an_unknown_choice_in_a_link_is_reported() -> None:
    app = visit("network", data="imagenet", layer="conv9_9", p=["0", "1", "3"])
    assert [message.value.rsplit(". ", 2 if "Showing" in message.value else 1)[0] for message in app.info] == [
        'No data set "imagenet"',
        'No label noise p "3"',
        'No layer "conv9_9"',
    ]
    assert "digits · mlp · p = 0, 1" in subject(app)
    app.selectbox(key="layer").select("fc5").run()
    assert not app.info


def test_another_network_brings_its_own_layers() -> None:
    app = visit("curves", layer="fc5")
    assert "fc5" in app.title[0].value
    app.selectbox(key="arch").select("cnn").run()
    assert not app.exception and app.selectbox(key="layer").value == "conv2_1"


def test_no_label_noise_chosen_means_the_least() -> None:
    app = visit("network")
    app.pills(key="p").set_value([]).run()
    assert "p = 0 · seed" in subject(app) and not app.exception


def test_a_damaged_zoo_entry_is_named_and_the_rest_lives(private_folders: Path, request: pytest.FixtureRequest) -> None:
    folder = private_folders / "NMFDIAG_ZOO" / "mine"
    folder.mkdir()
    request.addfinalizer(lambda: ((folder / "entry.json").unlink(), folder.rmdir(), refresh()))
    (folder / "entry.json").write_text("{")
    refresh()  # the zoo is read once a second
    app = visit("network")
    assert any("mine can't be read" in warning.value for warning in app.warning)
    assert plots(app)


def test_a_failing_curve_is_explained_and_the_rest_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from nmfdiag.errors import NmfdiagError
    from nmfdiag.jobs import compute

    real = compute.compute

    def failing(request: object, **options: object) -> object:
        if request.class_idx == 3:  # type: ignore[attr-defined]
            raise NmfdiagError("The activations are all zero: this layer is dead on this batch.")
        return real(request, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(compute, "compute", failing)
    app = run_until(open_page(**{**SMALL, "n": "30", "seed": "1", "p": ["0"]}), lambda app: app.error and plots(app))
    assert "dead on this batch" in app.error[0].value and not app.exception


@pytest.fixture(autouse=True)
def timed_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time each call once; other tests cover the repeats."""
    monkeypatch.setattr("nmfdiag.jobs.time_nmf.MIN_REPEATS", 1)
    monkeypatch.setattr("nmfdiag.jobs.time_nmf.REPEAT_SECONDS", 0.0)


def runtime(**link: str | list[str]) -> AppTest:
    """Open the page *Runtime* on a small layer by a link."""
    return open_page("runtime", **{"arch": "mlp", "p": ["0.4", "1"], "n": "10", "layer": "fc4", **link})


def pressed(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


@pytest.mark.parametrize("over", ["rank", "rows", "channels", "convergence"])
def test_runtime_measures_when_asked_to(over: str) -> None:
    app = runtime(over=over, rank=["2", "4"])
    assert app.title[0].value == "What does the factorisation cost?" and not app.exception
    assert subject(app).startswith("digits · mlp · p = 0.4 · seed 0 · class 0,")  # one network, one batch
    app = settled(pressed(app, "Measure"))
    assert not app.error and any(m.value.startswith("**At fc4 (10 × 128) ") for m in app.markdown)
    data = plots(app)[0]["data"]
    names = {t["name"] for t in data if t.get("mode") in ("lines", "lines+markers") and "name" in t}
    lines = {"HALS", "MU"} if over == "rank" else {f"{s}, k = {k}" for s in ("HALS", "MU") for k in (2, 4)}
    assert lines <= names
    assert [tab.label for tab in app.tabs] == ["How to read it", "Table", "Settings and provenance"]
    again = runtime(over=over, rank=["2", "4"])  # another reader: it is in the cache
    assert plots(again)[0]["data"] and "Measure" not in [b.label for b in again.button]


def test_a_reload_continues_running_requests_even_if_one_ends_while_it_reads(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    link: dict[str, str | list[str]] = {"over": "channels", "rank": ["2"], "layer": "fc2"}  # of no other test
    measure, read, points = runtime_module.measure, Jobs.results, threading.Semaphore(0)

    def measure_when_told(*arguments: Any, **options: Any) -> Any:
        points.acquire()
        return measure(*arguments, **options)

    def read_before_another_ends(queue: Jobs, requests: Any) -> dict[Any, Any]:
        results = read(queue, requests)
        if len(results) == 1:
            points.release()
            wait_until(lambda: len(read(queue, requests)) == 2)
        return results

    request.addfinalizer(lambda: points.release(100))  # a queue that waits here would wait in the tests to come, too
    monkeypatch.setattr(runtime_module, "measure", measure_when_told)
    pressed(runtime(**link), "Measure")
    queue = live_results.jobs("auto")
    requests = [task.request for task in pending(queue).values() if task.request.unit == "points"]
    points.release()
    wait_until(lambda: read(queue, requests))
    monkeypatch.setattr(Jobs, "results", read_before_another_ends)
    reloaded = runtime(**link)
    points.release(len(requests))
    assert "Measure" not in [button.label for button in reloaded.button]
    assert "Measure again" in [button.label for button in settled(reloaded).button]


def test_runtime_as_in_the_paper_is_mu_over_the_rank() -> None:
    app = pressed(runtime(over="rows"), "As in the paper")
    assert not app.exception and app.pills(key="solvers").value == ["mu"]
    app = settled(pressed(app, "Measure") if any(b.label == "Measure" for b in app.button) else app)
    lines = [t for t in plots(app)[0]["data"] if t.get("mode") == "lines+markers"]
    assert [t["name"] for t in lines] == ["MU"] and plots(app)[0]["layout"]["yaxis"]["type"] == "linear"


def test_runtime_reports_an_unknown_choice_in_a_link() -> None:
    app = runtime(over="rows", rank=["2", "999"])
    assert not app.exception and app.info[0].value.startswith('No ranks "999".')
    app = runtime(over="width", scale="cubic", source="hearsay")
    assert not app.exception
    assert [message.value.split(".")[0] for message in app.info if "Available" in message.value] == [
        'No time over "width"',
        'No axes "cubic"',
        'No measured by "hearsay"',
    ]


def test_runtime_explains_a_dead_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    from nmfdiag.errors import NmfdiagError
    from nmfdiag.jobs import time_nmf as module

    def dead(*_: object) -> None:
        raise NmfdiagError("Layer 'fc4': The activations are all zero: this layer is dead on this batch.")

    monkeypatch.setattr(module, "_activations", dead)
    app = pressed(runtime(over="convergence", rank="16"), "Measure")
    run_until(app, lambda app: app.error and not plots(app))
    assert [e.value for e in app.error] == [
        "Layer 'fc4': The activations are all zero: this layer is dead on this batch."
    ]
    assert not app.exception and not plots(app) and "Measure again" in [b.label for b in app.button]


def test_runtime_draws_the_last_benchmark_or_else_the_recorded_one(
    private_folders: Path, request: pytest.FixtureRequest
) -> None:
    app = runtime(source="last benchmark", over="rows")
    assert len(plots(app)) == 1 and not app.info and not app.exception  # the recorded one
    assert any("takes" in m.value and "as long as HALS" in m.value for m in app.markdown)
    folder = private_folders / "NMFDIAG_CACHE" / "bench"
    folder.mkdir()
    request.addfinalizer(lambda: shutil.rmtree(folder))
    table = folder / "results-20260101.csv"
    table.write_text("no,table\n1,2\n")
    app = runtime(source="last benchmark", over="rows")
    assert "lacks the column" in app.info[0].value and not app.exception
    columns = "section device case rows channels n_ranks ranks threads solver wall_seconds wall_min wall_max cpu_seconds mean_relative_error gate note"
    rows = [f"peers,cpu,conv1,1000,64,2,1 2,1,{s},{t},{t},{t},{t},0.3,," for s, t in (("hals", 1), ("sklearn_cd", 7))]
    table.write_text("\n".join([columns.replace(" ", ","), *rows]))
    app = runtime(source="last benchmark", over="rows")
    assert any("sklearn_cd, takes 7.0 times as long" in m.value for m in app.markdown) and not app.info
    assert {t["name"] for t in plots(app)[0]["data"]} == {"hals", "sklearn_cd"}
