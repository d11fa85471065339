"""A process that is killed (-9) in the middle of a sweep or a training leaves nothing damaged, and the next one continues."""

import os
import random
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path

import process_kills
import pytest
import server_restarts
from timeouts import CEILING

from nmfdiag.jobs.cache import CurveCache
from nmfdiag.measures.curve import CompressionCurve

FEW, MANY = 2, 15
"""Kills after a moment that is drawn, in which the process may do anything: more find more."""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], dict[str, CompressionCurve]]:
    """Return the results of a process that is not killed, by number of classes."""

    @cache
    def answers(n_classes: int) -> dict[str, CompressionCurve]:
        return process_kills.reference_curves(process_kills.requests(n_classes), tmp_path_factory.mktemp("fresh"))

    return answers


@pytest.mark.parametrize(("kills", "n_classes"), [(FEW, 3), pytest.param(MANY, 10, marks=pytest.mark.soak)])
@pytest.mark.parametrize("target", [process_kills.sweep_curves, process_kills.queue_curves], ids=["sweep", "queue"])
def test_a_killed_sweep_goes_on_where_it_was(
    tmp_path: Path,
    undisturbed: Callable[[int], dict[str, CompressionCurve]],
    target: process_kills.Target,
    kills: int,
    n_classes: int,
) -> None:
    random.seed(0)
    folder, reports, counts, fresh = tmp_path / "cache", tmp_path / "told", [0], undisturbed(n_classes)
    assert len(fresh) == 5 * n_classes
    for i in range(kills):
        at_work = process_kills.has_lines(
            reports / str(i), counts[-1]
        )  # a new curve is there; the first kill comes before any
        ready = at_work if i else folder.exists
        process_kills.kill(
            target, folder, reports / str(i), n_classes, after=process_kills.random_seconds(0.2), ready=ready
        )
        counts.append(process_kills.check_after_kill(folder, reports, fresh))
        assert counts[-1] >= counts[-2]
    assert counts[-1] > 0
    before = CurveCache(folder).get_many(fresh)
    assert not process_kills.kill(
        target, folder, reports / "last", n_classes, after=CEILING
    )  # nobody disturbs this one
    assert process_kills.check_after_kill(folder, reports, fresh) == len(fresh)
    after = CurveCache(folder).get_many(before)
    assert after == before  # with the seconds that they took: none of them was computed again


@pytest.mark.parametrize("kills", [FEW, pytest.param(MANY, marks=pytest.mark.soak)])
def test_files_that_a_killed_process_left_are_swept(tmp_path: Path, kills: int) -> None:
    random.seed(1)
    folder, reports = tmp_path / "cache", tmp_path / "told"
    for i in range(kills):
        ready = process_kills.has_lines(reports / str(i), 3)
        assert process_kills.kill(
            process_kills.put_large_values,
            folder,
            reports / str(i),
            after=process_kills.random_seconds(0.2),
            ready=ready,
        )
        process_kills.check_large_after_kill(folder, reports)
    orphan = folder / "ab" / "cd" / f"{'0' * 28}.val"  # whether a kill has left one is a matter of chance
    orphan.parent.mkdir(parents=True, exist_ok=True)
    orphan.write_bytes(b"x")
    foreign_files = [folder / "README.md", folder / "ab" / "notes.val"]
    for path in foreign_files:
        path.write_text("not the cache's")
    CurveCache(folder).close()
    assert orphan.exists()  # it may be of a process that is about to write its row
    old = time.time() - 3600
    for path in (orphan, *foreign_files):
        os.utime(path, (old, old))
    CurveCache(folder).close()
    assert not orphan.exists() and all(path.exists() for path in foreign_files)


@pytest.mark.soak  # tests/evidence/test_records.py reads such a run
def test_a_killed_training_leaves_a_run_that_is_known_as_unfinished(tmp_path: Path) -> None:
    random.seed(2)
    run = tmp_path / "digits-mlp-p0.4-s0" / "run.jsonl"
    for i in range(4):
        ready = process_kills.has_lines(run, 1 + i)
        assert process_kills.kill(process_kills.train_run, tmp_path, after=0, ready=ready)
        assert process_kills.check_run_after_kill(tmp_path) > i
        run.rename(run.with_name(f"run-{i}.jsonl"))  # what a new run does with it


@pytest.mark.soak
def test_a_killed_server_goes_on_where_it_was(tmp_path: Path) -> None:
    fresh = process_kills.reference_curves(server_restarts.reader_choice().requests(), tmp_path / "fresh")
    lives = server_restarts.Lives(
        tmp_path / "lives", fresh, server_restarts.complete_page(tmp_path / "page"), files=True
    )
    assert lives.live(0)
    assert len(lives.stored) > 0  # at least the one that the reader waited for
    assert lives.live(0, computing=False)
    assert lives.live(0)
    assert not lives.live(server_restarts.TIMEOUT)  # nobody disturbs this one
    assert lives.stored == set(fresh)
    assert not lives.live(0)  # it has nothing to compute


@pytest.mark.soak
def test_what_a_restarted_server_may_not_do_is_noticed(tmp_path: Path) -> None:
    fresh = process_kills.reference_curves(server_restarts.reader_choice().requests(), tmp_path / "fresh")
    lives = server_restarts.Lives(tmp_path / "lives", fresh, [])
    first, second, *_ = fresh
    with closing(CurveCache(lives.cache)) as cache:
        for key in fresh:
            if key != first:
                cache.put(key, fresh[key])
    lives.stored = set(fresh)
    with pytest.raises(AssertionError, match=f"computed again.*{first}"):
        lives.live(server_restarts.TIMEOUT)
    with closing(CurveCache(lives.cache)) as cache:
        cache.put(second, replace(fresh[second], accuracy=[a / 2 for a in fresh[second].accuracy]))
    with pytest.raises(AssertionError, match=second):
        lives.check()
