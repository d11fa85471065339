"""Hostile weights and folders of images in ``zoo add``: an error of one line that leaves nothing, or a complete network."""

import json
import os
import resource
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from file_bytes import png, png_of_depth
from hostile import NAMES, Hostile, write_folder
from hostile_checks import check_message, command_message, run_checked, write_case
from hostile_samples import images
from hostile_weights import checkpoints
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torchvision import models

from nmfdiag.cli import MISTAKE, OK, main
from nmfdiag.data import files
from nmfdiag.zoo import image_reader
from nmfdiag.zoo.registry import broken, refresh

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="pipes, devices and bounds on memory are Linux's"),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.usefixtures("in_this_process"),
]
ARCH = "squeezenet1_1"
COMPLETE_FILES = {"hostile", "pools", "pools/hostile-images.safetensors"} | {
    f"hostile/{name}" for name in ("entry.json", "labels.safetensors", "weights.safetensors")
}
WEIGHTS, SAMPLES = list(checkpoints()), list(images())
FOLDERS = [case for case in SAMPLES if case.only_path]
IMAGES = [case for case in SAMPLES if case.name == "images.zip" and case.message != "No images as"]
OTHER_MESSAGES = {
    "No images as": "needs at least 2 images|has no image of the 2 chosen classes|was not recognised",
    "Unknown data set": "Expected a folder CLASS/IMAGE",
    "fit no known architecture": f"don't fit {ARCH}",
}
"""Messages of ``zoo add`` where those of ``diagnose`` differ."""
BAD_NAMES = [
    "",
    ".",
    "..",
    "../x",
    "/etc",
    "a/../../x",
    "a\0b",
    "x" * 5000,
    os.fsdecode(b"a\xff"),
    "a\nb",
    "pools",
    *NAMES[:6],
]
"""Names that would lead out of the zoo, or are invalid."""
WORST_NAMES = {"", "../x", "a\0b", os.fsdecode(b"a\xff"), "pools"}


def both_roles(samples: list[Hostile]) -> list[Any]:
    """Return each as training samples and as test images; one of the latter, since the same code reads both."""
    return [
        pytest.param(role, case, id=f"{case.id}-{role}", marks=pytest.mark.soak if role == "test" and i else ())
        for i, case in enumerate(samples)
        for role in ("data", "test")
    ]


@pytest.fixture(autouse=True)
def refreshed_zoo() -> Iterator[None]:
    refresh()
    yield
    refresh()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Return a function that writes random weights with n outputs."""
    folder = tmp_path_factory.mktemp("weights")

    @cache
    def save(n: int) -> Path:
        save_file(models.get_model(ARCH, num_classes=n).state_dict(), folder / f"{n}.safetensors")
        return folder / f"{n}.safetensors"

    return save


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("good"))


def digits(folder: Path) -> Path:
    """Write two classes of two images each."""
    for i, pixels in enumerate(load_digits().images[:4]):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype("uint8")).save(folder / "ab"[i % 2] / f"{i // 2}.png")
    return folder


def command(weights: Path | str, data: Path, *options: str) -> list[str]:
    return [
        "zoo",
        "add",
        "hostile",
        "--arch",
        ARCH,
        f"--weights={weights}",
        f"--data={data}",
        "--per-class=2",
        *options,
    ]


def contents(zoo: Path) -> set[str]:
    return {str(path.relative_to(zoo)) for path in zoo.rglob("*")}


def add_network(place: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command, check that it left a complete network or nothing, and return its message."""
    message = run_checked(place, lambda: command_message(main(arguments), capsys))
    paths = contents(place / "work" / "zoo")
    if message.startswith("error: "):
        assert not paths
    else:
        assert paths == COMPLETE_FILES and main(["zoo", "verify", "hostile"]) == OK and not broken()
    return message


def check_message_of(case: Hostile, message: str) -> None:
    check_message(OTHER_MESSAGES.get(case.message, case.message), message)
    assert case.message or not message.startswith("error: "), message


