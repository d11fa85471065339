"""The page *Batches* on planted curves of every family of the zoo: the answer holds, and does not."""

from dataclasses import replace

import pytest

from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.views.batches import batches_answer, batches_figure, batches_table, chance_text, mean_auc, subject
from nmfdiag.views.selection import BOTH, MULTI_DRAWS, Choice, families
from nmfdiag.zoo.registry import ZooEntry, entries, lookup

CHOICE = Choice(
    tuple(lookup(f"fashion_mnist-cnn-p{p}-s1") for p in ("0", "0.6", "1")), "conv2_1", batch=BOTH, grid="coarse"
)
CHOICES = families(
    CHOICE, {name: e for name, e in entries().items() if e.recipe.dataset in ("digits", "fashion_mnist")}
)


def curve(level: float, layer: str, mean: float) -> CompressionCurve:
    return CompressionCurve(
        layer, "nmf", [1, 4], [level] * 2, [0.5, 0.0], [5, 0], [True] * 2, 1.0, 0.1, mean, 4, (9, 4), 9
    )  # fmt: skip


def planted(single: float, multi: float) -> dict[CurveRequest, CompressionCurve]:
    """Return curves of classes and draws around each level; the mean row is right at odd layers only."""
    curves = {}
    for choice in CHOICES:
        for r in choice.requests():
            mixed = r.class_idx == MULTI_CLASS
            level = (multi if mixed else single) + 0.01 * (r.seed + r.class_idx % 2)
            odd = choice.layers.index(r.layer) % 2 == 1
            curves[r] = curve(level, r.layer, 0.1 if mixed or not odd else 1.0)
    return curves


def test_families_of_the_seed_come_with_the_current_one_first() -> None:
    names = {f"{e.recipe.dataset} {e.recipe.arch}" for e in entries().values() if e.recipe.seed == 1}
    choices = families(CHOICE, entries())
    assert choices[0] == CHOICE and {choice.family for choice in choices} == names and len(choices) == len(names)
    assert len(CHOICES) == 4
    for choice in CHOICES:
        assert [n.recipe.label_noise for n in choice.networks] == [0, 0.6, 1] and {
            n.recipe.seed for n in choice.networks
        } == {1}
        requests = choice.requests()
        assert {r.seed for r in requests if r.class_idx == MULTI_CLASS} == set(range(MULTI_DRAWS))
        assert {r.seed for r in requests if r.class_idx != MULTI_CLASS} == {0}
        assert len(set(requests)) == len(requests) == 3 * len(choice.layers) * (10 + MULTI_DRAWS)


def test_a_family_without_the_chosen_p_shows_its_nearest() -> None:
    zoo: dict[str, ZooEntry] = {e.name: e for e in CHOICE.networks}
    for p in (0.0, 0.4, 1.0):
        entry = lookup(f"digits-mlp-p{p:g}-s1")
        zoo[entry.name] = replace(entry, recipe=replace(entry.recipe, dataset="spoken"))
    family = families(CHOICE, zoo)[1]
    assert family.family == "spoken mlp" and [n.recipe.label_noise for n in family.networks] == [0, 0.4, 1]
    assert families(replace(CHOICE, networks=CHOICE.networks[:1]), zoo)[1].networks == (zoo["digits-mlp-p0-s1"],)


def test_one_column_per_family_single_above_multi() -> None:
    results = planted(0.9, 0.5)
    figure = batches_figure(CHOICES, results, current=CHOICE.family)
    titles = [a.text for a in figure.layout.annotations]
    assert titles == [choice.family.replace(" ", "<br>") for choice in CHOICES]
    lines = [t for t in figure.data if t.mode == "lines+markers"]
    assert len(lines) == len(CHOICES) * 2 * 3
    above, below = lines[0], lines[3]
    assert list(above.x) == CHOICE.layers and above.y[0] == pytest.approx(0.905) and below.y[0] == pytest.approx(0.52)
    assert above.yaxis != below.yaxis and above.line.color == below.line.color
    assert {tuple(axis.range) for axis in figure.select_yaxes()} == {(-0.03, 1.05)}
    opens = (above.customdata[0][0], lines[6].customdata[0][0])
    assert opens == ("conv1_1", "")  # only the current family opens curves
    assert list(above.customdata[1][3:]) == [0.1, 1.0]
    legend = [t.name for t in figure.data if t.name and t.showlegend]
    assert legend == ["p = 0", "p = 0.6", "p = 1", "k = 0: mean row", "k = 0: zeros"]


def test_missing_curves_leave_gaps() -> None:
    results = {
        r: c for r, c in planted(0.9, 0.5).items() if r.layer not in ("conv1_2", "fc2") and r.class_idx in (0, 1)
    }
    figure = batches_figure(CHOICES, results, current=CHOICE.family)
    assert len([t for t in figure.data if t.mode == "lines+markers"]) == len(CHOICES) * 3
    assert "one is still missing" in batches_answer(CHOICES, results) and chance_text(CHOICES, results) == ""
    table = batches_table(CHOICES, results)
    assert table["multi-class AuC"].isna().all() and "conv1_2" not in set(table["layer"])


def test_answer_where_the_claim_holds() -> None:
    results = planted(0.9, 0.5)
    answer = batches_answer(CHOICES, results)
    n = len(CHOICES) * 3
    assert answer == f"Layers are more linear on one class than on a mixture in {n} of {n} networks."
    assert mean_auc(CHOICE, results, multi=True)[0.6].n == MULTI_DRAWS
    chance = chance_text(CHOICES, results)
    assert "scores 0.10 on single-class batches (1 on one class, 0 on the others) and 0.10 on mixtures" in chance
    assert "scores under 0.5: AuC differs by 0.39 ± 0.00" in chance and "the other" in chance


def test_answer_where_it_does_not() -> None:
    answer = batches_answer(CHOICES, planted(0.5, 0.9))
    assert f"in none of {len(CHOICES) * 3} networks" in answer
    assert "less linear in fashion_mnist cnn at p = 0, " in answer
    answer = batches_answer(CHOICES, planted(0.5, 0.5))
    assert answer.endswith(f"in none of {len(CHOICES) * 3} networks.")


def test_subject_and_file_name() -> None:
    assert subject(CHOICES[:1]).startswith(
        "fashion_mnist cnn · p = 0, 0.6, 1 · seed 1 · single-class batches and 3 multi"
    )
    together = replace(CHOICE, networks=tuple(n for choice in CHOICES for n in choice.networks))
    assert together.file_stem.startswith("fashion_mnist_cnn_") and together.file_stem.endswith("_p0-0.6-1_s1")


def test_a_network_whose_p_nobody_knows_is_given_none() -> None:
    network = CHOICES[0].networks[0]
    own = replace(CHOICES[0], networks=(replace(network, called="mine"),))
    name = own.networks[0].name
    curves = {replace(r, entry=name): c for r, c in planted(0.5, 0.9).items() if r.entry == network.name}
    assert subject([own]).startswith("fashion_mnist cnn (p unknown) · single-class batches")
    assert subject([own, *CHOICES[1:]]).count(" · p = 0, 0.6, 1 · ") == 1
    table = batches_table([own], curves)
    assert len(table) == len(own.layers) and table["p"].isna().all()
    assert batches_answer([own], curves).endswith("and less linear in fashion_mnist cnn.")
