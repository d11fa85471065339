"""A network takes another one's place as a whole: killed anywhere, the old one or the new one is in place after the next start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nmfdiag.errors import NmfdiagError
from nmfdiag.zoo import placement
from nmfdiag.zoo.files import ENTRY_FILE
from nmfdiag.zoo.placement import placed, restore
from nmfdiag.zoo.registry import ZooEntry, entries, lookup, refresh, write_entry

NAME = "mine"


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path))
    yield tmp_path
    monkeypatch.undo()
    refresh()


def draft(zoo: Path, parameters: int) -> ZooEntry:
    """Return a network whose files all hold its number of parameters."""
    shipped = lookup("digits-mlp-p0-s0")
    return replace(shipped, folder=zoo / NAME, called=NAME, pool=f"{NAME}-samples", n_parameters=parameters)


@contextmanager
def drafted(zoo: Path, parameters: int) -> Iterator[ZooEntry]:
    """Return a draft in the temporary folder that it is written into."""
    entry = draft(zoo, parameters)
    with placed(entry.folder) as aside:
        yield replace(entry, folder=aside)


def write(aside: ZooEntry) -> None:
    for path in aside.files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(aside.n_parameters))
    write_entry(aside)


def put(zoo: Path, parameters: int) -> None:
    with drafted(zoo, parameters) as aside:
        write(aside)
    refresh()


def contents(zoo: Path) -> set[str]:
    """Return the contents of the network's files, once all leftovers are removed."""
    refresh()
    entry = entries()[NAME]
    left = [path for path in zoo.rglob("*") if path.name.startswith(".")]
    assert not left
    return {str(entry.n_parameters), *(path.read_text() for path in entry.files.values())}


class Killed(BaseException):
    """Stands for the end of the process: nothing is cleaned up after it."""


@pytest.mark.parametrize("step", range(9))
def test_a_kill_at_any_step_leaves_one_of_them(zoo: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    put(zoo, 1)
    steps, real = iter(range(100)), Path.rename

    def rename(self: Path, target: Path) -> Path:
        if next(steps) == step:
            raise Killed
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        patch.setattr(placement.shutil, "rmtree", lambda *_, **__: None)
        try:
            put(zoo, 2)
        except Killed:
            assert step < 5
        else:
            assert step >= 5
    assert contents(zoo) in ({"1"}, {"2"})


def test_a_failure_leaves_the_old_one_and_nothing_aside(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(zoo, 1)
    with pytest.raises(ZeroDivisionError), drafted(zoo, 2) as aside:
        write(aside)
        raise ZeroDivisionError
    assert contents(zoo) == {"1"}
    real = Path.rename
    with monkeypatch.context() as patch:  # Windows: somebody reads the old one

        def refuse(self: Path, target: Path) -> Path:
            if self == zoo / NAME:
                raise PermissionError("in use")
            return real(self, target)

        patch.setattr(Path, "rename", refuse)
        with pytest.raises(PermissionError):
            put(zoo, 2)
    assert contents(zoo) == {"1"}


def test_files_of_others_stay(zoo: Path) -> None:
    (zoo / NAME).mkdir()
    (zoo / NAME / "notes.txt").write_text("mine")
    put(zoo, 1)
    assert contents(zoo) == {"1"} and (zoo / NAME / "notes.txt").read_text() == "mine"


def test_a_network_that_is_being_written_is_left_alone(zoo: Path) -> None:
    with drafted(zoo, 1) as aside:
        write(aside)
        restore(zoo)
        assert aside.files["weights"].is_file() and NAME not in entries()
        with pytest.raises(NmfdiagError, match="Another process is writing a network 'mine'"), drafted(zoo, 2):
            pass
    assert contents(zoo) == {"1"}


def test_what_an_earlier_version_left_aside_is_brought_back(zoo: Path) -> None:
    put(zoo, 1)
    aside = zoo / "pools" / f".{NAME}-before"
    aside.mkdir()
    (zoo / NAME).rename(aside / NAME)
    (zoo / "pools" / f"{NAME}-samples.safetensors").rename(aside / f"{NAME}-samples.safetensors")
    (zoo / NAME).mkdir()
    (zoo / NAME / "weights.safetensors").write_text("half of it")
    os.utime(aside, (0, time.time() - 3600))
    assert contents(zoo) == {"1"}


@pytest.mark.skipif(sys.platform == "win32", reason="kills as Linux and macOS know them")
def test_a_process_that_is_killed_while_it_writes(zoo: Path) -> None:
    put(zoo, 1)
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); from test_placement import *\n"
        "with drafted(Path(sys.argv[1]), 2) as aside:\n"
        "    write(aside); print('written', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(zoo), str(Path(__file__).parent)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"NMFDIAG_ZOO": str(zoo)})  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"written\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert contents(zoo) == {"1"}
    put(zoo, 3)
    assert contents(zoo) == {"3"} and (zoo / NAME / ENTRY_FILE).is_file()
