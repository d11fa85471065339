"""The page *How far can you trust this?* and its counts, on a small table whose figures are counted by hand."""

import math
from typing import Any

import pandas as pd
import pytest
from headless_pages import open_page, plots

from nmfdiag.diagnosis.reliability import (
    QUANTITIES,
    Count,
    agreement,
    calibration,
    memorising_right,
    reliability,
    trust_answer,
    weakness_text,
)
from nmfdiag.evidence import jury_records
from nmfdiag.evidence.jury_records import COLUMNS
from nmfdiag.views.trust import sentences, tables
from nmfdiag.views.trust.figures import calibration_figure


def row(name: str, kind: str, p: float, code: str, noise: tuple[float, ...] = (), **values: Any) -> dict[str, Any]:
    """Return a network of the judged half; ``noise`` has estimate, low and high."""
    settings = {"half": "judged", "dataset": "digits", "arch": "mlp", "n": 600, "training": "dropout", "wrong": p}
    estimates = dict(zip(("noise", "noise_low", "noise_high"), noise or (None,) * 3, strict=True))
    line = {**dict.fromkeys(COLUMNS), **settings, "train_accuracy": 1.0, "test_accuracy": 0.9, **estimates, **values}
    return line | {"name": name, "kind": kind, "p": p, "code": code}


ROWS = [
    row("a", "clean", 0, "generalises", (0, 0, 0.05), error=0.1, error_low=0.05, error_high=0.2),
    row("b", "clean", 0, "noisy_labels", (0.2, 0.1, 0.3), test_accuracy=0.6, error=0.3, error_low=0.2, error_high=0.35),
    row("c", "pair_flip", 0.05, "inconclusive", dataset="wine", n=120),
    row("d", "uniform", 0.1, "memorises", (0.08, 0, 0.12), memorised=0.2, memorised_low=0.1, memorised_high=0.3),
    row("e", "look_alike", 0.2, "memorises", (0.02, 0, 0.1), memorised=0.1, memorised_low=0, memorised_high=0.2),
    row("f", "uniform", 0.2, "noisy_labels", (0.21, 0.1, 0.3)),
    row("g", "look_alike", 0.4, "memorises", (0.06, 0, 0.2)),
    row("h", "uniform", 0.6, "noisy_labels", (0.5, 0.4, 0.6), test_accuracy=0.5, error=0.5, error_low=0.4, error_high=0.6),
    row("i", "uniform", 1, "noisy_labels", (0.8, 0.7, 0.95), wrong=0.9, test_accuracy=0.1, arch="cnn"),
]  # fmt: skip
TABLE = pd.DataFrame(ROWS).astype(dict.fromkeys(jury_records.ESTIMATES, float))
MORE = pd.concat([TABLE, TABLE.assign(half="development", name=TABLE["name"] + "2")], ignore_index=True)


def test_labels_are_judged_by_the_rule() -> None:
    counts = reliability(TABLE)
    assert counts.noisy == Count(2, 3)  # g is missed, h and i are found
    assert counts.fifth == Count(1, 2) and counts.look_alike == Count(0, 2)
    assert counts.right == Count(1, 3) and counts.false_alarms == Count(1, 3)  # "can't tell" is neither
    assert counts.unknown == Count(1, 9)


def test_shares_at_the_limits_count_in_spite_of_rounding() -> None:
    table = TABLE.iloc[[7, 2]].assign(wrong=[0.35 - 1e-9, 0.05 + 1e-9])
    counts = reliability(table)
    assert (counts.noisy.total, counts.right.total) == (1, 1)


def test_the_interval_of_a_count_is_exact() -> None:
    low, high = Count(0, 10).interval
    assert low == 0 and high == pytest.approx(1 - 0.025 ** (1 / 10))  # of 0 of n: 1 - (alpha / 2)^(1 / n)
    assert Count(10, 10).interval == pytest.approx((0.025 ** (1 / 10), 1))
    assert math.isnan(Count(0, 0).share)


def test_networks_are_counted_by_level_and_kind() -> None:
    by_level = tables.codes_by_level(TABLE).set_index("p")
    assert list(by_level.index) == list(tables.LEVELS) and list(by_level["all"]) == [3, 1, 2, 2, 1]
    assert by_level.loc["at most 0.05"].to_dict() == {
        "generalises": 1, "memorises": 0, "noisy labels": 1, "can't tell": 1, "all": 3,
    }  # fmt: skip
    by_kind = tables.codes_by_kind(TABLE).set_index("errors")
    assert list(by_kind.index) == ["uniform", "look-alike"] and by_kind.loc["look-alike", "memorises"] == 2
    assert by_kind["all"].sum() == 5  # p = .1 and below are left out
    by_level = tables.codes_by_level(TABLE[TABLE["p"] == 1])
    assert list(by_level["p"]) == ["1"]


def test_groups_have_their_own_counts() -> None:
    table = tables.groups_table(TABLE).set_index(["by", "group"])
    assert table["networks"].to_dict()[("data set", "wine")] == 1
    assert table.loc[("architecture", "cnn"), "called noisy, at least 35 % wrong"].startswith("100 % (1 of 1;")
    assert table.loc[("errors", "look-alike"), "called noisy, at least 35 % wrong"].startswith("0 % (0 of 1;")
    assert table.loc[("errors", "right labels"), "false alarms, at most 5 % wrong"].startswith("50 % (1 of 2;")
    assert table.loc[("architecture", "cnn"), "false alarms, at most 5 % wrong"] == "–"


