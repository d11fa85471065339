"""The cache keeps results, unpickles nothing, and survives damage."""

import json
import pickle
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from nobody import as_nobody, close, open_folder

from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.requests import CurveRequest, Request, RuntimeResult, SupportRequest, lookup, profile_requests
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.support.cover import SupportCover

CURVE = CompressionCurve(
    "conv1_1", "nmf", [1, 2], [0.5, 1.0], [0.3, 0.0], [3.0, 0.0], [True, True], 1.0, 0.0, 0.1, 2, (10, 2), 5
)  # fmt: skip


def test_a_curve_comes_back_as_it_was(tmp_path: Path) -> None:
    CurveCache(tmp_path).put("key", CURVE)
    assert CurveCache(tmp_path).get("key") == CURVE
    assert CurveCache(tmp_path).get("other") is None
    assert CurveCache(tmp_path).stats()["curves"] == 1


TIMING = RuntimeResult(
    10, 4, [2], [0.1, 0.2, 0.15], [0.1, 0.1, 0.1], [0.3], [7], [True], [(0.1, 0.05, 0.2, 0.3)], {"device": "cpu"}
)


def test_every_kind_of_result_comes_back_as_it_was(tmp_path: Path) -> None:
    cache = CurveCache(tmp_path)
    cache.put("timing", TIMING)
    cache.put("curve", CURVE)
    assert CurveCache(tmp_path).get_many(["timing", "curve", "other"]) == {"timing": TIMING, "curve": CURVE}
    cache.drop(["timing", "other"])
    assert cache.get("timing") is None and cache.get("curve") == CURVE


@pytest.mark.parametrize(
    "content", [b"[]", b'{"result": "module"}', b'{"result": "RuntimeResult"}', b'{"result": ["x"]}', b"{"]
)
def test_a_record_of_no_known_kind_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    cache = CurveCache(tmp_path)
    cache._disk.set("key", content)
    assert cache.get("key") is None and cache._disk.read(None) == []


def test_a_record_without_a_kind_is_a_curve(tmp_path: Path) -> None:
    cache = CurveCache(tmp_path)
    cache._disk.set("key", json.dumps(CURVE.to_dict()).encode())
    assert cache.get("key") == CURVE


class Bomb:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("bomb-went-off"),))


@pytest.mark.parametrize("mode", [1, 2, 4])
def test_a_tampered_row_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    monkeypatch.chdir(tmp_path)
    cache = CurveCache(tmp_path / "cache")
    cache.put("key", CURVE)
    cache.close()
    with sqlite3.connect(tmp_path / "cache" / "cache.db") as database:
        database.execute("UPDATE Cache SET value = ?, mode = ?", (pickle.dumps(Bomb()), mode))
    assert CurveCache(tmp_path / "cache").get("key") is None
    assert not Path("bomb-went-off").exists()


def test_a_damaged_database_is_moved_aside(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"no database at all" * 100)
    cache = CurveCache(tmp_path)
    assert "damaged" in cache.notice
    cache.put("key", CURVE)
    assert cache.get("key") == CURVE
    assert list(tmp_path.glob("damaged-*/cache.db"))


OLD_CACHE = Path(__file__).with_name("cache_of_0.1.0")
"""Written by version 0.1.0, before its code was moved."""
OLD_CURVE = CurveRequest("digits-mlp-p0-s0", "fc1", 3, grid="coarse", per_class=10)
OLD_REQUESTS: dict[str, Request] = {
    "a025ab1faa397dfeeb7104428b269b960379d8fc7299534b27cd17bed1b56c35": OLD_CURVE,
    "5f8a9b370a6fd84f0af97037b6abd964a9b2b2c39dc962955e8a3d31bafa405a": replace(OLD_CURVE, operation="ablate", method="pca"),
    "a3b9d731613f0766ea0814c000557ce60d63e0a0c6521f558e947b753ee44121": SupportRequest("digits-mlp-p0-s0", "fc1", 3, 10, 8, 8),
}  # fmt: skip


def test_a_result_that_is_measured_again_outlives_the_drop_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread drops a result; another puts the new one while the old one is being deleted."""
    cache = CurveCache(tmp_path)
    cache.put("key", CURVE)
    again, delete = replace(CURVE, layer="conv2_1"), type(cache._disk).delete
    writer = Thread(target=cache.put, args=("key", again))

    def delete_late(disk: object, key: str) -> None:
        writer.start()
        writer.join(0.2)  # it has written, or waits for this thread
        delete(disk, key)

    monkeypatch.setattr(type(cache._disk), "delete", delete_late)
    cache.drop(["key"])
    writer.join()
    assert cache.get("key") == again and CurveCache(tmp_path).get("key") == again


def test_a_result_is_seen_once_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed while it writes has told nobody that it was done."""
    cache, seen_early = CurveCache(tmp_path), []
    write = type(cache._disk).set

    def write_late(disk: object, key: str, content: bytes) -> None:
        seen_early.append(cache.get(key))
        write(disk, key, content)

    monkeypatch.setattr(type(cache._disk), "set", write_late)
    cache.put("key", CURVE)
    assert seen_early == [None] and cache.get("key") == CURVE


def check_old_cache(folder: Path) -> None:
    cache = CurveCache(folder)
    results = cache.get_many(OLD_REQUESTS)
    assert list(results) == list(OLD_REQUESTS) and [type(result) for result in results.values()] == [
        CompressionCurve, CompressionCurve, SupportCover,
    ]  # fmt: skip
    assert [result.provenance["key"] for result in results.values()] == list(OLD_REQUESTS)
    assert [curve.operation for curve in list(results.values())[:2]] == ["compress", "ablate"]
    assert cache.verify().sound and cache.stats()["curves"] == 3


def test_results_of_an_earlier_version_are_found_under_their_keys(tmp_path: Path) -> None:
    assert [request.key for request in OLD_REQUESTS.values()] == list(OLD_REQUESTS)
    check_old_cache(Path(shutil.copytree(OLD_CACHE, tmp_path / "cache")))


def test_results_of_an_earlier_version_are_found_where_nobody_may_write() -> None:
    with open_folder() as parent:
        folder = Path(shutil.copytree(OLD_CACHE, parent / "cache"))
        close(folder)
        as_nobody(lambda: check_old_cache(folder))


def test_the_key_changes_with_the_answer() -> None:
    request = CurveRequest("digits-mlp-p0-s0", "fc1", 0)
    variants = [
        replace(request, class_idx=1), replace(request, tol=1e-3), replace(request, entry="digits-mlp-p1-s0"),
        replace(request, grid="coarse"), replace(request, per_class=10),
    ]  # fmt: skip
    assert len({r.key for r in [request, *variants]}) == 6
    assert request.key == CurveRequest("digits-mlp-p0-s0", "fc1", 0).key


def test_requests_reach_every_layer_before_the_next_class() -> None:
    entry = lookup("digits-mlp-p0-s0")
    first = [r.layer for r in profile_requests(entry)[: len(entry.layers)]]
    assert first == list(entry.layers)
