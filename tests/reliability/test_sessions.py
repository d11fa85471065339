"""Readers at once: nobody sees an error or another one's page, and what two ask for is computed once. Always the same steps."""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

import pytest
import server_restarts
import visitors
from dashboard_server import log_errors, serve

from nmfdiag.views.selection import EACH_CLASS


@pytest.mark.parametrize(
    ("n_visitors", "steps", "batch"), [(2, 2, "3"), pytest.param(20, 12, EACH_CLASS, marks=pytest.mark.soak)]
)
def test_readers_at_once_do_not_disturb_each_other(
    tmp_path: Path, n_visitors: int, steps: int, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "THINK_SECONDS", (0, 0.2))
    reports = tmp_path / "told"
    choice = replace(server_restarts.reader_choice(), batch=batch, per_class=10, grid="coarse")
    with serve(tmp_path, {visitors.KEY_FILE_VARIABLE: str(reports)}, visitors.PROGRAM) as (base, _):
        readers = [server_restarts.Reader(base, choice) for _ in range(2)]
        stray = Astray(base, visitors.initial_choices(1, random.Random(0))[0], "curves")
        outcomes = asyncio.run(
            everybody(readers, visitors.visit_together(base, n_visitors, lambda n_done: n_done < steps))
        )
        asyncio.run(stray.spend(random.Random(0), lambda n_done: False))
    assert [visit.errors for visit in [*outcomes, *readers]] == [[]] * (n_visitors + 2)
    assert [visit.crossed for visit in [*outcomes, *readers]] == [[]] * (n_visitors + 2)
    assert all(visit.loads for visit in outcomes) and any(visit.changes for visit in outcomes)
    assert stray.crossed and "p = 0.4" in stray.crossed[0] and stray.errors == []  # so it would have been noticed
    assert log_errors(tmp_path) == ""
    keys = visitors.read_keys(reports)
    assert {request.key for request in choice.requests()} <= set(keys) and len(keys) == len(set(keys))


async def everybody(
    readers: list[server_restarts.Reader], visits: Coroutine[None, None, list[visitors.Visit]]
) -> list[visitors.Visit]:
    """Those who come and go, while two follow the same page until it is complete."""
    going, *_ = await asyncio.gather(visits, *(reader.follow() for reader in readers))
    return going


class Astray(visitors.Visit):
    """Asks for another choice than its own."""

    def _message(self, fragment: str = "") -> visitors.BackMsg:
        message = super()._message(fragment)
        message.rerun_script.query_string = "data=digits&arch=mlp&p=0.4&n=10&seed=1"
        return message
