"""Sweeps: what is kept is not computed again, errors are answers too, and Dask's workers give the same curves."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from nmfdiag.cli import main
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import sweep as sweep_module
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.requests import CurveRequest, profile_requests
from nmfdiag.jobs.sweep import sweep
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.views.curve_tables import auc_table
from nmfdiag.zoo.registry import lookup


@pytest.fixture
def requests() -> list[CurveRequest]:
    return profile_requests(lookup("digits-mlp-p1-s0"), layers=["fc1"], classes=[0, 1], per_class=10)


def test_a_stopped_sweep_goes_on(requests: list[CurveRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computations = []
    real = sweep_module.compute
    monkeypatch.setattr(
        sweep_module, "compute", lambda request, **options: computations.append(request) or real(request, **options)
    )
    answers = sweep(requests, CurveCache(tmp_path))
    first = next(answers)
    answers.close()
    assert len(computations) == 1
    resumed = dict(sweep(requests, CurveCache(tmp_path)))
    assert sorted(request.key for request in computations) == sorted(request.key for request in requests)
    assert set(resumed) == set(requests) and resumed[first[0]] == first[1]


def test_an_error_is_an_answer(requests: list[CurveRequest], tmp_path: Path) -> None:
    nowhere = CurveRequest("digits-mlp-p1-s0", "fc1", 77, per_class=10)
    cache = CurveCache(tmp_path)
    answers = dict(sweep([nowhere, *requests], cache))
    assert isinstance(answers[nowhere], NmfdiagError) and cache.get(nowhere.key) is None
    assert all(isinstance(answers[request], CompressionCurve) for request in requests)


def test_dask_gives_the_same_curves(requests: list[CurveRequest], tmp_path: Path) -> None:
    distributed = pytest.importorskip("dask.distributed", reason="dask[distributed] is not installed")
    nowhere = CurveRequest("digits-mlp-p1-s0", "fc1", 77, per_class=10)
    local = dict(sweep(requests, CurveCache(tmp_path / "here")))
    with distributed.LocalCluster(
        1, processes=False, threads_per_worker=1, dashboard_address=None, protocol="tcp"
    ) as cluster:
        on_cluster = dict(
            sweep([*requests, nowhere], CurveCache(tmp_path / "there"), scheduler=cluster.scheduler_address)
        )
    assert isinstance(on_cluster.pop(nowhere), NmfdiagError)
    assert {request: curve.accuracy for request, curve in on_cluster.items()} == {
        request: curve.accuracy for request, curve in local.items()
    }


def test_unknown_schedulers(requests: list[CurveRequest], tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match="Unknown scheduler"):
        list(sweep(requests, CurveCache(tmp_path), scheduler="slurm"))


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "aucs.csv"
    call = ["sweep", "digits-mlp-p1-s", "--layers", "fc1", "--batch", "multi", "--per-class", "20", "--csv", str(table)]
    assert main([*call, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    rows = pd.read_csv(table)
    assert record["curves"] == len(rows) == 2 and set(rows["class"]) == {"multi-class"}
    assert record["auc"][0]["AuC"] == pytest.approx(rows["auc"].mean())
    assert main(["sweep", "no-such-network"]) == 2
    assert "begins with" in capsys.readouterr().err


def test_networks_whose_p_is_unknown_have_their_values() -> None:
    shipped, zoo = lookup("digits-mlp-p0-s0"), {}
    for name in ("own-a", "own-b"):
        zoo[name] = replace(shipped, called=name)
    requests = {name: CurveRequest(shipped.name, "fc1", c, per_class=10) for c, name in enumerate(zoo)}
    curves = {replace(request, entry=name): compute(request) for name, request in requests.items()}
    table = auc_table(curves, zoo)
    assert list(table["network"]) == ["own-a", "own-b"] and table["p"].isna().all()  # no repetitions of each other
    assert list(table["AuC"]) == [curve.auc for curve in curves.values()]
    first = dict(list(curves.items())[:1])
    assert len(auc_table(first, zoo)) == 1 and "network" not in auc_table(first, zoo)


def test_a_scheduler_that_is_lost_leaves_what_was_finished(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(
        "NMFDIAG_CACHE", str(tmp_path_factory.mktemp("cache"))
    )  # nothing of it is known from other tests
    table = tmp_path / "aucs.csv"
    table.write_text("an old one")
    call = [
        "sweep",
        "digits-mlp-p1-s0",
        "--layers",
        "fc1",
        "--per-class",
        "10",
        "--grid",
        "coarse",
        "--csv",
        str(table),
    ]

    def lost(requests: dict[str, CurveRequest], *_: object) -> Iterator[tuple[str, CompressionCurve]]:
        for key in list(requests)[:2]:
            yield key, compute(requests[key])
        raise NmfdiagError("The Dask scheduler was lost.")

    monkeypatch.setattr(sweep_module, "on_dask", lost)
    assert main([*call, "--scheduler", "tcp://h:1"]) == 2
    assert f"was lost. 2 of 10 curves are finished, and in {table}." in capsys.readouterr().err
    assert len(pd.read_csv(table)) == 2
    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_csv", lambda *_, **__: (_ for _ in ()).throw(OSError("the disk is full")))
        assert main([*call, "--scheduler", "tcp://h:1"]) == 2
    assert len(pd.read_csv(table)) == 2 and [path.name for path in tmp_path.iterdir()] == ["aucs.csv"]
