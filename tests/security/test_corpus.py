"""Every hostile file by each entry point: an error or an answer, no code run, limited memory and time, nothing written outside."""

import sys
from pathlib import Path

import pytest
from corpus import CORPUS
from foreign_network import Stranger
from hostile import ACTIVATIONS, EXPORTED, ROOT, SAMPLES, WEIGHTS, Hostile
from hostile_checks import check_message, command_message, run_checked, write_case

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


def through_the_library(case: Hostile, path: Path, stranger: Stranger) -> str:
    try:
        if case.role == WEIGHTS:
            return open_checkpoint("auto", path, stranger.data).title
        if case.role == EXPORTED:
            return open_exported(path, stranger.data).title
        if case.role == ACTIVATIONS:
            return open_activations(path).title
        return " ".join(load(case.data or str(path), root=path if case.data else None).class_names)
    except NmfdiagError as error:
        return f"error: {error}"


def options(case: Hostile, path: Path, stranger: Stranger) -> list[str]:
    data = case.data or str(path)
    return {
        WEIGHTS: [f"--weights={path}", "--data", stranger.data],
        EXPORTED: ["--exported", str(path), "--data", stranger.data],
        ACTIVATIONS: ["--activations", str(path)],
        SAMPLES: ["--weights", stranger.weights, f"--data={data}"],
        ROOT: ["--weights", stranger.weights, "--data", data],
    }[case.role]


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("case", CORPUS, ids=[case.id for case in CORPUS])
def test_every_hostile_file_by_each_way_in(
    case: Hostile, place: Path, stranger: Stranger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_case(place, case)
    monkeypatch.setenv("NMFDIAG_DATA", str(path if case.data else place / "work"))
    message = run_checked(place, lambda: through_the_library(case, path, stranger))
    assert case.message or not message.startswith("error: "), message
    check_message(case.message, message)
    command = ["diagnose", *options(case, path, stranger), "--preflight"]
    check_message(case.message, run_checked(place, lambda: command_message(main(command), capsys)))
    if case.role == EXPORTED:
        return
    private = place / "private"
    private.mkdir()
    if not case.only_path:
        content = path.read_bytes() or b" "  # an empty upload is refused
        path = browse.save_upload(private, case.role, case.name, content, UPLOADS[case.role])
    command = open_command(opening(case, path, stranger))[3:]
    command.remove("--json")
    message = run_checked(place, lambda: command_message(main(command), capsys))
    check_message(case.message, message.replace(path.name, case.name))


def opening(case: Hostile, path: Path, stranger: Stranger) -> Opening:
    """Return what the dashboard's form opens."""
    if case.role == ACTIVATIONS:
        return Opening("hostile", activations=path)
    if case.role == WEIGHTS:
        return Opening("hostile", weights=path, data=stranger.data)
    return Opening("hostile", weights=Path(stranger.weights), data=case.data or str(path))
