"""Two networks compared: what they are called, what the sentence says and when, and one table."""

from dataclasses import replace
from functools import partial

import pandas as pd
import pytest

from nmfdiag.measures.auc_sentences import compared_auc, compared_errors, compared_robustness, largest_error
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.stats.summary import Spread
from nmfdiag.views.pair import (
    batches_text,
    layers_text,
    layers_title,
    network_name,
    one_table,
    pair_sentence,
    side_names,
)
from nmfdiag.views.selection import MULTI, Choice
from nmfdiag.zoo.registry import UNKNOWN, lookup

CLEAN, NOISY, TWIN = (lookup(f"digits-cnn-{name}") for name in ("p0-s0", "p1-s0", "p1-s1"))
FASHION, MLP = lookup("fashion_mnist-cnn-p0.6-s0"), lookup("digits-mlp-p1-s0")
OWN = replace(lookup("digits-cnn-p0.6-s0"), called="mine")


def choice_of(*networks: object, second: object, **fields: object) -> Choice:
    return Choice(networks, "conv2_1", beside=second, **fields)  # type: ignore[arg-type]


def curve(accuracy: list[float], full: int = 8) -> CompressionCurve:
    return CompressionCurve("a", "nmf", [1, full // 2, full], accuracy, [0.5] * 3, [5] * 3, [True] * 3, 1.0, 0.1, 0.1, full, (9, full), 9)  # fmt: skip


def test_names_tell_the_sides_apart() -> None:
    assert side_names(choice_of(CLEAN, second=FASHION)) == ["digits cnn", "fashion_mnist cnn"]
    assert side_names(choice_of(CLEAN, second=TWIN)) == ["digits cnn seed 0", "digits cnn seed 1"]
    assert side_names(choice_of(OWN, second=CLEAN)) == ["mine", "digits cnn"]
    signed = replace(TWIN, called="gelu", activations="all")
    assert side_names(choice_of(CLEAN, second=signed)) == ["digits cnn NMF", "gelu signed NMF"]
    choice = choice_of(CLEAN, NOISY, second=FASHION)
    assert [network_name(n, choice) for n in choice.all_networks] == [
        "digits cnn p = 0", "digits cnn p = 1", "fashion_mnist cnn p = 0.6",
    ]  # fmt: skip
    assert network_name(CLEAN, choice_of(CLEAN, second=None)) == "p = 0" and network_name(OWN, choice) == "mine"


def test_a_network_is_not_compared_with_itself() -> None:
    choice = choice_of(CLEAN, NOISY, second=NOISY)
    assert choice.counterpart is None and choice.sides == (choice,) and choice.all_networks == (CLEAN, NOISY)


def test_layers_and_batches_are_named_by_side_where_they_differ() -> None:
    assert layers_text(choice_of(CLEAN, second=FASHION)) == "conv2_1"
    assert layers_title(choice_of(CLEAN, second=FASHION)) == "conv2_1"
    assert layers_title(choice_of(CLEAN, second=MLP)) == "conv2_1 and fc2"
    assert layers_text(choice_of(CLEAN, second=MLP)) == "conv2_1 (digits cnn) and fc2 (digits mlp)"
    assert batches_text(choice_of(CLEAN, second=FASHION, batch=MULTI)) == "multi-class batch of 20"
    assert batches_text(choice_of(CLEAN, second=FASHION, batch="3")) == (
        "class 3, 20 samples (digits cnn) and single-class batches of 20 (fashion_mnist cnn)"
    )


def test_the_second_network_is_compared_with_the_nearest_p() -> None:
    values = [{0.0: "a", 1.0: "b"}, {0.6: "c"}]
    sentence = pair_sentence(choice_of(CLEAN, NOISY, second=FASHION), values, str, is_complete=True)
    assert sentence == (
        "NMF: {'digits cnn p = 1': 'b', 'fashion_mnist cnn p = 0.6': 'c'} They differ in data set, p, training-set size and width or depth."
    )
    by_seed = pair_sentence(choice_of(NOISY, second=TWIN), [{1.0: "a"}, {1.0: "b"}], str, is_complete=True)
    assert by_seed.endswith("They differ in seed.")
    by_p = pair_sentence(choice_of(CLEAN, second=NOISY), [{0.0: "a"}, {1.0: "b"}], str, is_complete=True)
    assert by_p.endswith("They differ in p alone.")


def test_an_own_network_is_compared_with_least_and_most_noise() -> None:
    sentence = pair_sentence(
        choice_of(CLEAN, NOISY, second=OWN), [{0.0: "a", 1.0: "b"}, {UNKNOWN: "c"}], str, is_complete=True
    )
    assert "{'digits cnn p = 0': 'a', 'digits cnn p = 1': 'b', 'mine': 'c'}" in sentence
    assert sentence.endswith("how mine was trained is not recorded.")
    first = pair_sentence(choice_of(OWN, second=CLEAN), [{UNKNOWN: "a"}, {0.0: "b"}], str, is_complete=True)
    assert "{'mine': 'a', 'digits cnn p = 0': 'b'}" in first


def test_nothing_is_said_while_curves_are_missing() -> None:
    sentence = pair_sentence(choice_of(CLEAN, second=FASHION), [{}, {}], str, is_complete=False)
    assert sentence == "NMF: digits cnn p = 0 and fashion_mnist cnn p = 0.6: not known yet."


def test_the_rank_that_each_network_needs() -> None:
    early, late = [curve([0.1, 0.95, 1.0])], [curve([0.1, 0.5, 1.0], 32)]
    assert compared_robustness({"A": ("fc", early), "B": ("fc", late)}) == (
        "To keep 90 % of its accuracy at fc, A needs 4 of 8 directions and B needs 32 of 32 directions."
    )
    never = [curve([0.1, 0.2, 0.3])]
    assert compared_robustness({"A": ("fc", early), "B": ("conv", never)}) == (
        "To keep 90 % of its accuracy, A needs 4 of 8 directions at fc and no number of directions is enough for B at conv."
    )


def spreads(**means: float) -> dict[str, Spread]:
    return {layer: Spread(mean, 0.0, 0.01, 10) for layer, mean in means.items()}


def test_auc_is_compared_layer_by_layer_where_layers_are_the_same() -> None:
    first = spreads(a=0.9, b=0.9, c=0.5, d=0.99)
    assert compared_auc({"A": first, "B": spreads(a=0.5, b=0.7, c=0.6, d=0.99)}) == (
        "AuC of B is clearly lower at a to b and clearly higher at c than that of A; the widest gap is 0.40, at a."
    )
    assert compared_auc({"A": first, "B": first}) == "AuC of B does not clearly differ from that of A at any layer."
    assert (
        compared_auc({"A": first, "B": spreads(x=0.8, y=0.7)}) == "AuC is lowest at c in A (0.50) and at y in B (0.70)."
    )
    assert compared_auc({"A": first, "B": spreads(a=0.1), "C": first}).endswith(
        "at a in B (0.10) and at c in C (0.50)."
    )


@pytest.mark.parametrize(("kind", "warns"), [("relative", False), ("raw", True)])
def test_raw_errors_do_not_compare_networks(kind: str, warns: bool) -> None:
    sentence = partial(compared_errors, 8, kind, True)({"A": spreads(a=0.2, b=0.3), "B": spreads(x=0.5)})
    assert sentence.startswith(f"The {kind} error at k = 8 is largest at b in A (0.3) and at x in B (0.5).")
    assert ("only relative ones compare networks" in sentence) == warns and "Full ranks" not in sentence


def test_a_network_that_is_rebuilt_exactly_misses_most_at_no_layer() -> None:
    exact, inexact = spreads(a=0.0, b=0.0), spreads(a=0.2, b=0.3)
    assert compared_errors(32, "relative", False, {"A": inexact, "B": exact}) == (
        "The relative error at k = 32 is largest at b in A (0.3) and is 0 in B, where k reaches every layer's full rank. "
        "Full ranks differ, and a narrower layer needs a smaller k."
    )
    assert "largest" not in compared_errors(32, "relative", True, {"A": exact, "B": exact})
    assert "rebuilds every layer exactly" in largest_error("NMF", 32, "relative", {0.0: exact, 1.0: exact})
    assert largest_error("NMF", 8, "relative", {0.0: exact, 1.0: inexact}) == (
        "NMF with k = 8 misses most at b: relative error 0.3 with random labels (p = 1), 0 with clean labels (p = 0)."
    )


def test_one_table_names_the_network() -> None:
    choice = choice_of(CLEAN, second=OWN)
    first, second = pd.DataFrame({"p": [0.0, 1.0], "x": [1, 2]}), pd.DataFrame({"p": [None], "x": [3]})
    table = one_table(choice, [first, second])
    assert list(table.columns) == ["network", "p", "x"] and list(table["x"]) == [1, 2, 3]
    assert list(table["network"]) == ["digits cnn", "digits cnn", "mine"]
    assert list(one_table(choice, [first, second.head(0)])["network"]) == ["digits cnn"] * 2
    assert one_table(choice_of(CLEAN, second=None), [first]) is first
