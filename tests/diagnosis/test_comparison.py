"""Reference networks: planted levels are found, incomparable networks refused, and the shipped ones' accuracy is counted."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from headless_pages import ROOT
from planted_references import FAMILIES, LAYERS, SHAPE, curve, profile, write_records

from nmfdiag.diagnosis.comparability import auc_as_recorded
from nmfdiag.diagnosis.comparison import compare_network
from nmfdiag.diagnosis.reference_checks import check
from nmfdiag.diagnosis.references import references
from nmfdiag.diagnosis.verdict import CLEAN, MEMORISING, PARTLY, UNDECIDED, finding
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.layer_profile import LayerProfile
from nmfdiag.networks.architectures import NETWORK_KINDS
from nmfdiag.zoo.registry import SHIPPED, entries


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_records(tmp_path_factory.mktemp("records"))


def finding_at(records: Path, level: float, **options: object) -> str:
    place = compare_network(profile(level), folder=records, **options).place  # type: ignore[arg-type]
    assert place is not None
    return finding(place)


def test_references_are_read_with_their_means(records: Path) -> None:
    by_name = {r.network: r for r in references("convolutional", folder=records)}
    assert len(by_name) == 3 * 3 * 2 and {r.family for r in by_name.values()} == {f"{d} cnn" for d in FAMILIES}
    reference = by_name["digits-cnn-p0.4-s1"]
    assert reference.auc == {"linear": pytest.approx(0.904), "log": pytest.approx(0.904)}
    assert reference.error["linear"] == pytest.approx(0.001 / 3**0.5) and reference.auc_at(0.5) == pytest.approx(0.904)
    assert reference.depths == pytest.approx((0, 1 / 3, 2 / 3, 1)) and (reference.group, reference.kind) == (
        "partly random",
        "convolutional",
    )


@pytest.mark.parametrize(
    ("level", "expected"),
    [(0.95, CLEAN), (0.99, CLEAN), (0.80, MEMORISING), (0.6, MEMORISING), (0.89, PARTLY)],
    ids=["clean", "above all", "random", "below all", "between"],
)
def test_planted_levels_are_found(records: Path, level: float, expected: str) -> None:
    assert finding_at(records, level) == expected


def test_families_that_differ_more_than_levels_can_not_decide(tmp_path: Path) -> None:
    offsets = {"digits": 0.04, "fashion_mnist": 0.0, "cifar10": -0.15}
    write_records(tmp_path, families=offsets, level=lambda p: 0.95 - 0.02 * p)
    assert finding_at(tmp_path, 0.9) == UNDECIDED
    alone = check("convolutional", left_out="data set", folder=tmp_path)
    with_kin = check("convolutional", left_out="network", folder=tmp_path)
    assert alone.told < alone.ends == 12 and alone.told < with_kin.ends


def test_where_it_lies_is_counted(records: Path) -> None:
    comparison = compare_network(profile(0.8), folder=records)
    place = comparison.place
    assert place is not None and place.value == pytest.approx(0.8, abs=1e-3) and place.compatible == (1.0,)
    assert [(level.level, level.n, level.below) for level in place.levels] == [(0.0, 6, 0), (0.4, 6, 0), (1.0, 6, 2)]
    assert place.between_families == pytest.approx(0.01) and place.within_family == pytest.approx(0.004 / 2**0.5)
    assert comparison.group("clean")[0] == pytest.approx(0.94) and comparison.kind == "convolutional"
    first = comparison.layers[0]
    assert first.clean == (pytest.approx(0.925), pytest.approx(0.949)) and first.auc == pytest.approx(0.785, abs=5e-3)


def test_a_network_is_not_compared_with_itself(records: Path) -> None:
    comparison = compare_network(profile(0.9), folder=records, without=("digits-cnn-p0-s0",))
    names = {r.network for r in comparison.references}
    assert len(names) == 17 and "digits-cnn-p0-s0" not in names


def test_deeper_layers_than_were_measured_are_missed(records: Path) -> None:
    clean = profile(0.9)
    reason = compare_network(replace(clean, network_layers=(*LAYERS, "conv5", "conv6")), folder=records).reason
    assert "only 4 of 6 were measured" in reason
    one_dead = compare_network(replace(clean, network_layers=(*LAYERS, "conv5")), folder=records)
    assert not one_dead.reason and any("1 of the layers has no curve" in remark for remark in one_dead.remarks)
    assert one_dead.layers[-1].depth == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("changed", "kind", "part"),
    [
        ({"method": "signed"}, "", "this network with signed NMF"),
        ({"n_samples": 6}, "", "smallest batch here has 6"),
        ({"baseline_accuracy": 0.7}, "", "70% of its samples right"),
        ({"ranks": [1, 2, 4, 8, 12]}, "", "from 1 to 12 of 16"),
        ({}, "other", "no references of this kind"),
    ],
)
def test_what_can_not_be_compared_says_why(records: Path, changed: dict, kind: str, part: str) -> None:
    comparison = compare_network(profile(0.6, **changed), kind=kind, folder=records)
    assert part in comparison.reason and not comparison.places and not comparison.references


def test_mixtures_and_few_layers_are_not_compared(records: Path) -> None:
    clean = profile(0.9)
    mixed = replace(clean, measured=tuple(replace(m, class_idx=None) for m in clean.measured))
    assert "mixtures" in compare_network(mixed, folder=records).reason
    assert "2 ReLU layers" in compare_network(profile(0.9, layers=LAYERS[:2]), folder=records).reason
    assert (
        "no residual reference networks" in compare_network(clean, kind="residual", folder=records / "nothing").reason
    )


def test_what_is_different_is_said(records: Path) -> None:
    remarks = " ".join(
        compare_network(
            profile(0.8, n_classes=4, n_samples=50, baseline_accuracy=0.96, ranks=[1, 3, 5, 10, 16]), folder=records
        ).remarks
    )
    for part in ("this network on 50", "96.0% of its samples", "here 4 were measured", "ranks are others"):
        assert part in remarks
    mu = compare_network(profile(0.8, provenance={"solver": "mu"}), folder=records).remarks
    assert any("Factorised with mu" in remark for remark in mu)
    assert compare_network(profile(0.8), folder=records).remarks == ()


def test_fully_connected_networks_have_references_of_their_own(tmp_path: Path, records: Path) -> None:
    folder = write_records(tmp_path, arch="mlp", families={"digits": 0.0, "fashion_mnist": 0.01})
    write_records(folder)
    comparison = compare_network(profile(0.9, shape=SHAPE["fc"]), folder=folder)
    assert comparison.kind == "fully-connected" and {r.arch for r in comparison.references} == {"mlp"}
    assert any("come from 2 data sets" in remark for remark in comparison.remarks)
    lonely = check("fully-connected", folder=folder)
    assert lonely.ranged == 0 and lonely.width is None and lonely.told == lonely.ends == 8


def test_the_area_is_taken_at_the_records_ranks() -> None:
    full = curve(0, ranks=[1, 2, 3, 4, 6, 8, 12, 16], accuracy=[0, 0.5, 1, 0.5, 0, 0.75, 0, 1], **_lists(8))
    coarse = curve(0, accuracy=[0, 0.5, 0.5, 0.75, 1])
    for axis in ("linear", "log"):
        assert auc_as_recorded(full, axis) == pytest.approx(coarse.auc_over(axis)) != full.auc_over(axis)
    coarser = curve(0, ranks=[1, 3, 16], accuracy=[0, 0.5, 1], **_lists(3))
    assert auc_as_recorded(coarser) == coarser.auc  # nothing to choose from


def _lists(n: int) -> dict[str, list]:
    return {"relative_error": [0.1] * n, "absolute_error": [0.1] * n, "converged": [True] * n}


def test_a_record_of_a_network_that_this_project_did_not_train_is_refused(tmp_path: Path) -> None:
    write_records(tmp_path)
    source = tmp_path / "curves" / "digits-cnn-p0-s0.csv.gz"
    source.rename(source.with_name("my-own-network.csv.gz"))
    with pytest.raises(NmfdiagError, match="my-own-network"):
        references("convolutional", folder=tmp_path)


def test_the_shipped_references_are_the_shipped_networks() -> None:
    shipped = {e.name for e in entries().values() if e.folder.parent == SHIPPED}
    assert not any(entries()[name].called for name in shipped)
    for kind in NETWORK_KINDS:
        networks = references(kind)
        assert len(networks) > 20 and {r.network for r in networks} <= shipped
        assert {0.0, 1.0} <= {r.p for r in networks} and all(0 < r.auc["linear"] <= 1 for r in networks)


@pytest.mark.parametrize("kind", NETWORK_KINDS)
@pytest.mark.parametrize("axis", ["linear", "log"])
def test_checks_are_as_counted_by_hand(kind: str, axis: str) -> None:
    """Count by the nearest mean of families on the square-root scale, each reference without its data set."""
    ends = [r for r in references(kind) if r.p in (0, 1)]
    n_correct = 0
    for reference in ends:
        distance = {}
        for p in (0, 1):
            families: dict[str, list[float]] = {}
            for r in ends:
                if r.p == p and r.dataset != reference.dataset:
                    families.setdefault(r.family, []).append(math.sqrt(1 - r.auc[axis]))
            distance[p] = abs(math.sqrt(1 - reference.auc[axis]) - np.mean([np.mean(v) for v in families.values()]))
        n_correct += min(distance, key=distance.__getitem__) == reference.p
    result = check(kind, axis=axis)
    assert (result.told, result.ends) == (n_correct, len(ends)) and result.told / result.ends >= 0.8
    assert result.correlation < -0.5 and result.covered <= result.ranged <= len(references(kind))


def test_everything_leaves_as_json(records: Path) -> None:
    record = compare_network(profile(0.9), folder=records).to_dict()
    assert [place["axis"] for place in record["places"]] == ["linear", "log"] and len(record["references"]) == 18
    refused = compare_network(LayerProfile(("a",), profile(0.9, layers=["a"]).measured, {}), folder=records).to_dict()
    assert refused["reason"] and refused["places"] == refused["layers"] == []


def test_no_torch_for_a_page() -> None:
    code = "import sys, nmfdiag.diagnosis.comparison, nmfdiag.diagnosis.diagnose, nmfdiag.diagnosis.report; print('torch' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert process.stdout.strip() == "False"
