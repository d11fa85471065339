"""The benchmark: a quick run from end to end, the gate on planted cases, fits of planted exponents, verdicts."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nmfdiag.bench import RESULT_COLUMNS, Row, last_results
from nmfdiag.bench import vgg19 as runtime_module
from nmfdiag.bench.bars import BAR_COLUMNS, BARS, Bar, BarValue, judge_bars
from nmfdiag.bench.bench_network import BenchRecipe, bench_network
from nmfdiag.bench.cases import Case, Options, cases_of, grid, load_subject
from nmfdiag.bench.naive_curves import Points, auc_difference, naive_curve
from nmfdiag.bench.peer_comparison import compare_solvers
from nmfdiag.bench.peers import SOLVERS
from nmfdiag.bench.quality_gate import direct_error, judge
from nmfdiag.bench.scaling import exponents
from nmfdiag.bench.table import results_folder, write_csv
from nmfdiag.cli import MISTAKE, OK, main
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.timer import interleaved, threads

QUICK = ["bench", "--quick", "--repeats", "1", "--json"]


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache folder without benchmarks of other tests."""
    monkeypatch.setenv("NMFDIAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def torch_threads() -> Iterator[int]:
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_a_quick_run(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nmfdiag.bench.naive_curves.QUICK_PROFILED_LAYERS", 1)
    sections = ["peers", "curves", "scaling", "memory", "truth"]
    assert main([*QUICK, "--out", str(tmp_path / "out"), "--only", *sections]) == OK
    report = json.loads(capsys.readouterr().out)
    assert [Path(path).name for path in report["files"]] == ["results.csv", "bars.csv", "bench.html"]
    rows = report["rows"]
    assert {row["section"] for row in rows} == set(sections)
    assert all(tuple(row) == RESULT_COLUMNS for row in rows)
    for row in rows:
        assert row["repeats"] >= 1 and row["threads"] in (1, 2) and row["torch"] and row["processor"]
        assert 0 <= row["cpu_min"] <= row["cpu_seconds"] <= row["cpu_max"]
        assert 0 < row["wall_min"] <= row["wall_seconds"] <= row["wall_max"]
    by_solver = {row["solver"]: row for row in rows if row["case"] == "conv3_1 980x64"}
    assert set(by_solver) == {"hals", "hals_looped", "sklearn_cd", "sklearn_mu", "gemm", "iteration"}
    for name in ("sklearn_cd", "sklearn_mu"):
        ratio = by_solver["hals"]["mean_relative_error"] / by_solver[name]["mean_relative_error"]
        assert by_solver[name]["mean_ratio"] == pytest.approx(ratio) == pytest.approx(1, abs=0.05)
    assert by_solver["gemm"]["gflops"] > 0 and by_solver["iteration"]["gflops"] > 0
    assert len(by_solver["hals"]["relative_errors"].split()) == by_solver["hals"]["n_ranks"] == 4

    assert {bar["reached"] for bar in report["bars"]} <= {"", "not judged", "not measured"}, "too small to judge"
    memory = next(bar for bar in report["bars"] if bar["bar"].startswith("memory above"))
    assert 0 < memory["measured"] < 2
    with (tmp_path / "out" / "bars.csv").open(encoding="utf-8") as file:
        table = csv.DictReader(file)
        assert tuple(table.fieldnames or ()) == BAR_COLUMNS
        assert [row["bar"] for row in table] == [bar.name for bar in BARS if bar.device in ("cpu", "any")]
    assert "plotly" in (tmp_path / "out" / "bench.html").read_text(encoding="utf-8")

    newest = last_results()
    assert newest is not None and tuple(newest.columns) == RESULT_COLUMNS and len(newest) == len(rows)
    assert newest.note.map(type).eq(str).all()


def test_the_text_names_bars_and_machine(own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK[:-1], "--out", str(tmp_path), "--only", "truth"]) == OK
    text = capsys.readouterr().out
    assert "exponent of rows" in text and "not measured" in text and torch.__version__.split("+")[0] in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "nothing"], "accepted are peers"),
        (["--only", "peers", "--shapes", "conv9"], "Unknown shape 'conv9'"),
        (["--repeats", "0"], "at least 1 repeat"),
        (["--device", "tpu"], "no device 'tpu'"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--quick", *arguments]) == MISTAKE
    assert message in capsys.readouterr().err


def test_full_results_come_before_quick_ones(own_cache: Path) -> None:
    assert last_results() is None
    record = dict.fromkeys(RESULT_COLUMNS, "") | {"case": "full"}
    write_csv(results_folder() / "results-20260101-000000.csv", RESULT_COLUMNS, [record])
    write_csv(results_folder() / "part-20260202-000000.csv", RESULT_COLUMNS, [record | {"case": "part"}])
    write_csv(results_folder() / "quick-20260202-000000.csv", RESULT_COLUMNS, [record | {"case": "quick"}])
    table = last_results()
    assert table is not None and list(table.case) == ["full"]


def test_direct_error_against_numpy() -> None:
    rng = np.random.default_rng(0)
    A, W, H = (rng.random(shape, dtype=np.float32) for shape in ((9000, 7), (9000, 3), (3, 7)))
    expected = np.linalg.norm(A.astype(float) - W.astype(float) @ H.astype(float)) / np.linalg.norm(A.astype(float))
    assert direct_error(*map(torch.from_numpy, (A, W, H))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("our_errors", "peer_errors", "passed", "worst_rank"),
    [
        ({1: 0.5, 2: 0.3}, {1: 0.5, 2: 0.4}, True, 1),
        ({1: 0.5, 2: 0.3}, {1: 0.5, 2: 0.3}, True, 1),
        ({1: 0.5009, 2: 0.29}, {1: 0.5, 2: 0.3}, True, 1),  # 1.0018 times at a rank: noise
        ({1: 0.5011, 2: 0.2}, {1: 0.5, 2: 0.3}, False, 1),  # 1.0022 times, whatever the mean
        ({1: 0.5004, 2: 0.3}, {1: 0.5, 2: 0.3}, False, 1),  # within the slack of a rank, but worse in the mean
        ({1: 0.5, 2: 0.1}, {1: 0.5, 2: 0.0}, False, 2),
    ],
)
def test_gate(our_errors: dict[int, float], peer_errors: dict[int, float], passed: bool, worst_rank: int) -> None:
    gate = judge(our_errors, peer_errors)
    assert (gate.passed, gate.worst_rank) == (passed, worst_rank)


def test_the_gate_compares_equal_ranks() -> None:
    with pytest.raises(NmfdiagError, match="equal ranks"):
        judge({1: 0.5}, {2: 0.5})


def test_a_missing_peer_is_skipped_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOLVERS, "torchnmf", replace(SOLVERS["torchnmf"], package="no_such_package"))
    A = torch.rand(40, 8, generator=torch.Generator().manual_seed(0))
    our_row, peer_row = compare_solvers(Case("planted", A[None], (1, 2)), ("hals", "torchnmf"), "cpu", 1)
    assert our_row.repeats == 1 and our_row.mean_relative_error < 1
    assert peer_row.repeats == 0 and peer_row.seconds != peer_row.seconds and peer_row.gate == ""
    assert peer_row.note == "skipped: no_such_package is not installed"
    assert SOLVERS["sklearn_cd"].missing("cuda") == "skipped: runs on the CPU only"


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_recovers_a_planted_matrix(name: str) -> None:
    solver = SOLVERS[name]
    if solver.missing("cpu"):
        pytest.skip(solver.missing("cpu"))
    random = torch.Generator().manual_seed(0)
    A = torch.rand(60, 2, generator=random) @ torch.rand(2, 9, generator=random)
    factors, again = solver.run(torch.stack([A, A]), (1, 2))
    assert [tuple(part.shape) for part in factors[2]] == [(60, 2), (2, 9)]
    assert again.keys() == factors.keys()
    assert direct_error(A, *factors[2]) < 0.03 < direct_error(A, *factors[1])


