"""Readers at once: nobody sees an error or another one's page, and what two ask for is computed once. Always the same steps."""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path

import pytest
import server_restarts
import visitors
from dashboard_server import serving, trouble

from nmfdiag.views.selection import EACH_CLASS


@pytest.mark.parametrize(
    ("visitors", "steps", "batch"), [(2, 2, "3"), pytest.param(20, 12, EACH_CLASS, marks=pytest.mark.soak)]
)
def test_readers_at_once_do_not_disturb_each_other(
    tmp_path: Path, visitors: int, steps: int, batch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visitors, "THINKS", (0, 0.2))
    told = tmp_path / "told"
    choice = replace(server_restarts.choice(), batch=batch, per_class=10, grid="coarse")
    with serving(tmp_path, {visitors.TOLD: str(told)}, visitors.COUNTING) as (base, _):
        readers = [server_restarts.Reader(base, choice) for _ in range(2)]
        stray = Astray(base, visitors.choices(1, random.Random(0))[0], "curves")
        found = asyncio.run(everybody(readers, visitors.visits(base, visitors, lambda done: done < steps)))
        asyncio.run(stray.spend(random.Random(0), lambda done: False))
    assert [visit.errors for visit in [*found, *readers]] == [[]] * (visitors + 2)
    assert [visit.crossed for visit in [*found, *readers]] == [[]] * (visitors + 2)
    assert all(visit.loads for visit in found) and any(visit.changes for visit in found)
    assert stray.crossed and "p = 0.4" in stray.crossed[0] and stray.errors == []  # so it would have been noticed
    assert trouble(tmp_path) == ""
    keys = visitors.keys(told)
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
