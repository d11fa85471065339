"""The page *Ablation* on planted curves: figures, table and sentences."""

from dataclasses import replace

import numpy as np
import pytest

from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.measures.ablation import ablation_auc
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import METHODS
from nmfdiag.views.ablation import (
    ablation_answer,
    ablation_auc_figure,
    ablation_by_layer,
    ablation_figure,
    ablation_table,
)
from nmfdiag.views.curve_groups import auc_spreads
from nmfdiag.views.provenance import settings
from nmfdiag.views.selection import Choice
from nmfdiag.zoo.registry import lookup

NETWORKS = (lookup("digits-mlp-p0-s0"), lookup("digits-mlp-p1-s0"))
CHOICE = Choice(NETWORKS, "fc2", methods=tuple(METHODS))


def curve(level: float, method: str = "nmf", *, channels: int = 8, **fields: object) -> CompressionCurve:
    full = channels if method == "random" else 4
    record = {
        "layer": "fc2", "method": method, "ranks": [1, 2, full], "accuracy": [level, level, 0.0],
        "relative_error": [0.5, 0.2, 0.0], "absolute_error": [5.0, 2.0, 0.0], "converged": [True, method != "nmf", True],
        "baseline_accuracy": 1.0, "zero_accuracy": 0.0, "mean_accuracy": 0.2, "full_rank": full, "shape": (4, channels),
        "n_samples": 4, "operation": "ablate",
    } | fields  # fmt: skip
    return CompressionCurve(**record)  # type: ignore[arg-type]


def flat(level: float, method: str) -> CompressionCurve:
    """Return a curve whose area is its level."""
    return curve(level, method, ranks=[1, 8], accuracy=[level] * 2, converged=[True] * 2, full_rank=8)


def planted(levels: dict[tuple[float, str], float]) -> dict[tuple[float, str], dict[int, CompressionCurve]]:
    """Return two classes around each level."""
    return {(p, m): {0: flat(a - 0.01, m), 1: flat(a + 0.01, m)} for (p, m), a in levels.items()}


def test_lines_start_at_the_baseline_and_end_where_nothing_is_left() -> None:
    curves = {(p, m): {0: curve(0.6, m), 1: curve(0.8, m)} for p in (0.0, 1.0) for m in METHODS}
    figure = ablation_figure(curves, layer="fc2", axis="linear", batch="x")
    lines = {t.name: t for t in figure.data if t.x and t.x[0] is not None and t.name}
    assert list(lines["p = 0, NMF directions"].x) == [0, 1, 2, 4, 8]
    assert np.allclose(lines["p = 0, NMF directions"].y, [1, 0.7, 0.7, 0, 0])
    assert list(lines["p = 1, random channels"].x) == [0, 1, 2, 8]
    assert [lines[f"p = 0, {name}"].line.dash for name in [method.removed for method in METHODS.values()]] == [
        "solid", "longdashdot", "dash", "dot",
    ]  # fmt: skip
    assert lines["p = 0, NMF directions"].line.color == lines["p = 0, random channels"].line.color
    assert lines["p = 0, NMF directions"].line.color != lines["p = 1, NMF directions"].line.color
    legend = [t.name for t in figure.data if t.showlegend is not False]
    assert legend == ["p = 0", "p = 1", *(method.removed for method in METHODS.values()), "small: not converged"]
    assert figure.layout.yaxis.range[0] <= 0 and figure.layout.yaxis.range[1] >= 1
    logarithmic = ablation_figure(curves, layer="fc2", axis="log", batch="x")
    assert logarithmic.layout.xaxis.type == "log" and all(min(t.x) > 0 for t in logarithmic.data if t.x[0] is not None)


