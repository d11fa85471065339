"""Single- against multi-class batches: every family of the zoo, planted curves, and words both ways."""

from dataclasses import replace

import pytest

from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.views.batches.figures import batches_figure, batches_table
from nmfdiag.views.batches.sentences import averaged, batches_answer, chance_words, subject
from nmfdiag.views.selection import BOTH, MULTI_DRAWS, Choice, families
from nmfdiag.zoo.registry import ZooEntry, entries, lookup

ASKED = Choice(
    tuple(lookup(f"fashion_mnist-cnn-p{p}-s1") for p in ("0", "0.6", "1")), "conv2_1", batch=BOTH, grid="coarse"
)
CHOICES = families(ASKED, {name: e for name, e in entries().items() if e.recipe.dataset in ("digits", "fashion_mnist")})


def curve(level: float, layer: str, mean: float) -> CompressionCurve:
    return CompressionCurve(
        layer, "nmf", [1, 4], [level] * 2, [0.5, 0.0], [5, 0], [True] * 2, 1.0, 0.1, mean, 4, (9, 4), 9
    )  # fmt: skip


def planted(single: float, multi: float) -> dict[CurveRequest, CompressionCurve]:
    """Classes and draws around each level; the mean row is right only where layers are odd."""
    found = {}
    for one in CHOICES:
        for r in one.requests():
            mixed = r.class_idx == MULTI_CLASS
            level = (multi if mixed else single) + 0.01 * (r.seed + r.class_idx % 2)
            odd = one.layers.index(r.layer) % 2 == 1
            found[r] = curve(level, r.layer, 0.1 if mixed or not odd else 1.0)
    return found


def test_every_family_of_the_seed_is_there_the_current_one_first() -> None:
    names = {f"{e.recipe.dataset} {e.recipe.arch}" for e in entries().values() if e.recipe.seed == 1}
    found = families(ASKED, entries())
    assert found[0] == ASKED and {one.family for one in found} == names and len(found) == len(names)
    assert len(CHOICES) == 4
    for one in CHOICES:
        assert [n.recipe.label_noise for n in one.networks] == [0, 0.6, 1] and {
            n.recipe.seed for n in one.networks
        } == {1}
        requests = one.requests()
        assert {r.seed for r in requests if r.class_idx == MULTI_CLASS} == set(range(MULTI_DRAWS))
        assert {r.seed for r in requests if r.class_idx != MULTI_CLASS} == {0}
        assert len(set(requests)) == len(requests) == 3 * len(one.layers) * (10 + MULTI_DRAWS)


def test_a_family_without_the_chosen_p_shows_its_nearest() -> None:
    zoo: dict[str, ZooEntry] = {e.name: e for e in ASKED.networks}
    for p in (0.0, 0.4, 1.0):
        entry = lookup(f"digits-mlp-p{p:g}-s1")
        zoo[entry.name] = replace(entry, recipe=replace(entry.recipe, dataset="spoken"))
    other = families(ASKED, zoo)[1]
    assert other.family == "spoken mlp" and [n.recipe.label_noise for n in other.networks] == [0, 0.4, 1]
    assert families(replace(ASKED, networks=ASKED.networks[:1]), zoo)[1].networks == (zoo["digits-mlp-p0-s1"],)


def test_one_column_a_family_single_above_multi() -> None:
    results = planted(0.9, 0.5)
    figure = batches_figure(CHOICES, results, current=ASKED.family)
    titles = [a.text for a in figure.layout.annotations]
    assert titles == [one.family.replace(" ", "<br>") for one in CHOICES]
    lines = [t for t in figure.data if t.mode == "lines+markers"]
    assert len(lines) == len(CHOICES) * 2 * 3
    above, below = lines[0], lines[3]
    assert list(above.x) == ASKED.layers and above.y[0] == pytest.approx(0.905) and below.y[0] == pytest.approx(0.52)
    assert above.yaxis != below.yaxis and above.line.color == below.line.color
    assert {tuple(axis.range) for axis in figure.select_yaxes()} == {(-0.03, 1.05)}
    assert (
        above.customdata[0][0] == "conv1_1" and lines[6].customdata[0][0] == ""
    )  # only the current family opens curves
    assert above.customdata[1][3:] == (0.1, 1.0) or list(above.customdata[1][3:]) == [0.1, 1.0]
    legend = [t.name for t in figure.data if t.name and t.showlegend]
    assert legend == ["p = 0", "p = 0.6", "p = 1", "k = 0: every row the mean row", "k = 0: all channels zero"]


def test_what_is_missing_leaves_its_place_empty() -> None:
    results = {
        r: c for r, c in planted(0.9, 0.5).items() if r.layer not in ("conv1_2", "fc2") and r.class_idx in (0, 1)
    }
    figure = batches_figure(CHOICES, results, current=ASKED.family)
    assert len([t for t in figure.data if t.mode == "lines+markers"]) == len(CHOICES) * 3
    assert "one is still missing" in batches_answer(CHOICES, results) and chance_words(CHOICES, results) == ""
    table = batches_table(CHOICES, results)
    assert table["multi-class AuC"].isna().all() and "conv1_2" not in set(table["layer"])


def test_words_where_the_claim_holds() -> None:
    results = planted(0.9, 0.5)
    words = batches_answer(CHOICES, results)
    n = len(CHOICES) * 3
    assert (
        f"more linear on one class than on a mixture in {n} of {n} networks: AuC averaged over layers 0.91 ± 0.00"
        in words
    )
    assert "the other way round" not in words
    assert averaged(ASKED, results, multi=True)[0.6].n == MULTI_DRAWS
    chance = chance_words(CHOICES, results)
    assert "scores 0.10 on single-class batches (1 on one class, 0 on the others) and 0.10 on mixtures" in chance
    assert "scores under 0.5: AuC differs by 0.39 ± 0.00" in chance and "the other" in chance


def test_words_where_it_does_not() -> None:
    words = batches_answer(CHOICES, planted(0.5, 0.9))
    assert (
        f"in none of {len(CHOICES) * 3} networks" in words
        and "the other way round in fashion_mnist cnn at p = 0" in words
    )
    words = batches_answer(CHOICES, planted(0.5, 0.5))
    assert "in none of" in words and "the other way round" not in words


def test_names_say_what_is_shown() -> None:
    assert subject(CHOICES[:1]).startswith(
        "fashion_mnist cnn · p = 0, 0.6, 1 · seed 1 · single-class batches and 3 multi"
    )
    every = replace(ASKED, networks=tuple(n for one in CHOICES for n in one.networks))
    assert every.file_stem.startswith("fashion_mnist_cnn_") and every.file_stem.endswith("_p0-0.6-1_s1")
