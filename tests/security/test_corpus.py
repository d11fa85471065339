"""Every hostile file through each way in: a named error or a plain answer, no code run, memory and time bounded, nothing written outside."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bounds import bounded
from corpus import CORPUS
from hostile import ACTIVATIONS, EXPORTED, ROOT, SAMPLES, WEIGHTS, Hostile
from strangers import Stranger

from nmfdiag.cli import MISTAKE, OK, WRONG, main
from nmfdiag.data import load
from nmfdiag.errors import NO_TEXT, NmfdiagError
from nmfdiag.runs import choosing
from nmfdiag.runs.importing import Opening, open_command
from nmfdiag.zoo.opening import open_activations, open_checkpoint, open_exported

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="pipes, devices and bounds on memory are Linux's"),
    pytest.mark.filterwarnings("ignore"),
]
UPLOADS = {WEIGHTS: choosing.WEIGHTS, SAMPLES: choosing.SAMPLES, ACTIVATIONS: choosing.ACTIVATIONS}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the file is written; beside it lies what nobody may touch, and what the process works in."""
    for name in ("hostile", "work", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path / "work" / "zoo"))
    yield tmp_path
    subprocess.run(["rm", "-rf", str(tmp_path / "hostile")], check=True)  # Python's own gives up on the deepest one


def written(place: Path, each: Hostile) -> Path:
    path = place / "hostile" / each.name
    each.write(path, place / "ran")
    return path


def everything(place: Path) -> set[str]:
    """All that lies beside the hostile file."""
    found = set()
    for folder, inner, files in os.walk(place):
        if folder == str(place):
            inner.remove("hostile")
        found |= {os.path.join(folder, name) for name in (*inner, *files)}
    return found


def checked(each: Hostile, place: Path, act: Callable[[], str]) -> str:
    """Do something with the file, and see that nothing else came of it than what it says."""
    before = everything(place)
    with bounded():
        said = act()
    left = {path for path in everything(place) - before if not path.startswith(str(place / "work" / "zoo"))}
    assert not left and not (place / "ran").exists()
    assert not NO_TEXT.search(said.replace("\n", "")) and said.encode() is not None
    return said


def through_the_library(each: Hostile, path: Path, stranger: Stranger) -> str:
    try:
        if each.role == WEIGHTS:
            return open_checkpoint("auto", path, stranger.data).title
        if each.role == EXPORTED:
            return open_exported(path, stranger.data).title
        if each.role == ACTIVATIONS:
            return open_activations(path).title
        return " ".join(load(each.data or str(path), root=path if each.data else None).class_names)
    except NmfdiagError as error:
        return f"error: {error}"


def options(each: Hostile, path: Path, stranger: Stranger) -> list[str]:
    data = each.data or str(path)
    return {
        WEIGHTS: [f"--weights={path}", "--data", stranger.data],
        EXPORTED: ["--exported", str(path), "--data", stranger.data],
        ACTIVATIONS: ["--activations", str(path)],
        SAMPLES: ["--weights", stranger.weights, f"--data={data}"],
        ROOT: ["--weights", stranger.weights, "--data", data],
    }[each.role]


def told(code: int, captured: pytest.CaptureFixture[str]) -> str:
    """What a command has said of the caller's mistake: one line, after its progress bar."""
    out, err = captured.readouterr()
    assert "Traceback" not in err
    if code == MISTAKE:
        last = err.rstrip("\n").split("\n")[-1]
        assert last.startswith("nmfdiag: ")
        return f"error: {last.removeprefix('nmfdiag: ')}"
    assert code in (OK, WRONG)
    return out


def as_expected(each: Hostile, said: str) -> None:
    if not each.words:
        return  # it is read; whether it fits the network is another matter
    if each.words == "lies":
        assert re.match(r"error: lies\.npz[: ].", said), said
    else:
        assert said.startswith("error: ") and re.search(each.words.removeprefix("^"), said), said


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("each", CORPUS, ids=[each.id for each in CORPUS])
def test_every_hostile_file_by_each_way_in(
    each: Hostile, place: Path, stranger: Stranger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(place, each)
    monkeypatch.setenv("NMFDIAG_DATA", str(path if each.data else place / "work"))
    said = checked(each, place, lambda: through_the_library(each, path, stranger))
    assert each.words or not said.startswith("error: "), said
    as_expected(each, said)
    command = ["diagnose", *options(each, path, stranger), "--preflight"]
    as_expected(each, checked(each, place, lambda: told(main(command), capsys)))
    if each.role == EXPORTED:
        return
    private = place / "private"
    private.mkdir()
    if not each.only_path:
        content = path.read_bytes() or b" "  # an empty one is not taken
        path = choosing.received(private, each.role, each.name, content, UPLOADS[each.role])
    command = open_command(opening(each, path, stranger))[3:]
    command.remove("--json")
    said = checked(each, place, lambda: told(main(command), capsys))
    as_expected(each, said.replace(path.name, each.name))


def opening(each: Hostile, path: Path, stranger: Stranger) -> Opening:
    """As the dashboard's form says it."""
    if each.role == ACTIVATIONS:
        return Opening("hostile", activations=path)
    if each.role == WEIGHTS:
        return Opening("hostile", weights=path, data=stranger.data)
    return Opening("hostile", weights=Path(stranger.weights), data=each.data or str(path))
