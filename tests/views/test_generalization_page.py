"""The page *Generalisation* without a browser, on the shipped record and on parts of it."""

from collections.abc import Iterator, Mapping

import pytest
from headless_pages import open_page, plots
from planted_networks import planted_records
from streamlit.testing.v1 import AppTest

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence import records
from nmfdiag.evidence.records import NetworkRecord, network_records
from nmfdiag.measures.methods import PAPER_METHODS
from nmfdiag.text import signed
from nmfdiag.views.generalization import tables as tables_module
from nmfdiag.views.generalization.sentences import interval_text
from nmfdiag.views.generalization.tables import COMPARED, select
from nmfdiag.zoo.experiments import DEFINITIONS, GENERALIZATION, LAYER_SETS, Definition

TITLE = "Does AuC predict the generalisation gap?"


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Draw fewer bootstrap samples, to save seconds per interval."""
    remembered = (tables_module._correlation, tables_module._difference)
    monkeypatch.setattr(tables_module, "DRAWS", 100)
    for answers in remembered:
        answers.cache_clear()
    yield
    for answers in remembered:
        answers.cache_clear()


def open_link(**link: str) -> AppTest:
    return open_page("generalization", **link)


def record_networks(monkeypatch: pytest.MonkeyPatch, networks: Mapping[str, NetworkRecord]) -> None:
    monkeypatch.setattr(records, "network_records", lambda: networks)


def answer(app: AppTest) -> str:
    return app.markdown[0].value


def details_text(app: AppTest) -> str:
    """Return the paragraph below the plot."""
    return next(m.value for m in app.markdown if m.value.startswith("On the plot, "))


def subject(app: AppTest) -> str:
    return next(caption.value for caption in app.caption if " networks · " in caption.value)


def points(figure: dict) -> dict[str, list]:
    """Return the names of the drawn networks by panel."""
    names: dict[str, list] = {}
    for t in figure["data"]:
        if (t.get("name") or "").startswith("p = "):
            names.setdefault(t.get("xaxis", "x"), []).extend(row[0] for row in t["customdata"])
    return names


def test_it_answers_and_draws_the_shipped_record() -> None:
    app, shipped = open_link(), network_records()
    assert not app.exception and not app.error and not app.info and app.title[0].value == TITLE
    correlations = select(shipped).verdict().by_method
    within = select(shipped, compared=COMPARED[2]).verdict().by_method["nmf"]
    assert within.r is not None and f"(r = {signed(within.r)})" in answer(app)
    assert f"over {len(shipped)} networks" in details_text(app) and "nan" not in details_text(app).lower()
    assert all(interval_text(correlation) in details_text(app) for correlation in correlations.values())
    scatter, definitions = plots(app)
    assert {panel: sorted(names) for panel, names in points(scatter).items()} == dict.fromkeys(
        ("x", "x2", "x3"), sorted(shipped)
    )
    assert len(definitions["layout"]["yaxis"]["ticktext"]) == len(DEFINITIONS)
    assert "The paper (figure 5) reports" in details_text(app)
    assert ("so far" in subject(app)) == (len(shipped) < len(GENERALIZATION))
    assert [tab.label for tab in app.tabs] == ["How to read it", "Table", "Settings and provenance"]
    tables = [len(frame.value) for frame in app.dataframe]
    assert tables[:2] == [len(DEFINITIONS) * len(PAPER_METHODS) * 2, len(shipped)]


def test_controls_are_followed_and_the_paper_brings_the_declared_choices_back() -> None:
    app = open_link(auc_layers="last third", auc_axis="log", auc_batch="multi", compared=COMPARED[1])
    selection = select(network_records(), definition=Definition("last third", "log", "multi"), compared=COMPARED[1])
    assert interval_text(selection.verdict().by_method["nmf"]) in details_text(app) and not app.exception
    assert "mean over last third, log k, multi-class batches" in subject(app)
    assert any(m.value.startswith("These are not the declared choices") for m in app.markdown)
    next(button for button in app.button if button.label == "As in the paper").click().run()
    assert interval_text(select(network_records()).verdict().by_method["nmf"]) in details_text(app)
    assert app.selectbox(key="auc_layers").value == LAYER_SETS[0] and app.selectbox(key="compared").value == COMPARED[0]
    assert not any(m.value.startswith("These are not the declared choices") for m in app.markdown)


def test_a_data_set_and_the_networks_that_fit_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    record_networks(monkeypatch, planted_records(unfitted=5))
    app = open_link(networks_of="digits", fits="that fit")
    assert not app.exception and "over 43 networks" in details_text(app)
    assert len(points(plots(app)[0])["x"]) == 43
    app.segmented_control(key="fits").set_value("all").run()
    assert "over 48 networks" in details_text(app)
    assert any(m.value.startswith("5 of these 48 networks did not fit") for m in app.markdown)


def test_a_network_opens_by_its_link_and_by_a_click(monkeypatch: pytest.MonkeyPatch) -> None:
    record_networks(monkeypatch, planted_records())
    app = open_link(network="g17")
    assert not app.exception and "Network g17" in [s.value for s in app.subheader]
    assert "nmfdiag record generalization --only g17" in [c.value for c in app.code]
    _, layers, _ = plots(app)
    assert [t["name"] for t in layers["data"]] == ["NMF", "PCA", "Random ablation", "uncompressed"]
    assert any("network=g17" in c.value for c in app.code)
    ring = [t for t in plots(app)[0]["data"] if t.get("name") == "g17"]
    assert len(ring) == len(PAPER_METHODS) and all(len(t["x"]) == 1 for t in ring)
    app.session_state["_new"] = {"network": "g40"}  # what the page notes when a point is clicked
    app.run()
    assert "Network g40" in [s.value for s in app.subheader] and app.selectbox(key="network").value == "g40"
    app.selectbox(key="network").select("none").run()
    assert not any(s.value.startswith("Network") for s in app.subheader) and len(plots(app)) == 2


def test_an_incomplete_record_is_reported_as_incomplete(monkeypatch: pytest.MonkeyPatch) -> None:
    record_networks(monkeypatch, planted_records(20))
    app = open_link(network="g50")
    assert not app.exception and "so far 20 of 96" in subject(app) and "over 20 networks" in details_text(app)
    assert any("Network g50 is not recorded yet." in c.value for c in app.caption)
    app.selectbox(key="networks_of").select("fashion_mnist").run()
    assert "No network of fashion_mnist is recorded so far" in app.error[0].value and not app.exception
    app.selectbox(key="networks_of").select("digits").run()
    assert "over 20 networks" in details_text(app) and not app.error


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_first_networks_do_not_break_it(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    record_networks(monkeypatch, planted_records(n))
    app = open_link(network="g00")
    assert not app.exception and not app.error and len(plots(app)) == 3
    assert answer(app).startswith("**It can't be said: ") == (n < 3)


def test_without_a_record_it_explains_how_to_record_one(monkeypatch: pytest.MonkeyPatch) -> None:
    record_networks(monkeypatch, {})
    app = open_link()
    assert not app.exception and app.title[0].value == TITLE and not plots(app)
    assert "nmfdiag record generalization --out" in app.info[0].value


def test_a_damaged_record_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged() -> Mapping[str, NetworkRecord]:
        raise NmfdiagError("Line 2 of the record generalization.jsonl can't be read: oops")

    monkeypatch.setattr(records, "network_records", damaged)
    app = open_link()
    assert "Line 2 of the record" in app.error[0].value and not app.exception


def test_an_unknown_choice_in_a_link_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    record_networks(monkeypatch, planted_records(24))
    app = open_link(network="g99", auc_layers="last quarter")
    assert [message.value.rsplit(". ", 2 if "Showing" in message.value else 1)[0] for message in app.info] == [
        'No AuC over "last quarter"',
        'No network "g99"',
    ]
    assert not app.exception and len(plots(app)) == 2
