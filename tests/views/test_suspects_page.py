"""The page *Suspects* without a browser: its answer, filters, one sample, marks, links, and what it says where nothing can be told."""

from dataclasses import replace
from typing import Any

import pytest
from headless_pages import open_page, plots, run_until, settled
from streamlit.testing.v1 import AppTest

from nmfdiag.jobs import score_labels
from nmfdiag.measures.suspects.noise_rate import NoiseRate
from nmfdiag.ui import live_results
from nmfdiag.ui.frame import INSIDE_APP


def visit(**link: str | list[str]) -> AppTest:
    return settled(open_page("suspects", **{"arch": "mlp", "p": ["0.2"], **link}))


def texts(app: AppTest) -> str:
    return " ".join(element.value for element in (*app.markdown, *app.caption, *app.info, *app.warning))


def cards(app: AppTest) -> list[Any]:
    return [button for button in app.button if (button.key or "").startswith("_card_")]


def clicked(app: AppTest, key: str) -> AppTest:
    return next(button for button in app.button if button.key == key).click().run()


def test_it_answers_lists_and_marks() -> None:
    app = visit()
    assert app.title[0].value == "Which labels are wrong?" and not app.exception and not app.error and not app.info
    assert any(m.value.startswith("**About 1") and "of the labels look wrong" in m.value for m in app.markdown)
    assert "1,000 of 1,000 samples, the highest score first." in texts(app) and "187 of 1,000 are wrong" in texts(app)
    assert len(cards(app)) == 30 and all("data:image/png;base64," in card.label for card in cards(app))
    assert len(plots(app)) == 3
    first, second = (int(card.key.removeprefix("_card_")) for card in cards(app)[:2])
    assert f"**Sample {first:,}**" in texts(app)
    app = clicked(app, "_mark_wrong")
    assert "**Marked wrong: 1 of 1, 100 %**" in texts(app) and f"**Sample {second:,}**" in texts(app)
    app = clicked(app, "_mark_fine")
    assert "**Marked wrong: 1 of 2, 50 %**" in texts(app)
    app = clicked(clicked(clicked(app, "_previous"), "_previous"), "_mark_wrong")  # the same mark again
    assert "**Marked wrong: 0 of 1, 0 %**" in texts(app)
    app.switch_page("pages/how.py").run()
    app.switch_page("pages/suspects.py").run()
    assert "**Marked wrong: 0 of 1, 0 %**" in texts(settled(app))
    app.selectbox(key="list").select("marked").run()
    assert len(cards(app)) == 1 and ":green-badge[fine]" in cards(app)[0].label and not app.exception


def test_it_answers_at_once_and_lists_samples_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Any] = []
    monkeypatch.setattr(live_results.Jobs, "ask", lambda _queue, batch, _owner: requests.extend(batch))
    app = open_page("suspects", arch="mlp", p=["0.4"], seed="1", sort="loss")  # of no other test
    assert "of the labels look wrong" in texts(app) and not cards(app) and not app.exception and not requests
    assert "Which samples look wrong is not measured here yet: 1 network, about 3 s on an idle core." in texts(app)
    monkeypatch.undo()
    app = settled(app)
    assert len(cards(app)) == 30 and "the highest loss first" in texts(app)


def test_a_sample_leads_to_its_class_on_the_map() -> None:
    app = visit()
    suspect_class = cards(app)[0].label.rpartition("**")[0].rpartition("**")[2].partition(" →")[0]
    app.session_state[INSIDE_APP] = True  # as app.py leaves it while it runs a page; the test runs the page alone
    app = clicked(app, "_to_class")
    assert app.title[0].value == "Which classes are memorised?" and not app.exception
    assert app.selectbox(key="class").value == suspect_class


def test_a_link_sets_every_choice_and_errors_are_reported() -> None:
    app = visit(given="7", sort="loss", list="top 100", sample="17", p=["0.2", "0.4"], level="0.2")
    assert not app.info and "**Sample 17**" in texts(app) and "the highest loss first" in texts(app)
    assert cards(app) and all("**7 → " in card.label for card in cards(app))
    app = visit(given="cat", sort="beauty", list="best", sample="5000")
    assert [message.value.rsplit(". ", 2 if "Showing" in message.value else 1)[0] for message in app.info] == [
        'No given class "cat"',
        'No sorted by "beauty"',
        'No list "best"',
        'No sample "5000"',
    ]
    assert not app.exception and len(cards(app)) == 30


def test_where_nothing_can_be_told_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = score_labels.score

    def without_rate(request: Any, **options: Any) -> Any:
        result = real(request, **options)
        rate = NoiseRate(0.0, 0.0, 1.0, 1000, "nothing is known")
        return replace(result, noise_rate=rate, remarks=("A remark on *this*.",))

    monkeypatch.setattr(score_labels, "score", without_rate)
    app = visit(data="fashion_mnist", seed="1", p=["0"])  # of no other page, which would have scored it already
    assert "**How many labels are wrong can't be told: nothing is known.**" in texts(app)
    assert r"A remark on \*this\*." in texts(app) and "there is nothing to find" in texts(app)
    assert len(plots(app)) == 1 and not app.exception and not app.error
    app.selectbox(key="list").select("look wrong").run()
    assert "By the rate no label looks wrong for certain." in texts(app) and not cards(app)


def test_an_error_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from nmfdiag.errors import NmfdiagError

    def failing(_request: Any, **_options: Any) -> Any:
        raise NmfdiagError("All samples have the same given label: suspects need at least two classes.")

    monkeypatch.setattr(score_labels, "score", failing)
    app = open_page("suspects", arch="mlp", p=["0.8"], seed="1")
    next(button for button in app.button if button.label == "Measure").click().run()
    app = run_until(app, lambda app: app.error)
    assert [error.value for error in app.error] == [
        "All samples have the same given label: suspects need at least two classes."
    ]
    assert app.title[0].value == "Which labels are wrong?" and not app.exception and not cards(app)
