"""The sidebar's choice: its requests, and the groups of its curves."""

from dataclasses import replace

import pytest

from nmfdiag.jobs.requests import MULTI_CLASS
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.views.curve_groups import auc_spreads, curves_at_layer, spreads_by_side
from nmfdiag.views.selection import BOTH, EACH_CLASS, MULTI, Choice
from nmfdiag.zoo.registry import lookup

NETWORKS = (lookup("digits-mlp-p0-s0"), lookup("digits-mlp-p1-s0"))


def curve(accuracy: float) -> CompressionCurve:
    return CompressionCurve(
        "fc1", "nmf", [1, 2, 4], [accuracy] * 3, [0.5, 0.2, 0.0], [5, 2, 0], [True] * 3, 1.0, 0.1, 0.1, 4, (9, 4), 9
    )  # fmt: skip


def test_requests_cover_networks_layers_classes_and_methods() -> None:
    choice = Choice(NETWORKS, "fc1", methods=("nmf", "pca"))
    requests = choice.requests()
    assert len(requests) == len(set(requests)) == 2 * 5 * 10 * 2
    assert {r.class_idx for r in requests[: len(requests) // 10]} == {0}
    assert {r.layer for r in choice.requests(layers=["fc2"])} == {"fc2"}


def test_batches() -> None:
    assert Choice(NETWORKS, "fc1", batch=MULTI).classes == (MULTI_CLASS,)
    assert Choice(NETWORKS, "fc1", batch="7").classes == (7,)
    assert Choice(NETWORKS, "fc1", batch=EACH_CLASS).classes == tuple(range(10))


@pytest.mark.parametrize("name", ["both", "each class", "multi-class", '"each class"', "left"])
def test_a_class_may_have_the_name_of_an_option(name: str) -> None:
    network = replace(NETWORKS[0], class_names=(*NETWORKS[0].class_names[:9], name))
    by_name = Choice((network,), "fc1", batch=name)
    assert by_name.classes == (9,) and f"class {name}" in by_name.batch_text
    assert Choice((network,), "fc1").classes == tuple(range(10))
    assert Choice((network,), "fc1", batch=MULTI).classes == (MULTI_CLASS,)
    assert Choice((network,), "fc1", batch=BOTH).classes == (MULTI_CLASS, *range(10))
    assert len(by_name.batches) == 12 and by_name.batches["each class"] == EACH_CLASS
    assert by_name.batches["multi-class"] == MULTI
    for choice in (by_name, Choice((network,), "fc1"), Choice((network,), "fc1", batch=MULTI)):  # as read from its link
        assert replace(choice, batch=choice.batches[choice.batch_option]) == choice


def test_curves_are_grouped_by_label_noise() -> None:
    choice = Choice(NETWORKS, "fc1")
    requests = choice.requests(layers=["fc1"])
    results = {r: curve(0.9 if "p0-" in r.entry else 0.3) for r in requests}
    spreads = auc_spreads(choice, results)["nmf"]
    assert [round(spreads[p]["fc1"].mean, 6) for p in (0.0, 1.0)] == [0.9, 0.3]
    assert spreads[0.0]["fc1"].n == 10
    assert [len(curves) for curves in curves_at_layer(choice, results).values()] == [10, 10]
    assert auc_spreads(choice, {}) == {}


def test_curves_are_grouped_by_side_with_each_sides_own_method() -> None:
    second = replace(lookup("digits-mlp-p1-s1"), activations="all")  # whose own method is signed NMF
    choice = Choice(NETWORKS, "fc1", methods=("pca", "nmf"), beside=second)
    results = {
        r: curve({"pca": 0.1, "nmf": 0.5, "signed": 0.7}[r.method])
        for side in choice.sides
        for r in side.requests(layers=["fc1"])
    }
    first, other_side = spreads_by_side(choice, results)
    assert (first.method, other_side.method) == ("nmf", "signed")
    assert list(first.by_noise) == [0.0, 1.0] and list(other_side.by_noise) == [1.0]
    assert [round(side.by_noise[1.0]["fc1"].mean, 6) for side in (first, other_side)] == [0.5, 0.7]
    assert round(other_side.by_method["pca"][1.0]["fc1"].mean, 6) == 0.1
    errors = spreads_by_side(choice, results, lambda c, _axis: c.error_near(1))
    assert errors[0].by_noise[0.0]["fc1"].mean == curve(0.5).relative_error[0]
    while_waiting = spreads_by_side(choice, {})
    assert [dict(side.by_noise) for side in while_waiting] == [{}, {}] and while_waiting[1].method == "signed"


def test_answers_use_nmf_where_it_is_chosen() -> None:
    assert Choice(NETWORKS, "fc1", methods=("pca", "nmf")).method == "nmf"
    assert Choice(NETWORKS, "fc1", methods=("random", "pca")).method == "random"