def test_planted_exponent() -> None:
    sizes = [100, 200, 400, 800]
    rows = [
        Row("scaling", "cpu", f"rows {n}", n, 8, cpu_seconds=n**0.9, note="grows: rows") for n in sizes
    ]  # fmt: skip
    assert exponents(rows) == {"rows": pytest.approx(0.9)}


@pytest.mark.parametrize(
    ("value", "good", "complete", "verdict"),
    [
        (19.0, True, True, "must"),
        (41.0, True, True, "moonshot"),
        (14.0, True, True, "missed"),
        (41.0, False, True, "gate failed"),
        (41.0, True, False, "not judged"),
        (float("nan"), True, True, "not measured"),
    ],
)
def test_verdicts(value: float, good: bool, complete: bool, verdict: str) -> None:
    bar = Bar("planted", 15, 40, lambda rows, facts: None)
    assert bar.verdict(BarValue(value, "", good, complete)) == verdict


def test_a_bar_that_wants_little() -> None:
    bar = Bar("memory", 4, 1.6, lambda rows, facts: None, more_is_better=False)
    assert [bar.verdict(BarValue(gib)) for gib in (5, 3, 1)] == ["missed", "must", "moonshot"]
    assert replace(bar, must=None).verdict(BarValue(5)) == ""


