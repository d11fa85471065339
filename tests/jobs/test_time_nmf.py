"""Timings: what a plot asks for, what is measured, and that a timing is cached, shared, cancelled and explained like a curve."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from timeouts import wait_until

from nmfdiag.errors import Cancelled, NmfdiagError
from nmfdiag.factorize import default_ranks, nmf
from nmfdiag.jobs import time_nmf
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.queue import Jobs
from nmfdiag.jobs.requests import KINDS, WHOLE_GRID, CurveRequest, RuntimeRequest, RuntimeResult
from nmfdiag.jobs.time_nmf import measure, runtime_requests
from nmfdiag.zoo.registry import ZooEntry, lookup

ENTRY = lookup("digits-cnn-p0-s0")
LAYER = "conv3_1"
REQUEST = RuntimeRequest(ENTRY.name, LAYER, 0, "rank", 4, "hals", "cpu", 1, "a machine", per_class=10)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    time_nmf._activations.cache_clear()
    yield
    time_nmf._activations.cache_clear()


def test_a_plot_over_the_rank_times_each_rank_alone_and_the_grid_in_one_call() -> None:
    requests = runtime_requests(ENTRY, LAYER, "rank", class_idx=0, devices=["cpu"])
    ranks = default_ranks(ENTRY.layers[LAYER])[:-1]
    assert {(r.rank, r.solver) for r in requests} == {(k, s) for k in ranks for s in ("hals", "mu")} | {
        (WHOLE_GRID, "hals")
    }
    assert not any(r.rank == WHOLE_GRID for r in runtime_requests(ENTRY, LAYER, "rank", class_idx=0, solvers=["mu"]))


def test_plots_share_the_whole_matrix() -> None:
    plots = {kind: {r.key for r in runtime_requests(ENTRY, LAYER, kind, class_idx=0, ranks=[8])} for kind in KINDS}
    assert len(plots["rows"] & plots["channels"] & plots["rank"]) == 2  # HALS and MU
    assert not plots["convergence"] & plots["rank"]


@pytest.mark.parametrize(
    ("kind", "layer", "message"), [("width", LAYER, "kind of timing"), ("rank", "conv9", "Unknown layer")]
)
def test_what_can_not_be_timed_is_said(kind: str, layer: str, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        runtime_requests(ENTRY, layer, kind, class_idx=0)


def test_the_key_is_what_changes_a_timing() -> None:
    variants = [
        replace(REQUEST, device="cuda"), replace(REQUEST, threads=2), replace(REQUEST, machine="another"),
        replace(REQUEST, rank=8), replace(REQUEST, kind="rows", share=0.5), replace(REQUEST, solver="mu"),
        replace(REQUEST, kind="convergence"),
    ]  # fmt: skip
    assert len({r.key for r in [REQUEST, *variants]}) == 8
    assert REQUEST.key == replace(REQUEST).key != CurveRequest(ENTRY.name, LAYER, 0).key


def test_the_key_knows_the_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    before = REQUEST.key
    monkeypatch.setattr("nmfdiag.jobs.requests.version", lambda name: "99")
    assert REQUEST.key != before


@pytest.mark.parametrize("solver", ["hals", "mu"])
def test_a_point_is_the_factorisation_that_nmf_does(solver: str) -> None:
    request = replace(REQUEST, solver=solver)
    timed = measure(request)
    A = time_nmf._part_of(
        time_nmf._activations(lookup(request.entry).digest, replace(request, kind="", rank=0)), request
    )
    solved = nmf(A, [4], solver=solver, max_iter=request.max_iter)
    assert timed.relative_error == pytest.approx(solved.relative_error) and timed.n_iter == solved.n_iter
    assert (timed.rows, timed.channels, timed.ranks) == (*A.shape, [4]) and timed.converged == [True]
    assert 3 <= len(timed.wall_seconds) == len(timed.cpu_seconds) <= 15 and min(timed.wall_seconds) > 0
    assert min(timed.wall_seconds) <= timed.seconds <= max(timed.wall_seconds)
    assert timed.provenance["device"] == "cpu" and timed.provenance["threads"] == 1 and not timed.trace


def test_the_whole_grid_is_one_call() -> None:
    timed = measure(replace(REQUEST, rank=WHOLE_GRID))
    assert timed.ranks == default_ranks(min(timed.rows, timed.channels))[:-1] == sorted(timed.ranks)
    assert len(timed.relative_error) == len(timed.ranks) > 5


@pytest.mark.parametrize("solver", ["hals", "mu"])
def test_convergence_is_the_error_of_every_iteration(solver: str) -> None:
    timed = measure(replace(REQUEST, kind="convergence", solver=solver))
    seconds, low, high, error = zip(*timed.trace, strict=True)
    assert list(seconds) == sorted(seconds) and seconds[-1] <= max(timed.wall_seconds)
    assert all(a <= t <= b for a, t, b in zip(low, seconds, high, strict=True))
    assert error[-1] == pytest.approx(timed.relative_error[0], rel=1e-3)
    assert list(error) == sorted(error, reverse=True) and error[0] > error[-1]


def test_of_several_starts_the_best_counts_until_each_moment() -> None:
    trace = [(0.1, 0.9), (0.1, 0.6), (0.2, 0.5), (0.2, 0.7), (0.3, 0.55)]
    assert time_nmf._best_so_far(trace) == [(0.1, 0.6), (0.2, 0.5), (0.3, 0.5)]
    assert time_nmf._over_repeats([[(1, 0.5)], [(3, 0.5), (4, 0.4)], [(2, 0.5)]]) == [(2, 1, 3, 0.5)]


def test_parts_lie_inside_each_other_and_are_never_dead() -> None:
    A = torch.zeros(64, 16)
    A[5, 3], A[60, 15] = 2.0, 1.0
    parts = [time_nmf._part_of(A, replace(REQUEST, kind="rows", share=s)) for s in (1 / 32, 0.25, 0.5, 1.0)]
    assert [len(part) for part in parts] == [2, 16, 32, 64]
    assert all(float(part.max()) == 2.0 for part in parts)
    narrow = time_nmf._part_of(A, replace(REQUEST, kind="channels", share=0.125))
    assert narrow.shape == (64, 2) and float(narrow.max()) == 2.0


def test_a_matrix_too_small_for_the_rank_has_no_timing() -> None:
    timed = measure(replace(REQUEST, rank=1000))
    assert timed.ranks == timed.wall_seconds == timed.trace == []


def test_a_dead_layer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ZooEntry.load_model

    def dead(entry: ZooEntry) -> torch.nn.Module:
        model = real(entry)
        norm = model.get_submodule(LAYER).bn
        with torch.no_grad():
            norm.weight.zero_()
            norm.bias.fill_(-1)
        return model

    monkeypatch.setattr(ZooEntry, "load_model", dead)
    with pytest.raises(NmfdiagError, match=f"Layer '{LAYER}': .* dead on this batch"):
        measure(REQUEST)


def test_cancelling_passes_through_and_gives_the_threads_back() -> None:
    torch.set_num_threads(1)

    def stop(share: float, text: str) -> None:
        assert text.startswith("MU, rank 4")
        if "repeat 2" in text:
            raise Cancelled

    with pytest.raises(Cancelled):
        measure(replace(REQUEST, solver="mu", threads=2), on_progress=stop)
    assert torch.get_num_threads() == 1


def test_timings_and_curves_share_a_queue_and_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed_requests = []
    real = time_nmf.measure

    def counted(request: RuntimeRequest, **options: object) -> RuntimeResult:
        timed_requests.append(request)
        return real(request, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(time_nmf, "measure", counted)
    queue = Jobs(CurveCache(tmp_path))
    timings = [replace(REQUEST, rank=k) for k in (1, 2)]
    curve = CurveRequest("digits-mlp-p0-s0", "fc5", 0, per_class=10)
    queue.ask([*timings, curve], "one")
    queue.ask(timings, "two")
    wait_until(lambda: not queue.busy([*timings, curve]))
    queue.ask(timings, "three")
    assert not queue.busy(timings) and timed_requests.count(timings[0]) == timed_requests.count(timings[1]) == 1
    assert {r: len(t.ranks) for r, t in queue.results(timings).items()} == dict.fromkeys(timings, 1)
    assert queue.results([curve])[curve].layer == "fc5"
    assert CurveCache(tmp_path).get(timings[0].key) == queue.results(timings)[timings[0]]
    queue.cache.drop([timings[0].key])
    assert list(queue.results(timings)) == timings[1:]


def test_a_timing_can_be_cancelled(tmp_path: Path) -> None:
    queue = Jobs(CurveCache(tmp_path))
    request = replace(REQUEST, layer="conv1_1", solver="mu", rank=24, tol=1e-12, max_iter=10**6)
    queue.ask([request], "one")
    wait_until(lambda: "repeat 1" in queue.status([request]).running)
    queue.cancel("one")
    wait_until(lambda: not queue.busy([request]))
    assert queue.results([request]) == {} and queue.status([request]).failed == {}


def test_asking_for_a_timing_takes_no_torch_along() -> None:
    code = "import sys, nmfdiag.jobs.queue, nmfdiag.jobs.time_nmf; print('torch' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "False"
