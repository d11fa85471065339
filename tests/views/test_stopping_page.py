"""The page *Early stopping* without a browser: its answer, its choices, and explanations of what is missing."""

from collections.abc import Iterable

import pytest
from headless_pages import open_page, plots
from planted_histories import planted_run
from streamlit.testing.v1 import AppTest

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence import records
from nmfdiag.evidence.records import History

PLANTED = [
    *(planted_run(seed=s, label_noise=p, peak=5 + s) for p in (0.0, 0.4) for s in range(3)),
    *(planted_run("few-shot", seed=s, peak=3 + s) for s in range(2)),
]


def opened(**link: str) -> AppTest:
    return open_page("stopping", **link)


def record(monkeypatch: pytest.MonkeyPatch, planted_runs: Iterable[History]) -> None:
    runs = list(planted_runs)
    monkeypatch.setattr(records, "histories", lambda name: {r.name: r for r in runs if r.experiment == name})


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    record(monkeypatch, PLANTED)


def answer(app: AppTest) -> str:
    return next(m.value for m in app.markdown if m.value.startswith("The mean "))


def titles(app: AppTest) -> list[str]:
    return [plot["layout"]["title"]["text"] for plot in plots(app)]


@pytest.mark.usefixtures("planted")
def test_it_answers_and_draws_the_panels_and_the_map() -> None:
    app = opened()
    assert app.title[0].value == "When should training have stopped?" and not app.exception and not app.error
    assert not app.info
    assert "maximum at epoch 6.0 ± 0.6" in answer(app) and "2.0 ± 0.6 epochs too late" in answer(app)
    assert app.markdown[0].value == (
        "**Stopping where the mean NMF AuC of all layers is highest wins 12.0 ± 1.2 points of test accuracy against training to the end.**"
    )
    assert any(m.value.count(" | +12.0 | 3 : 0 |") == 2 for m in app.markdown)
    assert titles(app) == ["cifar10 cnn, p = 0: AuC, all layers", "cifar10 cnn, p = 0: AuC by layer"]
    assert any("cifar10 cnn, p = 0 · seeds 0, 1, 2 · 100 training samples" in c.value for c in app.caption)
    assert any("6 of the 12 declared runs" in c.value for c in app.caption)
    assert [tab.label for tab in app.tabs] == ["How to read it", "Table", "Settings and provenance"]
    figures = app.dataframe[0].value
    assert figures.rule[0] == "NMF AuC, maximum (declared)" and figures.kept[0] == "6.0 ± 0.6" and len(figures) == 10


@pytest.mark.usefixtures("planted")
def test_a_link_sets_every_choice_and_the_answer_stays_that_of_the_declared_rule() -> None:
    app = opened(
        setting="cifar10 cnn, p = 0.4", of_layers="last third", measure="relative", smooth="3 epochs", show="mean and band"
    )  # fmt: skip
    assert not app.exception and not app.info and "maximum at epoch 6.0 ± 0.6" in answer(app)
    assert titles(app)[0] == "cifar10 cnn, p = 0.4: AuC / batch accuracy, last third"
    assert any(m.value.startswith("As drawn, last third: relative NMF AuC, maximum") for m in app.markdown)
    assert any(t.get("name") == "NMF, raw" for t in plots(app)[0]["data"])
    next(button for button in app.button if button.label == "As in the paper").click().run()
    assert not app.exception and titles(app)[0] == "cifar10 cnn, p = 0: AuC, all layers"
    assert not any(t.get("name") == "NMF, raw" for t in plots(app)[0]["data"])


@pytest.mark.usefixtures("planted")
def test_the_other_experiment_has_its_own_settings_and_measures() -> None:
    app = opened(of_layers="a")
    app.selectbox(key="experiment").select("few-shot (F9)").run()
    assert not app.exception and "first peak at epoch 3.5 ± 0.5" in answer(app) and "The paper finds" in answer(app)
    assert list(app.selectbox(key="measure").options) == ["k = 1 accuracy"]
    assert titles(app)[0] == "digits cnn, p = 0: accuracy at k = 1, a"
    assert app.dataframe[0].value.rule[0] == "k = 1 accuracy, first peak (declared)"


@pytest.mark.usefixtures("planted")
def test_an_unknown_choice_in_a_link_is_reported() -> None:
    app = opened(setting="imagenet vgg", of_layers="conv9", smooth="9 epochs")
    assert [message.value.rsplit(". ", 2 if "Showing" in message.value else 1)[0] for message in app.info] == [
        'No setting "imagenet vgg"',
        'No layers "conv9"',
        'No smoothing "9 epochs"',
    ]
    assert len(plots(app)) == 2 and not app.exception


@pytest.mark.parametrize("experiment", ["early stopping (F6)", "few-shot (F9)"])
def test_without_records_it_explains_how_to_record_them(experiment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unfinished = History(**(vars(PLANTED[0]) | {"result": {}, "epochs": PLANTED[0].epochs[:3]}))
    record(monkeypatch, [unfinished])
    app = opened(experiment=experiment)
    name = "early-stopping" if "F6" in experiment else "few-shot"
    assert not app.exception and not plots(app) and f"`nmfdiag record {name}`" in app.info[0].value
    assert ("cifar10-cnn-p0-s0 (epoch 3)" in app.info[0].value) == (name == "early-stopping")


def test_a_damaged_record_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(name: str) -> dict[str, History]:
        raise NmfdiagError(f"Line 3 of the record {name} can't be read.")

    monkeypatch.setattr(records, "histories", damaged)
    app = opened()
    assert not app.exception and "Line 3 of the record early-stopping" in app.error[0].value


@pytest.mark.parametrize("experiment", ["early stopping (F6)", "few-shot (F9)"])
def test_the_shipped_record_is_drawn_or_reported_missing(experiment: str) -> None:
    name = "early-stopping" if "F6" in experiment else "few-shot"
    finished = [run for run in records.histories(name).values() if run.finished]
    app = opened(experiment=experiment)
    assert not app.exception and not app.error
    assert len(plots(app)) == (2 if finished else 0) and len(app.info) == (0 if finished else 1)
    for setting in app.selectbox(key="setting").options if finished else []:
        app.selectbox(key="setting").select(setting).run()
        assert not app.exception and "nan" not in answer(app).lower() and titles(app)[0].startswith(setting)