@pytest.mark.parametrize("case", WEIGHTS, ids=[case.id for case in WEIGHTS])
def test_weights(case: Hostile, place: Path, good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_message_of(case, add_network(place, capsys, *command(write_case(place, case), good)))


@pytest.mark.parametrize(("role", "case"), both_roles(FOLDERS))
def test_folders(
    case: Hostile,
    role: str,
    place: Path,
    good: Path,
    weights: Callable[[int], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_case(place, case)
    data = path if role == "data" or not case.message else good
    n = 2 if case.message else len(os.listdir(path))
    check_message_of(case, add_network(place, capsys, *command(weights(n), data, f"--{role}={path}")))


@pytest.mark.parametrize(("role", "case"), both_roles(IMAGES))
def test_images_among_good_ones(
    case: Hostile,
    role: str,
    place: Path,
    good: Path,
    weights: Callable[[int], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    with zipfile.ZipFile(write_case(place, case)) as archive:
        archive.extractall(digits(place / "hostile" / "unpacked"))
    message = add_network(place, capsys, *command(weights(2), good, f"--{role}={place / 'hostile' / 'unpacked'}"))
    check_message_of(case, message)


@pytest.mark.parametrize("side", [1000, pytest.param(9400, marks=pytest.mark.soak)])
def test_an_image_as_large_as_is_taken(
    side: int, place: Path, weights: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data = digits(place / "hostile" / "large")
    (data / "a" / "0.png").write_bytes(png_of_depth(side, 16))
    assert add_network(place, capsys, *command(weights(2), data)).startswith("hostile: 2 classes")


def test_files_where_folders_are_wanted(
    place: Path, good: Path, weights: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(place / "hostile" / "pipe")
    for path in ("/dev/zero", place / "hostile" / "pipe", weights(2), place / "nowhere", f"{good}\0"):
        assert "Expected a folder CLASS/IMAGE" in add_network(place, capsys, *command(weights(2), Path(path)))
    pipe = place / "hostile" / "pipe"
    assert "Expected a folder CLASS/IMAGE" in add_network(place, capsys, *command(weights(2), good, f"--test={pipe}"))


def test_class_indices(
    place: Path, good: Path, weights: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    index = place / "hostile" / "index.json"
    os.mkfifo(index)
    for path in (index, Path("/dev/zero")):
        message = add_network(place, capsys, *command(weights(2), good, f"--class-index={path}"))
        assert "there is no such file" in message
    index.unlink()
    texts = ("[" * 10**5, "9" * 5000, '"ab"', '{"0": ["a", 1], "1": 2}', '{"0": ["a", "a"]}', "\ud800", " " * 2**23)
    for text in texts:
        index.write_text(text, errors="surrogatepass")
        message = add_network(place, capsys, *command(weights(2), good, f"--class-index={index}"))
        assert message.startswith("error: The class index index.json"), message
    index.write_text(json.dumps({str(i): ["ab"[i], NAMES[i] * 100 + "\ud800"] for i in range(2)}))
    assert add_network(place, capsys, *command(weights(2), good, f"--class-index={index}")).startswith(
        "hostile: 2 classes"
    )


def test_more_outputs_than_labels_are_kept_of(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = models.get_model(ARCH, num_classes=2).state_dict()
    weight = torch.zeros(1).expand(40_000, 512, 1, 1)
    state |= {"classifier.1.weight": weight, "classifier.1.bias": torch.zeros(40_000)}
    torch.save(state, place / "hostile" / "wide.pth")
    far = write_folder(place / "hostile" / "far", {f"3900{c}/{i}.png": png() for c in range(2) for i in range(2)})
    message = add_network(place, capsys, *command(place / "hostile" / "wide.pth", far))
    assert "has 40,000 outputs, accepted are 32,768" in message


def test_more_files_than_are_looked_at(
    place: Path, weights: Callable[[int], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = digits(place / "hostile" / "many")
    for i in range(300):
        (data / "a" / f"{i}.txt").touch()
    monkeypatch.setattr(files, "MAX_ENTRIES", 200)
    assert "holds more than 200 files" in add_network(place, capsys, *command(weights(2), data))
    flat = digits(place / "hostile" / "flat")
    for i in range(300):
        (flat / f"{i}.txt").touch()
    assert "holds more than 200 files" in add_network(place, capsys, *command(weights(2), flat))


def test_more_pixels_than_are_decoded(
    place: Path,
    good: Path,
    weights: Callable[[int], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    test = write_folder(place / "hostile" / "test", {f"a/{i}.png": png(side=100) for i in range(20)})
    monkeypatch.setattr(image_reader, "MAX_WORK", 100_000)
    assert "are too large to be unpacked together" in add_network(
        place, capsys, *command(weights(2), good, f"--test={test}")
    )


@pytest.mark.parametrize("full", ["the disk", "another file there"])
def test_what_can_not_be_written_whole_is_not_written(
    full: str, place: Path, good: Path, weights: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    zoo = place / "work" / "zoo"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    if full == "the disk":
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    else:
        zoo.mkdir()
        (zoo / "pools").touch()
    try:
        code = main(command(weights(2), good))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == MISTAKE and command_message(code, capsys).startswith("error: ")
    assert contents(zoo) <= {"pools"}


def test_a_folder_of_the_zoo_that_leads_out_is_not_written_into(
    place: Path, good: Path, weights: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "work" / "zoo").mkdir()
    (place / "outside").mkdir()
    (place / "work" / "zoo" / "hostile").symlink_to(place / "outside")
    message = run_checked(place, lambda: command_message(main(command(weights(2), good)), capsys))
    assert "The name 'hostile' is taken" in message and contents(place / "work" / "zoo") == {"hostile"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in WORST_NAMES else pytest.mark.soak, id=ascii(name)) for name in BAD_NAMES],
)
def test_names(
    name: str, place: Path, good: Path, weights: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "x").mkdir()
    (place / "x" / "entry.json").write_text('{"called": "../x"}')
    options = command(weights(2), good)[3:]
    sentences = {
        "add": ("A network's name is letters", options),
        "open": ("A network's name is letters", ["--arch", *options[1:4], "--normalization", "none"]),
        "train": ("No zoo network is called", ["--watch", str(place / "work" / "watched")]),
        "verify": ("The zoo has no network", []),
        "remove": ("The zoo has no network", []),
    }
    for verb, (sentence, arguments) in sentences.items():
        message = run_checked(
            place, lambda w=verb, m=arguments: command_message(main(["zoo", w, *m, "--", name]), capsys)
        )  # type: ignore[misc]
        assert message.startswith(f"error: {sentence}"), message
    assert not contents(place / "work" / "zoo") and (place / "x" / "entry.json").exists()


@pytest.mark.parametrize("word", ["../x", "x" * 5000, os.fsdecode(b"a\xff"), "$(touch ran)", "a\0b", NAMES[0]])
def test_words_for_architecture_and_classes(
    word: str, place: Path, good: Path, weights: Callable[[int], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "Unknown architecture" in add_network(place, capsys, *command(weights(2), good), f"--arch={word}")
    message = add_network(place, capsys, *command(weights(2), good), f"--classes={word}")
    assert message.startswith("error: Class ") and len(message) < 6000
