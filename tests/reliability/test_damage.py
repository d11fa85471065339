"""Faults of the cache's folder: a clear message, the damaged part moved aside, correct results, and no endless waiting."""

import json
import os
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import process_kills
import pytest
from nobody import as_nobody, close, open_folder
from process_kills import PLANTED
from timeouts import CEILING, wait_until

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import cache as cache_module
from nmfdiag.jobs import safe_disk
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.queue import Jobs
from nmfdiag.jobs.sweep import sweep

KEYS = [f"{i:064x}" for i in range(60)]


def filled(folder: Path) -> Path:
    """Fill a cache with sixty curves; return the database."""
    cache = CurveCache(folder)
    for i, key in enumerate(KEYS):
        cache.put(key, process_kills.large_curve(i) if i % 10 == 0 else PLANTED)
    cache.close()
    return folder / "cache.db"


def works(cache: CurveCache) -> bool:
    """Return whether a stored result comes back."""
    cache.put("new", PLANTED)
    return bool(cache.get("new") == PLANTED)


def truncated(database: Path) -> None:
    os.truncate(database, 9000)


def garbage(database: Path) -> None:
    database.write_bytes(b"no database at all" * 100)


def torn(database: Path) -> None:
    """Write zeros into the middle: it opens, and fails at some row."""
    with database.open("r+b") as file:
        file.seek(database.stat().st_size // 3)
        file.write(bytes(database.stat().st_size // 3))


def folder_instead(database: Path) -> None:
    database.unlink()
    database.mkdir()
    (database / "file").touch()


def others_table(database: Path) -> None:
    """Of a version of diskcache that keeps other columns."""
    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE Cache (key, raw, value)")


def others_database(database: Path) -> None:
    database.unlink()
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE Settings (name, age)")


@pytest.mark.parametrize("harm", [truncated, garbage, torn, folder_instead, others_table, others_database])
def test_a_damaged_database_is_moved_aside_and_told(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    harm(filled(tmp_path))
    cache = CurveCache(tmp_path)
    curves = cache.get_many(KEYS)
    assert all(curve == (process_kills.large_curve(i) if i % 10 == 0 else PLANTED) for i, key in enumerate(KEYS) if (curve := curves.get(key)))  # fmt: skip
    assert works(cache)
    if harm is not torn or cache.notice:  # zeros may lie where nothing is read
        assert "was damaged" in cache.notice and list(tmp_path.glob("damaged-*/cache.db"))
    cache.verify(mend=True)
    assert cache.verify().sound and works(CurveCache(tmp_path)) and CurveCache(tmp_path).notice == ""


def test_damage_under_a_running_server_is_met_there(tmp_path: Path) -> None:
    database = filled(tmp_path)
    cache = CurveCache(tmp_path)
    assert cache.get(KEYS[1]) == PLANTED
    garbage(database)
    for wal in tmp_path.glob("cache.db-*"):
        wal.unlink()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(cache.get_many(KEYS) == {} and works(cache)))
    thread.start()  # another thread has another connection
    thread.join(CEILING)
    assert answers == [True] and "was damaged" in cache.notice and works(cache)


@pytest.mark.parametrize("part", ["folder", "database"])
def test_a_cache_that_is_removed_under_a_running_server_begins_anew(tmp_path: Path, part: str) -> None:
    folder = tmp_path / "cache"
    database = filled(folder)
    cache = CurveCache(folder)
    shutil.rmtree(folder) if part == "folder" else database.unlink()
    assert cache.get_many(KEYS) == {} and works(cache) and cache.notice == ""
    assert CurveCache(folder).get("new") == PLANTED


def test_an_empty_file_and_an_empty_folder_are_an_empty_cache(tmp_path: Path) -> None:
    os.truncate(filled(tmp_path), 0)
    cache = CurveCache(tmp_path)
    assert cache.get_many(KEYS) == {} and works(cache)
    assert works(CurveCache(tmp_path / "a" / "b"))


def test_a_row_that_was_changed_is_dropped_and_the_others_stay(tmp_path: Path) -> None:
    database = filled(tmp_path)
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE Cache SET value = CAST(replace(CAST(value AS TEXT), '0.5', '0.9') AS BLOB) WHERE key = ?",
            (KEYS[1],),
        )
        connection.execute("UPDATE Cache SET value = substr(value, 1, 100) WHERE key = ?", (KEYS[2],))
        connection.execute("UPDATE Cache SET value = NULL WHERE key = ?", (KEYS[3],))
        connection.execute("UPDATE Cache SET value = 7 WHERE key = ?", (KEYS[4],))
    large = sorted(tmp_path.glob("??/??/*.val"))
    large[0].write_bytes(large[0].read_bytes()[:-5])
    large[1].unlink()
    cache = CurveCache(tmp_path)
    verification = cache.verify()
    assert len(verification.damaged) == 6 and set(KEYS[1:5]) <= set(verification.damaged) and not verification.sound
    assert (
        "not what was written" in verification.damaged[KEYS[1]]
        and verification.database == ()
        and verification.rows == len(KEYS)
    )
    assert len(cache.get_many(KEYS)) == len(KEYS) - 6
    assert cache.verify().sound  # they were dropped when they were asked for


def older(record: dict) -> dict:
    return {key: value for key, value in record.items() if key not in ("operation", "result")}


def newer(record: dict) -> dict:
    return record | {"confidence": [0.1, 0.2], "result": "CurveWithIntervals"}


@pytest.mark.parametrize(("version", "readable"), [(older, True), (newer, False)], ids=["older", "newer"])
def test_records_of_other_versions_are_read_or_absent(
    tmp_path: Path, version: Callable[[dict], dict], readable: bool
) -> None:
    cache = CurveCache(tmp_path)
    assert cache._disk is not None
    cache._disk.set("key", json.dumps(version({"result": "CompressionCurve", **PLANTED.to_dict()})).encode())
    assert cache.get("key") == (PLANTED if readable else None) and works(cache)


@pytest.fixture(name="open_folder")
def _open_folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def test_a_cache_that_may_only_be_read_is_read(open_folder: Path) -> None:
    folder = open_folder / "cache"
    filled(folder)
    close(folder)

    def check() -> None:
        cache = CurveCache(folder)
        assert cache.get(KEYS[1]) == PLANTED and cache.get(KEYS[10]) == process_kills.large_curve(10)
        assert "can't be written" in cache.notice and "kept until this process ends" in cache.notice
        assert works(cache) and CurveCache(folder).get("new") is None
        cache.drop([KEYS[1]])  # to be measured again
        assert cache.get(KEYS[1]) is None and cache.get(KEYS[2]) == PLANTED
        assert cache.verify().sound and cache.stats()["curves"] == len(KEYS) + 1
        with pytest.raises(NmfdiagError, match="can't be written"):
            cache.clear()

    as_nobody(check)


def test_a_folder_that_may_not_be_made_keeps_results_in_memory_until_it_may(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "RETRY_SECONDS", 0)
    open_folder.chmod(0o555)
    caches: list[CurveCache] = []

    def check() -> None:
        caches.append(CurveCache(open_folder / "cache"))
        assert works(caches[0]) and "can't be written" in caches[0].notice

    as_nobody(check)
    open_folder.chmod(0o755)
    assert works(caches[0]) and caches[0].notice == ""
    assert CurveCache(open_folder / "cache").get("new") == PLANTED


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    cache = CurveCache(tmp_path / "cache")
    assert works(cache) and "can't be written" in cache.notice and (tmp_path / "cache").read_text() == "not a folder"


def filled_up(folder: Path, notice_file: Path, file_limit: int | None = None) -> str:
    """Fill a cache until its disk is full, in a separate process; return the notice."""
    process = process_kills.context().Process(
        target=process_kills.fill_disk, args=(folder, notice_file, file_limit), daemon=True
    )
    process.start()
    process.join(CEILING)
    assert process.exitcode == 0
    return notice_file.read_text()


def test_no_result_is_lost_or_wrong_where_files_may_not_grow(tmp_path: Path) -> None:
    notice = filled_up(tmp_path / "cache", tmp_path / "told", file_limit=200_000)
    assert "can't be written" in notice and "kept until this process ends" in notice
    cache = CurveCache(tmp_path / "cache")
    assert cache.notice == "" and cache.verify().sound and works(cache)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 600 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can make a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_no_result_is_lost_or_wrong_on_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    notice = filled_up(small_disk / "cache", tmp_path / "told")
    assert "can't be written (the disk is full)" in notice, notice
    cache = CurveCache(small_disk / "cache")
    verification = cache.verify()
    assert verification.sound and 0 < verification.rows < 500
    cache.clear()
    assert cache.verify(mend=True).sound and works(cache) and cache.notice == ""


def test_a_process_that_holds_the_database_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    monkeypatch.setattr(safe_disk, "LOCK_SECONDS", 0.3)
    early = CurveCache(tmp_path)
    ready = tmp_path / "ready"
    holder = process_kills.context().Process(target=process_kills.hold_lock, args=(tmp_path, ready), daemon=True)
    holder.start()
    wait_until(ready.exists)
    late = CurveCache(tmp_path)
    for cache in (early, late):
        assert len(cache.get_many(KEYS)) == len(KEYS) and works(cache)
        assert "can't be written (database is locked)" in cache.notice
    holder.kill()
    holder.join()
    monkeypatch.setattr(cache_module, "RETRY_SECONDS", 0)
    for cache in (early, late):
        cache.put("newer", PLANTED)
        assert cache.notice == "" and cache.verify().sound
    assert set(CurveCache(tmp_path).get_many(["new", "newer"])) == {"new", "newer"}
    assert not list(tmp_path.glob("damaged-*"))  # a healthy database that was only busy stays where it is


@pytest.mark.parametrize("state", ["new", "there", "damaged"])
def test_many_processes_share_one_folder_from_its_first_moment(tmp_path: Path, state: str) -> None:
    folder, go = tmp_path / "cache", tmp_path / "go"
    if state != "new":
        database = filled(folder)
        if state == "damaged":
            garbage(database)
    starts = [17 * i for i in range(4)]
    processes = [
        process_kills.context().Process(target=process_kills.write_values, args=(folder, i, go), daemon=True)
        for i in starts
    ]
    for process in processes:
        process.start()
    wait_until(lambda: len(list(tmp_path.glob("go.*"))) == len(starts))
    go.touch()
    for process in processes:
        process.join(CEILING)
    assert [process.exitcode for process in processes] == [0] * 4
    cache = CurveCache(folder)
    assert cache.verify().sound and len(list(folder.glob("damaged-*"))) == (state == "damaged")
    assert state == "damaged" or len(cache.get_many(f"k{i}" for i in range(50))) == 50


def test_two_servers_and_a_command_line_share_one_cache(tmp_path: Path) -> None:
    """Each computes what the others have not, and all have the same curves at the end."""
    targets = [process_kills.queue_curves, process_kills.sweep_curves, process_kills.queue_curves]
    processes = [
        process_kills.context().Process(
            target=target, args=(tmp_path / "cache", tmp_path / f"told-{i}", 3), daemon=True
        )
        for i, target in enumerate(targets)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(CEILING)
    assert [process.exitcode for process in processes] == [0] * 3
    cache, requests = CurveCache(tmp_path / "cache"), process_kills.requests(3)
    curves = cache.get_many(request.key for request in requests)
    assert cache.verify().sound and len(curves) == len(requests)
    sample = requests[::4]
    fresh = dict(sweep(sample, CurveCache(tmp_path / "fresh"), device="cpu"))
    assert all(process_kills.same_curve(curves[request.key], fresh[request]) for request in sample)


def test_queues_of_two_devices_do_not_get_into_each_others_way(tmp_path: Path) -> None:
    requests, cache = process_kills.requests(1), CurveCache(tmp_path)
    queues = [Jobs(cache, device) for device in ("auto", "cpu")]
    queues[0].ask(requests[:3], "one")
    queues[1].ask(requests[3:], "two")
    wait_until(lambda: not any(queue.busy(requests) for queue in queues))
    assert [queue.status(requests).failed for queue in queues] == [{}, {}]
    assert len(cache.get_many(request.key for request in requests)) == len(requests)
    for queue in queues:
        queue.close()