def test_areas_and_the_table_are_those_of_all_channels() -> None:
    results = {
        CurveRequest(n.name, layer, c, "nmf", operation="ablate"): curve(0.5, layer=layer)
        for n in NETWORKS for layer in ("fc1", "fc3") for c in (0, 1)
    }  # fmt: skip
    by_method = auc_spreads(CHOICE, results, ablation_auc)
    figure = ablation_auc_figure(by_method, CHOICE.layers, axis="linear", batch="x")
    line = next(t for t in figure.data if t.name == "p = 1, NMF directions")
    assert list(line.x) == ["fc1", "fc3"] and line.y[0] == pytest.approx((0.5 + 0.5) / 7)
    table = ablation_table(CHOICE, results)
    assert set(table["batches"]) == {2} and list(table["AuC"]) == pytest.approx([1 / 7] * 4)
    assert "removed" in settings(CHOICE, results)["operation"]
    assert ablation_table(CHOICE, {}).empty


SUPPORTS = {(0.0, "random"): 0.7, (1.0, "random"): 0.4, (0.0, "nmf"): 0.1, (1.0, "nmf"): 0.3}
CONTRADICTS = {(0.0, "random"): 0.4, (1.0, "random"): 0.7, (0.0, "nmf"): 0.3, (1.0, "nmf"): 0.1}


CLEAN, NOISY = "clean labels (p = 0)", "random labels (p = 1)"


def test_the_answer_names_the_network_that_is_hurt_more() -> None:
    assert ablation_answer("fc2", planted(SUPPORTS)) == (
        f"Removing NMF directions of fc2 hurts the network with {CLEAN} more beyond what random channels do."
    )
    assert f"the network with {NOISY} more beyond" in ablation_answer("fc2", planted(CONTRADICTS))
    random = {key: level for key, level in SUPPORTS.items() if key[1] == "random"}
    assert (
        ablation_answer("fc2", planted(random))
        == f"Removing random channels of fc2 hurts the network with {NOISY} more."
    )


def test_the_answer_says_that_there_is_no_difference() -> None:
    alike = ablation_answer("fc2", planted(dict.fromkeys(SUPPORTS, 0.5)))
    assert alike.startswith(
        f"No difference: removing NMF directions of fc2 hurts the networks with {CLEAN} and {NOISY} about"
    )
    borrowed = ablation_answer("fc2", planted(SUPPORTS | {(1.0, "nmf"): 0.1}))  # what differs is random ablation
    assert borrowed.startswith("No difference: ") and "only removing random channels" in borrowed


def test_answer_from_part_of_the_curves() -> None:
    nmf = {key: level for key, level in SUPPORTS.items() if key[1] == "nmf"}
    assert (
        ablation_answer("fc2", planted(nmf)) == f"Removing NMF directions of fc2 hurts the network with {CLEAN} more."
    )
    clean = {key: level for key, level in SUPPORTS.items() if key == (0.0, "random")}
    assert ablation_answer("fc2", planted(clean)) == f"Without random channels of fc2, AuC is 0.70 with {CLEAN}."
    assert ablation_by_layer({"fc2": planted(clean)}) == ""
    assert "No curve of fc2" in ablation_answer("fc2", {})  # a dead layer
    lacking = planted(SUPPORTS)
    del lacking[1.0, "random"]
    assert "beyond" not in ablation_answer("fc2", lacking)


def test_layers_are_counted_both_ways() -> None:
    layers = {
        "fc1": planted(SUPPORTS),
        "fc2": planted(CONTRADICTS),
        "fc3": planted(SUPPORTS | {(1.0, "nmf"): 0.1}),
        "fc4": {},
    }
    text = ablation_by_layer(layers)
    assert (
        f"**random channels** hurts the network with {CLEAN} more at 1 of 3 layers, the one with {NOISY} at 2." in text
    )
    assert (
        f"**NMF directions** hurts the network with {CLEAN} more at 1 of 3 layers, the one with {NOISY} at 1 beyond what random channels do."
        in text
    )


def test_the_chosen_layer_comes_first() -> None:
    requests = replace(CHOICE, layer="fc4").ablations()
    assert {r.layer for r in requests[: len(requests) // 5]} == {"fc4"} and {r.operation for r in requests} == {
        "ablate"
    }
    assert len(set(requests)) == len(requests) == 2 * 5 * 10 * len(METHODS)
