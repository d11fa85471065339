"""Claims of our own about suspects, on planted tables of the benchmark."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence import suspects_claims as claims
from nmfdiag.evidence.findings import HOLDS, IN_PART, NOT, UNMEASURED
from nmfdiag.evidence.suspects_records import RATES, REPAIRS, RESULTS, suspects_table

FOLDS = "cleanlab, self confidence, 5 folds"


def network(kind: str, auroc: dict[str, float], **changes: Any) -> list[dict[str, Any]]:
    """Return the rows of one network: 100 CPU s for the folds, 5 for each other score."""
    setting = {
        "dataset": "cifar10",
        "kind": kind,
        "share": 0.2,
        "seed": 0,
        "augmented": False,
        "fitted": 1.0,
        **changes,
    }
    return [
        {**setting, "score": score, "auroc": value, "cpu_seconds": 100.0 if score.startswith("cleanlab") else 5.0}
        for score, value in auroc.items()
    ]


def results(folder: Path, *networks: list[dict[str, Any]]) -> pd.DataFrame:
    pd.DataFrame([row for rows in networks for row in rows]).to_csv(folder / RESULTS, index=False)
    return suspects_table(RESULTS, folder)


def with_rates(folder: Path, *rates: tuple[str, float, float]) -> pd.DataFrame:
    """Return a table of networks of these kinds of errors, shares of wrong labels and rates, with intervals of 0.15 to both sides."""
    rows = [
        ("cifar10", k, wrong, seed, False, wrong, rate, rate - 0.15, rate + 0.15)
        for seed, (k, wrong, rate) in enumerate(rates)
    ]
    columns = ["dataset", "kind", "share", "seed", "augmented", "wrong", "estimate", "low", "high"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / RATES, index=False)
    return suspects_table(RATES, folder)


def test_suspects_reach_aum_within_the_declared_margin(tmp_path: Path) -> None:
    for_reference = {"suspects with history": 0.9, "pixels' neighbours": 0.6}
    table = results(
        tmp_path,
        network("look_alike", {"suspects": 0.80, "AUM": 0.804, **for_reference}),
        network("uniform", {"suspects": 0.90, "AUM": 0.92, **for_reference}),
        network("uniform", {"suspects": 0.95, "AUM": 0.91, **for_reference}, dataset="digits"),
        network("pair_flip", {"suspects": 0.9}),  # without AUM: not compared
    )
    finding = claims.against_history(table)
    assert [unit.shows for unit in finding.units] == [True, False, True] and finding.verdict == IN_PART
    assert finding.units[0].name == "cifar10, 20 % look-alike errors, seed 0"
    assert finding.measured == (
        "Mean AUROC of suspects and of AUM: cifar10, look-alike errors: 0.800 and 0.804; "
        "cifar10, uniform errors: 0.900 and 0.920; digits: 0.950 and 0.910"
    )


@pytest.mark.parametrize(
    ("better", "seconds", "verdict"), [(0.804, 10.0, HOLDS), (0.81, 10.0, NOT), (0.7, 10.1, NOT)], ids=str
)
def test_cleanlab_is_compared_by_its_better_score_and_by_cost(
    tmp_path: Path, better: float, seconds: float, verdict: str
) -> None:
    rows = network("look_alike", {"suspects": 0.8, FOLDS: 0.5, "cleanlab, normalized margin, 5 folds": better})
    rows[0]["cpu_seconds"] = seconds
    finding = claims.against_folds(results(tmp_path, rows, network("uniform", {"suspects": 0.8})))
    assert len(finding.units) == 1 and finding.verdict == verdict
    assert f"0.800 and {better:.3f} (10 and 100 CPU s)" in finding.measured


def test_augmentation_is_compared_with_the_same_network_without(tmp_path: Path) -> None:
    table = results(
        tmp_path,
        network("uniform", {"suspects": 0.80, "AUM": 0.9}),
        network("uniform", {"suspects": 0.785, "AUM": 0.9}, augmented=True),
        network("look_alike", {"suspects": 0.80, "AUM": 0.9}),
        network("look_alike", {"suspects": 0.77, "AUM": 0.9}, augmented=True),
        network("look_alike", {"suspects": 0.99, "AUM": 0.9}, augmented=True, seed=1),  # alone
    )
    assert [unit.shows for unit in claims.with_augmentation(table).units] == [True, False]


def test_the_loss_is_judged_on_networks_that_fit(tmp_path: Path) -> None:
    table = results(
        tmp_path,
        network("uniform", {"suspects": 0.9, "final loss": 0.7}),
        network("look_alike", {"suspects": 0.9, "final loss": 0.76}),
        network("look_alike", {"suspects": 0.6, "final loss": 0.7}, share=0.4),
        network("pair_flip", {"suspects": 0.9, "final loss": 0.2}, fitted=0.9),
    )
    assert [unit.shows for unit in claims.final_loss(table).units] == [True, False, False]


def test_nmf_error_is_weaker_on_look_alikes_than_on_random_errors_and_than_the_probe(tmp_path: Path) -> None:
    def pair(share: float, look_alike: float, uniform: float, probe: float) -> list[dict[str, Any]]:
        return [
            *network("look_alike", {"NMF ratio": look_alike, "probe": probe}, share=share),
            *network("uniform", {"NMF ratio": uniform, "probe": 0.99}, share=share),
        ]

    finding = claims.nmf_error(
        results(tmp_path, pair(0.1, 0.7, 0.8, 0.8), pair(0.2, 0.7, 0.8, 0.71), pair(0.4, 0.7, 0.71, 0.8))
    )
    assert [unit.shows for unit in finding.units] == [True, False, False]
    assert finding.measured.endswith("cifar10: 0.700 and 0.770 and 0.770")


def test_rates_of_random_and_of_look_alike_errors(tmp_path: Path) -> None:
    table = with_rates(
        tmp_path,
        *(("uniform", 0.2, 0.25), ("pair_flip", 0.2, 0.13), ("clean", 0.0, 0.05), ("clean", 0.0, 0.051)),
        *(("look_alike", 0.2, 0.1), ("look_alike", 0.4, 0.1), ("look_alike", 0.1, 0.06)),
    )
    finding = claims.random_rate(table)
    assert [unit.shows for unit in finding.units] == [True, False, True, False]
    assert finding.measured == (
        "Mean absolute error of the rate: uniform 0.050 (1 network), pair-flip 0.070 (1 network); "
        "above 0.05 on 1 of 2 networks with right labels"
    )
    finding = claims.look_alike_rate(table)
    assert [unit.shows for unit in finding.units] == [True, True, False] and finding.verdict == IN_PART
    assert finding.measured.startswith("Rate over the true share of wrong labels: 0.45 ")
    assert finding.measured.endswith("its 95 % interval holds the truth in 2 of 3")  # 0.1 ± 0.15 does not hold 0.4


def test_both_repairs_must_beat_random_removal(tmp_path: Path) -> None:
    columns = [
        "dataset",
        "kind",
        "share",
        "seed",
        "augmented",
        "as given",
        "suspects removed",
        "suspects relabelled",
        "as many removed at random",
    ]
    rows = [
        ("digits", "uniform", 0.4, seed, False, 0.5, *values)
        for seed, values in enumerate([(0.6, 0.7, 0.5), (0.6, 0.51, 0.5)])
    ]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / REPAIRS, index=False)
    finding = claims.repair(suspects_table(REPAIRS, tmp_path))
    assert [unit.shows for unit in finding.units] == [True, False]
    assert finding.measured.endswith("removed 0.600, suspects relabelled 0.605, as many removed at random 0.500")


def test_a_record_that_is_damaged_or_lists_a_network_twice_is_named(tmp_path: Path) -> None:
    assert claims.repair(suspects_table(REPAIRS, tmp_path)).verdict == UNMEASURED
    (tmp_path / RESULTS).write_text("dataset,kind\ncifar10,uniform\n")
    with pytest.raises(NmfdiagError, match=r"suspects\.csv can't be read"):
        suspects_table(RESULTS, tmp_path)
    with pytest.raises(NmfdiagError, match=r"can't be read: .*odd"):
        with_rates(tmp_path, ("odd", 0.2, 0.2))
    rows = network("uniform", {"suspects": 0.9})
    with pytest.raises(NmfdiagError, match="lists a network twice: cifar10, 20 % uniform errors, seed 0"):
        results(tmp_path, rows, rows)


def test_the_shipped_tables_are_of_the_same_networks() -> None:
    scores, rates, repairs = (suspects_table(name) for name in (RESULTS, RATES, REPAIRS))
    noisy = set(rates.loc[rates["kind"] != "clean", "title"])
    assert set(scores["title"]) == noisy and set(repairs["title"]) <= noisy
    assert scores["auroc"].between(0, 1).all() and (rates["share"] - rates["wrong"]).abs().max() < 1e-4
