"""A result is stored under the key of what it was computed from, and under no other."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.cover_support import cover
from nmfdiag.jobs.requests import CurveRequest, SupportRequest, key_of
from nmfdiag.jobs.time_nmf import measure, runtime_requests
from nmfdiag.zoo.registry import lookup, refresh

SHIPPED = "digits-mlp-p1-s0"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a zoo with a copy of a shipped network, under the same name."""
    entry = lookup(SHIPPED)
    shutil.copytree(entry.folder, tmp_path / SHIPPED)
    (tmp_path / "pools").mkdir()
    shutil.copy(entry.files["pool"], tmp_path / "pools")
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path))
    refresh()
    yield tmp_path
    monkeypatch.undo()
    refresh()


@pytest.mark.parametrize("part", ["weights", "labels", "pool"])
def test_changed_files_are_not_used(own: Path, part: str) -> None:
    path = lookup(SHIPPED).files[part]
    tensors = load_file(path)
    assert path.is_relative_to(own)
    name = next(name for name, tensor in tensors.items() if tensor.ndim)
    save_file(tensors | {name: tensors[name].flip(0).contiguous()}, path)
    with pytest.raises(NmfdiagError, match=f"{path.name} of {SHIPPED} is not the one"):
        entry = lookup(SHIPPED)
        entry.load_model()
        entry.load_pool()


def test_every_kind_of_result_says_what_it_was_computed_from(tmp_path: Path) -> None:
    entry, cache = lookup(SHIPPED), CurveCache(tmp_path)
    curve = CurveRequest(SHIPPED, "fc5", 0, per_class=4, grid="coarse")
    support = SupportRequest(SHIPPED, "fc5", 0, per_class=4, rows=8)
    timing = runtime_requests(entry, "fc5", "rank", class_idx=0, per_class=4, solvers=["hals"], devices=["cpu"])[0]
    for request, result in ((curve, compute(curve)), (support, cover(support)), (timing, measure(timing))):
        assert result.provenance["key"] == request.key and result.provenance["content"] == entry.digest
        cache.put(request.key, result)
        assert cache.get(request.key) == result
        with pytest.raises(NmfdiagError, match="computed from other weights, samples or settings"):
            cache.put("another key", result)
    stored = dict(cache._disk.read(None))[curve.key]  # moved to another row
    cache._disk.set("another key", stored)
    assert cache.get("another key") is None and cache.verify().sound


def test_keys_are_unchanged() -> None:
    request = CurveRequest(SHIPPED, "fc1", 3)
    assert key_of(request, "0" * 64) == "05bbf054756ca8bcc72585bbcd14fe8bb854c0322baf11dd44ace9814098f298"
    assert request.key == key_of(request, lookup(SHIPPED).digest)
    assert key_of(replace(request, operation="ablate"), "0" * 64) != key_of(request, "0" * 64)
    assert json.dumps(request.key)
