"""Sentences of the page *Generalisation* on planted networks and coefficients."""

from dataclasses import replace
from pathlib import Path

import pytest
from planted_networks import make_correlation, planted_records, verdict

from nmfdiag.measures.methods import PAPER_METHODS
from nmfdiag.measures.stats.correlation import Correlation, Difference
from nmfdiag.views.generalization import sentences
from nmfdiag.views.generalization.tables import COMPARED, PAPER, Selection, Verdict, select
from nmfdiag.zoo.experiments import DEFINITIONS, PRIMARY


@pytest.mark.parametrize(
    ("nmf", "text"),
    [
        (
            make_correlation(-0.9, -0.95, -0.81),
            "Yes, also among networks trained on equally noisy labels: the lower the AuC, the larger",
        ),
        (make_correlation(-0.1, -0.3, 0.1), "Not clearly among networks trained on equally noisy labels: r = −0.10."),
        (
            make_correlation(0.5, 0.3, 0.7),
            "No, among networks trained on equally noisy labels it is the other way round",
        ),
    ],
)
def test_the_answer_is_about_networks_of_equal_noise(
    nmf: Correlation, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_group = {COMPARED[2]: nmf, COMPARED[0]: make_correlation(-0.99, -1, -0.9)}
    monkeypatch.setattr(Selection, "verdict", lambda self: verdict(of_group[self.compared]))
    assert sentences.title_answer(select(planted_records())).startswith(text)


def test_the_answer_on_the_first_networks() -> None:
    assert sentences.title_answer(select(planted_records(1))).startswith("It can't be said: ")
    assert sentences.title_answer(select(planted_records(6))).startswith("Over 6 networks r is −")


def test_r_of_each_method_stands_with_its_interval() -> None:
    text = sentences.overall_text(verdict(make_correlation(-0.9, -0.95, -0.81)))
    assert text == (
        "On the plot, over 96 networks, r is NMF −0.90 (−0.95 to −0.81), PCA −0.40 (−0.50 to −0.30) and random ablation "
        "−0.20 (−0.40 to 0.10)."
    )
    assert sentences.overall_text(verdict(make_correlation(None, reason="x is constant"))) == ""


def test_the_papers_figures_are_named_as_the_papers_and_placed() -> None:
    text = sentences.paper_text(verdict(make_correlation(-0.9, -0.95, -0.85)))
    assert text.startswith("The paper (figure 5) reports, on 96 networks of its own, ")
    assert f"{sentences.signed(PAPER['nmf'])} for NMF (above our interval)" in text
    assert f"{sentences.signed(PAPER['pca'])} for PCA (below our interval)" in text and text.endswith("so it is here.")
    assert "NMF (inside our interval)" in sentences.paper_text(verdict(make_correlation(-0.8, -0.9, -0.7)))
    assert sentences.paper_text(verdict(make_correlation(-0.3, -0.4, -0.2))).endswith("here it is PCA.")
    positive = Verdict(PRIMARY, "pearson", dict.fromkeys(PAPER_METHODS, make_correlation(0.5, 0.4, 0.6)), {})
    assert sentences.paper_text(positive).endswith("here none is negative.")
    assert (
        sentences.paper_text(Verdict(PRIMARY, "pearson", dict.fromkeys(PAPER_METHODS, make_correlation(None)), {}))
        == ""
    )


def test_leads_are_clear_or_not() -> None:
    ahead = Difference(-0.2, -0.3, -0.1, 96, "pearson")
    unclear, behind = replace(ahead, high=0.1), Difference(0.2, 0.1, 0.3, 96, "pearson")
    assert sentences.lead_text(verdict(make_correlation(-0.5))) == ""
    text = sentences.lead_text(Verdict(PRIMARY, "pearson", {}, {"pca": ahead, "random": unclear}))
    assert "from PCA's by −0.20 (−0.30 to −0.10: clearly more negative)" in text
    assert "from random ablation's by −0.20 (−0.30 to 0.10: not clear)" in text
    assert "clearly less negative" in sentences.lead_text(Verdict(PRIMARY, "pearson", {}, {"pca": behind}))


def test_in_how_many_definitions_nmf_is_the_strongest_is_counted() -> None:
    ahead, behind = Difference(-0.2, -0.3, -0.1, 96, "pearson"), Difference(0.2, 0.1, 0.3, 96, "pearson")
    verdicts = [
        verdict(make_correlation(-0.5), pca=make_correlation(-0.4), **{"random": ahead}),
        verdict(make_correlation(-0.3), pca=make_correlation(-0.4), **{"random": ahead}),
        verdict(make_correlation(-0.1), pca=make_correlation(-0.15), **{"random": behind}),
        Verdict(PRIMARY, "pearson", dict.fromkeys(PAPER_METHODS, make_correlation(0.5)), {"random": ahead}),
        Verdict(PRIMARY, "pearson", dict.fromkeys(PAPER_METHODS, make_correlation(None)), {}),
    ]
    verdicts = [replace(v, leads={"pca": ahead, "random": behind} | dict(v.leads)) for v in verdicts]
    with_spearman = [*verdicts, *(replace(v, statistic="spearman") for v in verdicts)]
    pearson, spearman = sentences.definitions_text(with_spearman)
    assert pearson == (
        "By Pearson r, NMF is the strongest (most negative) in 1 of 4 declared definitions, PCA in 1, random ablation in 1 and "
        "none is negative in 1; its coefficient is clearly below that of PCA in 4 (clearly above in 0) and that of random "
        "ablation in 3 (clearly above in 1)."
    )
    assert spearman.startswith("By Spearman ρ")
    assert "nothing can be said" in sentences.definitions_text([verdicts[4], with_spearman[9]])[0]


def test_networks_that_did_not_fit_are_counted() -> None:
    selection = select(planted_records(unfitted=7))
    text, without = sentences.fit_text(selection), selection.fitted.verdict()
    assert text.startswith("7 of these 96 networks did not fit their given labels") and "below 0.98" in text
    assert f"over 89: NMF {sentences.interval_text(without.by_method['nmf'])}" in text
    assert sentences.fit_text(select(planted_records())) == ""
    assert sentences.fit_text(select(planted_records(12, unfitted=11))).endswith("(training accuracy below 0.98).")


def test_r_among_equally_noisy_labels() -> None:
    assert "AuC still predicts the gap" in sentences.noise_text(select(planted_records()))
    assert "a higher AuC goes with" in sentences.noise_text(select(planted_records(area=lambda e: 0.3 + 0.5 * e)))
    flat = sentences.noise_text(select(planted_records(area=lambda _: 0.5, unfitted=5)))
    assert "AuC does not clearly predict the gap" in flat and "among those of them that fit, 91 networks" in flat
    assert (
        sentences.noise_text(select(planted_records(), compared=COMPARED[2]))
        == ""
        == sentences.noise_text(select(planted_records(6)))
    )


def test_combinations_are_counted() -> None:
    assert "Resampling the 16 settings instead of the networks gives " in sentences.combination_text(
        select(planted_records())
    )
    assert sentences.combination_text(select(planted_records(1))) == ""


def test_the_subject_names_what_is_recorded() -> None:
    text = sentences.subject(select(planted_records(12)), 12)
    assert text.startswith("12 networks · digits · p = 0, 0.2, 0.4, 0.6, 0.8, 1 · mean over all layers")
    assert text.endswith("so far 12 of 96")
    whole = sentences.subject(select(planted_records(), compared=COMPARED[1]), 96)
    assert "digits and fashion_mnist" in whole and whole.endswith("within data set") and "so far" not in whole


def test_choices_other_than_the_declared_ones_are_marked() -> None:
    records = planted_records(24)
    assert sentences.is_declared(select(records), "all", "all")
    for within in ({"compared": COMPARED[1]}, {"definition": DEFINITIONS[-1]}):
        assert not sentences.is_declared(select(records, **within), "all", "all")
    assert not sentences.is_declared(select(records), "digits", "all") and not sentences.is_declared(
        select(records), "all", "that fit"
    )
    declared = select(records).verdict()
    assert f"NMF {sentences.interval_text(declared.by_method['nmf'])}" in sentences.declared_text(declared)


def test_a_network_is_described_by_its_recipe() -> None:
    records = planted_records(unfitted=1)
    first, last = sentences.network_text(records["g00"]), sentences.network_text(records["g47"])
    assert first.startswith("A cnn with 12 channels in the first block and 1 convolution a block (1,000 parameters), ")
    assert "600 samples of digits, labels as they are (p = 0)" in first and "no weight decay, images not moved" in first
    assert "30 epochs of at most 1000, after which it did not fit its labels." in first
    assert "1,200 samples" in sentences.network_text(records["g12"])
    assert "100% of the labels replaced by random ones (p = 1)" in last and "did not fit" not in last
    assert "moved by up to 2 pixels" in " ".join(sentences.network_text(r) for r in records.values())
    text = sentences.accuracy_text(records["g00"], select(records))
    assert "Training accuracy 0.700" in text and f"NMF {records['g00'].area('nmf', PRIMARY):.3f}" in text


def test_settings() -> None:
    rows = sentences.settings(select(planted_records(), dataset="digits"), 96)
    assert rows["networks"] == "48 chosen, 96 recorded, 96 declared" and rows["recorded"] == "2026-11-24"
    assert rows["samples a class"] == "20" and rows["training and measuring"] == "24 minutes"
    assert rows["command"] == "nmfdiag record generalization" and "torch 2.15.0" in rows["versions"]
    assert sentences.settings(select(planted_records()), 96)["recorded"] == "2026-11-24 to 2026-11-25"
    assert str(Path("evidence") / "data") in sentences.NOTHING and sentences.COMMAND in sentences.NOTHING