def test_bars_read_the_rows() -> None:
    layers = {
        "conv1 51200x64": 4.0,
        "conv2 12800x128": 2.0,
        "conv3 3200x256": 1.0,
        "conv4 800x512": 1.0,
        "fc1 50x512": 1.0,
    }
    rows = []
    for case, factor in layers.items():
        row = Row("peers", "cpu", case, rows=int(case.split()[1].split("x")[0]), repeats=3, n_ranks=12)
        rows.append(replace(row, solver="hals", cpu_seconds=1.0))
        rows.append(replace(row, solver="sklearn_cd", cpu_seconds=10 * factor, gate="pass" if factor > 1 else "fail"))
        rows.append(replace(row, solver="gemm"))
    shares = {f"share of gemm: {case}": 0.6 for case in layers}
    judged = {j.bar.name: j for j in judge_bars(rows, shares, "cpu")}
    summed = judged["five shapes against scikit-learn cd"]
    assert summed.measured is not None and summed.measured.value == pytest.approx(90 / 5)
    assert summed.reached == "gate failed" and "conv3 3200x256" in summed.measured.note
    assert judged["51200x64 against scikit-learn cd"].reached == "must"
    assert judged["12800x128 against scikit-learn cd"].reached == "must"
    assert judged["share of the rate of matrix products, rows >= 800"].reached == "must"
    assert judged["five shapes against torchnmf"].reached == "not measured"
    reached = {j.bar.name: j.reached for j in judge_bars(rows[:6], shares, "cpu")}
    assert reached["five shapes against scikit-learn cd"] == "not judged"
    assert not [j for j in judge_bars(rows, shares, "cpu", quick=True) if j.reached == "must"]


def test_turns_are_taken_and_budgets_kept() -> None:
    calls: list[str] = []
    first_results: list[tuple[str, int]] = []

    def call(name: str) -> int:
        calls.append(name)
        return len(calls)

    tasks = {name: lambda name=name: call(name) for name in "ab"}
    timings = interleaved(tasks, 3, inspect=lambda name, result: first_results.append((name, result)))
    assert calls == list("ababab") and first_results == [("a", 1), ("b", 2)]
    assert len(timings["a"].cpu) == len(timings["b"].wall) == 3
    assert len(interleaved({"slow": lambda: None}, 3, budget=0.0)["slow"].cpu) == 1
    doubled = timings["a"] + timings["a"]
    assert doubled.wall == tuple(2 * t for t in timings["a"].wall)


def test_threads_are_put_back(torch_threads: int) -> None:
    with threads(2):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == torch_threads


def test_the_naive_way_agrees_with_the_network_at_the_full_rank() -> None:
    subject = load_subject(Options(("curves",), quick=True), lambda text: None)
    images, labels = subject.batches[0]
    curve = naive_curve(subject.model, "conv4_3", images, labels, [1, 64])
    baseline = float((subject.model(images).argmax(1) == labels).double().mean())
    assert curve.accuracy[1] == baseline and list(curve.ranks) == [1, 64]
    assert not subject.model.get_submodule("conv4_3")._forward_hooks


def test_auc_difference_counts_where_both_converged() -> None:
    a = Points([1, 2, 3], [0.0, 0.5, 1.0], [True, True, True], [])
    b = Points([1, 2, 3], [0.0, 0.7, 0.2], [True, True, False], [])
    assert auc_difference(a, b) == pytest.approx(0.25 - 0.35)
    assert np.isnan(auc_difference(a, replace(b, converged=[True, False, False])))


def test_the_network_is_trained_once_and_has_the_five_shapes(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nmfdiag.bench.bench_network.HELD_OUT", 50)
    messages: list[str] = []
    recipe = BenchRecipe(n_train=500, epochs=1, batch_size=260)  # one step
    first = bench_network(str(tmp_path), messages.append, recipe)
    assert first.data == "fashion_mnist" and any("training the network" in message for message in messages)
    messages.clear()
    again = bench_network(str(tmp_path), messages.append, recipe)
    assert not any("training" in message for message in messages)
    assert all(torch.equal(p, q) for p, q in zip(first.model.parameters(), again.model.parameters(), strict=True))
    images, labels = again.batch(3)
    assert images.shape == (50, 1, 32, 32) and labels.tolist() == [3] * 50

    monkeypatch.setattr("nmfdiag.bench.cases.bench_network", lambda *_: again)
    cases = cases_of(load_subject(Options(("peers",)), messages.append), quick=False)
    assert [case.shape for case in cases] == [(51200, 64), (12800, 128), (3200, 256), (800, 512), (50, 512)]
    assert cases[0].ranks == grid(64) == (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
    assert all(bool((case.A >= 0).all()) and bool(case.A.any()) for case in cases)


def test_the_runtime_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    class SmallVgg(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 6, 16, 16), *[nn.ReLU() for _ in range(26)])

    monkeypatch.setattr(runtime_module, "load_vgg", lambda: runtime_module.Vgg(SmallVgg(), "a stand-in"))
    section = runtime_module.runtime_section(Options(("runtime",), quick=True, repeats=1), lambda text: None)
    assert [(row.solver, row.ranks) for row in section.rows] == [
        (solver, ranks) for ranks in ("1", "4", "1 2 4") for solver in ("hals", "dff_mu")
    ]
    assert {(row.rows, row.channels) for row in section.rows} == {(196, 6)}
    assert all("a stand-in" in row.note for row in section.rows)
