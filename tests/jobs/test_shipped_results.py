"""Results that come with nmfdiag: the same as computed here, and left alone where they are of something else."""

import json
import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.queue import Jobs
from nmfdiag.jobs.requests import SuspectsRequest, profile_requests
from nmfdiag.jobs.score_labels import score
from nmfdiag.jobs.shipped_results import RESULTS_FILE, SHIPPED, shipped_curves, shipped_results, write_results
from nmfdiag.zoo.registry import ZooEntry, entries, lookup

NAME = "digits-mlp-p1-s0"


@pytest.fixture
def copy(tmp_path: Path) -> ZooEntry:
    """Return a network whose folder is empty."""
    return replace(lookup(NAME), folder=tmp_path)


def test_what_is_shipped_is_what_this_code_computes() -> None:
    [request] = profile_requests(lookup(NAME), layers=["fc2"], classes=[3], per_class=20)
    [shipped], curve = shipped_curves({request.key: request}).values(), compute(request, device="cpu")
    assert shipped.provenance[SHIPPED] and shipped.provenance["key"] == request.key
    assert shipped.ranks == curve.ranks
    assert shipped.accuracy == pytest.approx(curve.accuracy, abs=0.051)  # one sample of twenty, on another processor
    assert shipped.relative_error == pytest.approx(curve.relative_error, abs=0.01)
    controls, reference = shipped_results(lookup(NAME)).controls, score(SuspectsRequest(NAME), device="cpu").controls
    assert controls is not None
    assert controls.noise_rate.estimate == pytest.approx(reference.noise_rate.estimate, abs=0.02)
    assert controls.agreement == pytest.approx(reference.agreement, abs=0.02)


def test_every_network_of_ours_has_its_results() -> None:
    for entry in entries().values():
        if not entry.called:
            results = shipped_results(entry)
            assert len(results.curves) >= len(entry.layers) * 2 and results.controls, entry.name


def test_results_of_other_weights_or_code_are_left_alone(copy: ZooEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    [request] = profile_requests(copy, layers=["fc2"], classes=[3], per_class=10)
    curve = compute(request, device="cpu")
    assert shipped_results(copy).curves == {}
    write_results(copy, {request: curve}, None)
    [again] = shipped_results(copy).curves.values()
    assert again.accuracy == pytest.approx(curve.accuracy, abs=1e-5) and shipped_results(copy).controls is None
    path = copy.folder / RESULTS_FILE
    record = json.loads(lzma.decompress(path.read_bytes()))
    for fault in ({"content": "0" * 64}, {"schema": [0, 0]}):
        changed = replace(copy, folder=copy.folder / next(iter(fault)))
        changed.folder.mkdir()
        (changed.folder / RESULTS_FILE).write_bytes(lzma.compress(json.dumps(record | fault).encode()))
        assert shipped_results(changed).curves == {}
    broken = replace(copy, folder=copy.folder / "broken")
    broken.folder.mkdir()
    (broken.folder / RESULTS_FILE).write_bytes(path.read_bytes()[:50])
    assert shipped_results(broken).curves == {}


def test_compute_again_computes_what_is_shipped(tmp_path: Path) -> None:
    [request] = profile_requests(lookup(NAME), layers=["fc2"], classes=[3], per_class=20)
    queue = Jobs(CurveCache(tmp_path), "cpu")
    try:
        assert queue.results([request])[request].provenance[SHIPPED]
        queue.ask([request], "reader")
        assert not queue.busy([request])  # it is there
        queue.compute_again([request], "reader")
        assert queue.busy([request]) or request in queue.results([request])
        while queue.busy([request]):
            pass
        assert SHIPPED not in queue.results([request])[request].provenance
    finally:
        queue.close()
