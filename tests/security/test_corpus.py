"""Every hostile file through each way in: a named error or a plain answer, no code run, memory and time bounded, nothing written outside."""

import sys
from pathlib import Path

import pytest
from corpus import CORPUS
from foreign_network import Stranger
from hostile import ACTIVATIONS, EXPORTED, ROOT, SAMPLES, WEIGHTS, Hostile
from hostile_checks import as_expected, checked, told, written

from nmfdiag.cli import main
from nmfdiag.data.datasets import load
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import browse
from nmfdiag.jobs.open_process import Opening, open_command
from nmfdiag.zoo.open_network import open_activations, open_checkpoint, open_exported

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="pipes, devices and bounds on memory are Linux's"),
    pytest.mark.filterwarnings("ignore"),
]
UPLOADS = {WEIGHTS: browse.WEIGHTS, SAMPLES: browse.SAMPLES, ACTIVATIONS: browse.ACTIVATIONS}


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


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("each", CORPUS, ids=[each.id for each in CORPUS])
def test_every_hostile_file_by_each_way_in(
    each: Hostile, place: Path, stranger: Stranger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(place, each)
    monkeypatch.setenv("NMFDIAG_DATA", str(path if each.data else place / "work"))
    said = checked(place, lambda: through_the_library(each, path, stranger))
    assert each.words or not said.startswith("error: "), said
    as_expected(each.words, said)
    command = ["diagnose", *options(each, path, stranger), "--preflight"]
    as_expected(each.words, checked(place, lambda: told(main(command), capsys)))
    if each.role == EXPORTED:
        return
    private = place / "private"
    private.mkdir()
    if not each.only_path:
        content = path.read_bytes() or b" "  # an empty one is not taken
        path = browse.save_upload(private, each.role, each.name, content, UPLOADS[each.role])
    command = open_command(opening(each, path, stranger))[3:]
    command.remove("--json")
    said = checked(place, lambda: told(main(command), capsys))
    as_expected(each.words, said.replace(path.name, each.name))


def opening(each: Hostile, path: Path, stranger: Stranger) -> Opening:
    """As the dashboard's form says it."""
    if each.role == ACTIVATIONS:
        return Opening("hostile", activations=path)
    if each.role == WEIGHTS:
        return Opening("hostile", weights=path, data=stranger.data)
    return Opening("hostile", weights=Path(stranger.weights), data=each.data or str(path))