def test_estimates_are_held_against_the_truth() -> None:
    noise = agreement(calibration(TABLE, QUANTITIES["wrong labels"]))
    assert noise.held == Count(5, 8)  # missed: b, e, g
    assert noise.mean_error == pytest.approx((0 + 0.2 + 0.02 + 0.18 + 0.01 + 0.34 + 0.1 + 0.1) / 8)
    error = agreement(calibration(TABLE, QUANTITIES["expected error"]))
    assert error.held == Count(2, 3) and error.mean_error == pytest.approx(0.1 / 3) and error.rank.r == pytest.approx(1)
    # Truly memorised: d 1 - .9 .9 = .19, e 1 - .8 .9 = .28; the estimates .2 and .1 are on the right and the wrong side of .15.
    assert list(calibration(TABLE, QUANTITIES["memorised"])["truth"]) == pytest.approx([0.19, 0.28])
    assert memorising_right(TABLE) == Count(1, 2)


def test_the_answer_says_counts_and_intervals() -> None:
    text = trust_answer(TABLE, "judged")
    assert text.startswith(
        "Of 9 networks that no threshold was chosen on, nmfdiag calls 67 % (2 of 3; 9 to 99 %) of those"
    )
    assert "35 % wrong labels noisy and finds few or no wrong labels in 33 % (1 of 3; 1 to 91 %)" in text
    assert "can't tell for 11 % (1 of 9;" in text
    assert "that thresholds were chosen on" in trust_answer(TABLE, "development")


def test_the_page_has_one_number_above_and_the_others_in_a_table() -> None:
    assert sentences.headline(TABLE) == "Of networks with at least 35 % wrong labels, 67 % are called noisy."
    assert tables.answers_table(TABLE).to_numpy().tolist() == [
        ["called noisy, at least 35 % wrong", "67 % (2 of 3; 9 to 99 %)"],
        ["called noisy, p = 0.2", "50 % (1 of 2; 1 to 99 %)"],
        ["false alarms, at most 5 % wrong", "33 % (1 of 3; 1 to 91 %)"],
        ["can't tell", "11 % (1 of 9; 0 to 48 %)"],
        ["memorises or not, correct", "50 % (1 of 2; 1 to 99 %)"],
    ]
    estimates = tables.estimates_table(TABLE).set_index("answer")
    assert estimates.loc["wrong labels", "interval holds the truth"].startswith("62 % (5 of 8;")
    assert estimates.loc["expected error", ["off on average", "rank correlation"]].tolist() == ["0.033", "1.00"]


def test_the_answer_leaves_out_what_is_absent() -> None:
    table = TABLE[TABLE["name"] == "c"]
    text = trust_answer(table, "judged")
    assert "noisy" not in text and "nan" not in text
    assert sentences.headline(table) == "No network with at least 35 % wrong labels is among these."
    assert tables.answers_table(table)["answer"].tolist() == ["false alarms, at most 5 % wrong", "can't tell"]
    assert text.startswith(
        "Of 1 network that no threshold was chosen on, nmfdiag finds few or no wrong labels in 0 % (0 of 1;"
    )
    assert "nan" not in tables.estimates_table(table).to_string().lower()


def test_the_known_weakness_follows_the_counts() -> None:
    text = weakness_text(TABLE)
    assert (
        "look-alike classes are hardly seen" in text
        and "0 % (0 of 2;" in text
        and "of the 2 missed, 2 are said to memorise" in text
    )
    assert "often missed" in weakness_text(TABLE.assign(code=TABLE["code"].where(TABLE["name"] != "g", "noisy_labels")))
    assert "are seen here" in weakness_text(TABLE.assign(code="noisy_labels"))
    assert weakness_text(TABLE[TABLE["kind"] != "look_alike"]) == ""


def test_points_carry_name_truth_and_interval() -> None:
    quantity = QUANTITIES["wrong labels"]
    figure = calibration_figure(calibration(TABLE, quantity), quantity, "")
    trace = next(trace for trace in figure.data if trace.name == "look-alike")
    assert list(trace.x) == [0.2, 0.4] and list(trace.y) == [0.02, 0.06]
    assert trace.customdata[1][0] == "g" and trace.error_y.array[1] == pytest.approx(0.14)
    assert sentences.missing_text(TABLE, quantity) == "1 network without an estimate is not drawn."


def test_the_page_shows_the_judged_half_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jury_records, "jury_table", lambda: MORE)
    app = open_page("trust")
    assert not app.exception and not app.error and app.title[0].value == "How far can you trust this?"
    assert app.markdown[0].value == f"**{sentences.headline(TABLE)}**" and not app.warning
    assert len(plots(app)) == 1 and app.tabs[0].label == "How to read it"
    subject = "judged half · 9 networks · 2 data sets · 2 architectures · 120 to 600 training samples"
    assert subject in [caption.value for caption in app.caption]
    app.segmented_control(key="half").select("development").run()
    assert not app.exception and app.warning[0].value.startswith("Thresholds were chosen on these networks")


@pytest.mark.parametrize("answer", QUANTITIES)
def test_the_page_draws_each_answer_with_one_half_alone(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    monkeypatch.setattr(jury_records, "jury_table", lambda: TABLE.iloc[[2, 3, 7]])
    app = open_page("trust", drawn=answer, half="development")
    assert not app.exception and not app.error
    assert "development" in app.info[0].value and "Showing judged" in app.info[0].value
    assert plots(app)[0]["layout"]["title"]["subtitle"]["text"].startswith("judged half, ")


def test_the_page_without_a_record_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jury_records, "jury_table", lambda: TABLE.iloc[:0])
    app = open_page("trust")
    assert not app.exception and app.info[0].value == sentences.NOTHING


def test_the_shipped_record_is_drawn() -> None:
    app = open_page("trust")
    assert not app.exception and not app.error and len(plots(app)) == 1
