"""Ablation is requested like any curve: another key, another answer, and earlier curves keep their keys."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.compute import compute, compute_together
from nmfdiag.jobs.queue import Jobs, _Task
from nmfdiag.jobs.requests import SCHEMA, CurveRequest, lookup, profile_requests

KEPT = CurveRequest("digits-cnn-p1-s0", "conv2_2", 3, "pca", per_class=10)
REMOVED = replace(KEPT, operation="ablate")


def test_the_operation_is_part_of_the_key_and_leaves_other_keys_alone() -> None:
    assert KEPT.key != REMOVED.key
    before = {name: value for name, value in asdict(KEPT).items() if name != "operation"}
    content = json.dumps([SCHEMA, before, lookup(KEPT.entry).digest], sort_keys=True)
    assert KEPT.key == hashlib.sha256(content.encode()).hexdigest()


@pytest.mark.parametrize("method", ["nmf", "pca", "random"])
def test_removing_nothing_is_the_baseline_and_removing_all_leaves_zeros(method: str) -> None:
    curve = compute(replace(REMOVED, method=method), device="cpu")
    compressed = compute(replace(KEPT, method=method), device="cpu")
    assert curve.operation == "ablate" and compressed.operation == "compress"
    assert curve.ranks == compressed.ranks and curve.accuracy != compressed.accuracy
    assert curve.baseline_accuracy == compressed.baseline_accuracy == compressed.accuracy[-1] == 1.0
    assert curve.accuracy[-1] == curve.zero_accuracy == curve.accuracy_beyond == compressed.zero_accuracy
    assert compressed.accuracy_beyond == compressed.baseline_accuracy


def test_removing_random_channels_is_keeping_the_others() -> None:
    """Mean over draws, so alike and not equal: the same orders are read from the other end."""
    curve, compressed = (compute(replace(r, method="random", draws=40), device="cpu") for r in (REMOVED, KEPT))
    half = curve.full_rank // 2
    a, b = (dict(zip(c.ranks, c.accuracy, strict=True))[half] for c in (curve, compressed))
    assert a == pytest.approx(b, abs=0.1)


def test_several_classes_at_once_give_what_each_gives_alone() -> None:
    requests = [replace(REMOVED, class_idx=c) for c in (0, 5, 77)]
    *curves, wrong = compute_together(requests, device="cpu")
    assert [c.accuracy for c in curves] == [compute(r, device="cpu").accuracy for r in requests[:2]]
    assert isinstance(wrong, NmfdiagError)


def test_a_gpu_does_not_mix_operations(tmp_path: Path) -> None:
    queue = Jobs(CurveCache(tmp_path))
    requests = [KEPT, replace(KEPT, class_idx=4), REMOVED, replace(REMOVED, class_idx=4)]
    with queue._lock:
        queue._waiting = {request.key: _Task(request, {"me"}) for request in requests}
        group = queue._next(on_gpu=True)
        queue._waiting = {}
    assert {task.request for task in group.values()} == set(requests[:2])


def test_unknown_operations_and_profiles() -> None:
    with pytest.raises(NmfdiagError, match=r"Unknown operation 'erase'.*compress, ablate"):
        compute(replace(KEPT, operation="erase"), device="cpu")
    requests = profile_requests(lookup("digits-mlp-p0-s0"), classes=[0], operation="ablate")
    assert {r.operation for r in requests} == {"ablate"}
