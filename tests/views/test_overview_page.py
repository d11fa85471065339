"""The Overview page without a browser: cards and the table of all networks, from what is shipped."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from headless_pages import open_page

from nmfdiag.jobs import compute, score_labels
from nmfdiag.views.overview import ADDED, network_table
from nmfdiag.zoo.registry import entries, lookup


def test_it_shows_all_networks_without_computing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("nothing is computed")

    monkeypatch.setattr(compute, "compute", fail)
    monkeypatch.setattr(score_labels, "score", fail)
    app = open_page("overview", data="digits", arch="mlp", p=["0", "1"])
    assert not app.exception and not app.error
    cards = [markdown.value for markdown in app.markdown if markdown.value.startswith("p = ")]
    assert len(cards) == 2 and "it generalises" in cards[0] and "the network memorises" in cards[1]
    table = app.dataframe[0].value
    assert len(table) == len(entries()) and table["verdict"].ne("not measured yet").all()
    assert table["mean AuC"].between(0, 1).all() and table["true error"].between(0, 1).all()
    random = table[(table["p"] == 1) & (table["network"] == "digits mlp")]
    assert set(random["verdict"]) == {"wrong labels"} and random["at least"].gt(50).all()


def test_a_link_chooses_the_cards() -> None:
    app = open_page("overview", p="0.4")
    assert app.title[0].value == "Which networks memorise?"
    assert any("digits · cnn · p = 0.4 · seed 0" in caption.value for caption in app.caption)


def test_a_user_s_network_has_the_date_on_which_it_was_added(tmp_path: Path) -> None:
    shipped = lookup("digits-mlp-p0-s0")
    (tmp_path / "entry.json").touch()
    own = replace(shipped, called="mine", folder=tmp_path)
    assert ADDED not in network_table([shipped], {}, {})
    table = network_table([shipped, own], {}, {})
    assert table["network"].tolist() == ["mine", "digits mlp"]
    assert table[ADDED].tolist() == [date.fromtimestamp((tmp_path / "entry.json").stat().st_mtime).isoformat(), ""]
