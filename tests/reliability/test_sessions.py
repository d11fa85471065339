"""Four readers at once: nobody sees an error or another one's page, and what two ask for is computed once."""

import asyncio
from pathlib import Path

import pytest
import visiting
from serving import serving, trouble

VISITORS, SECONDS, CHANGE_SECONDS = 4, 20, 5.0
"""How long half of the changes may take at most: of a machine that runs other tests beside."""


@pytest.mark.slow
def test_readers_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    told = tmp_path / "told"
    with serving(tmp_path, {visiting.TOLD: str(told)}, visiting.COUNTING) as (base, _):
        found = asyncio.run(visiting.visits(base, VISITORS, SECONDS))
    assert [visit.errors for visit in found] == [[]] * VISITORS
    assert [visit.crossed for visit in found] == [[]] * VISITORS
    assert trouble(tmp_path) == ""
    assert all(visit.loads and visit.changes for visit in found)
    keys = visiting.keys(told)
    assert len(keys) > 20 and len(keys) == len(set(keys))
    seconds = sorted(s for visit in found for s in visit.changes)
    assert seconds[len(seconds) // 2] < CHANGE_SECONDS


@pytest.mark.slow
def test_a_page_of_another_choice_is_noticed(tmp_path: Path) -> None:
    class Astray(visiting.Visit):
        def _message(self, fragment: str = "") -> visiting.BackMsg:
            message = super()._message(fragment)
            message.rerun_script.query_string = "data=digits&arch=mlp&p=0.4&n=10&seed=1"
            return message

    with serving(tmp_path, {visiting.TOLD: str(tmp_path / "told")}, visiting.COUNTING) as (base, _):
        [choice] = visiting.choices(1, visiting.random.Random(0))
        visit = Astray(base, choice, "curves")
        asyncio.run(visit.spend(0, visiting.random.Random(0)))
    assert visit.crossed and "p = 0.4" in visit.crossed[0] and visit.errors == []
