"""Files that the dashboard offers to open, and the process that opens them: nothing outside the folders, nothing left behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from own_network import copy_network
from safetensors.numpy import load_file
from timeouts import wait_until

from nmfdiag.data.datasets import load
from nmfdiag.data.files import IMAGE_SUFFIXES
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.browse import (
    IMAGES,
    SAMPLES,
    WEIGHTS,
    data_sets,
    files,
    image_folders,
    path_inside,
    proposed_name,
    samples,
    save_upload,
)
from nmfdiag.jobs.child_process import State
from nmfdiag.jobs.open_process import (
    EXAMPLE,
    EXAMPLE_NAME,
    Opener,
    Opening,
    check_of,
    example,
    open_command,
    opened_networks,
)
from nmfdiag.networks.architectures import TORCHVISION_NAMES, torchvision_names
from nmfdiag.zoo.registry import lookup, refresh, remove, user_zoo


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_weights_are_listed_by_kind_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in (
        "b.pt",
        "A.safetensors",
        "runs/c.ckpt",
        "notes.txt",
        ".hidden.pt",
        ".git/d.pt",
        "x\n.pt",
        "1/2/3/deep.pt",
    ):
        write(tmp_path / name)
    assert files(tmp_path, WEIGHTS) == ["A.safetensors", "b.pt", "runs/c.ckpt"]
    assert files(tmp_path / "nowhere", WEIGHTS) == []


def test_nothing_outside_the_folder_is_listed_or_opened(tmp_path: Path) -> None:
    secret, root = write(tmp_path / "secret.pt"), tmp_path / "models"
    inside = write(root / "mine.pt")
    (root / "leads-out.pt").symlink_to(secret)
    (root / "same.pt").symlink_to(inside)
    (root / "around").symlink_to(root)
    (root / "loop.pt").symlink_to(root / "loop.pt")
    assert files(root, WEIGHTS) == ["mine.pt", "same.pt"]
    assert path_inside(root, "mine.pt") == path_inside(root, "same.pt") == inside.resolve()
    for name in ("leads-out.pt", "../secret.pt", str(secret), ".", ""):
        with pytest.raises(NmfdiagError, match="not inside"):
            path_inside(root, name)
    with pytest.raises(NmfdiagError, match="no longer"):
        path_inside(root, "gone.pt")


def test_folders_of_images_are_found_and_known_data_sets_left_out(tmp_path: Path) -> None:
    for name in (
        "pets/cat/1.png",
        "pets/dog/1.JPG",
        "split/train/a/1.png",
        "split/train/b/1.png",
        "one/cat/1.png",
        "x/y/z.txt",
    ):
        write(tmp_path / name)
    write(tmp_path / "arrays.npz")
    write(tmp_path / "cifar10_jpeg.zip")
    assert image_folders(tmp_path) == ["pets", "split"]
    assert samples(tmp_path) == ["arrays.npz", "pets", "split"]
    assert data_sets(tmp_path) == ["digits", "cifar10"]


def test_every_architecture_that_is_offered_is_known() -> None:
    assert set(TORCHVISION_NAMES) <= set(torchvision_names())


@pytest.mark.real_data
def test_images_that_are_listed_are_those_that_are_read() -> None:
    assert IMAGES == IMAGE_SUFFIXES


def test_a_data_set_counts_as_there_only_if_it_can_be_loaded(data_root: Path) -> None:
    available = data_sets(data_root)
    assert {"digits", "fashion_mnist", "cifar10", "spoken_digits"} <= set(available) and "svhn" not in available
    with pytest.raises(NmfdiagError):
        load("svhn", root=data_root)


def test_an_upload_gets_a_safe_name_in_its_own_folder(tmp_path: Path) -> None:
    path = save_upload(tmp_path, "weights", "../../etc/p a\nsswd.PT", memoryview(b"abc"), WEIGHTS)
    assert path == tmp_path / "weights" / "etc-p-a-sswd.pt" and path.read_bytes() == b"abc"
    with pytest.raises(NmfdiagError, match=r"one of \.npz, \.zip"):
        save_upload(tmp_path, "samples", "x.npz.exe", b"abc", SAMPLES)
    with pytest.raises(NmfdiagError, match="is empty"):
        save_upload(tmp_path, "samples", "x.npz", b"", SAMPLES)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my net (v2)", "my-net-v2"),
        ("../../x", "x"),
        ("", "network"),
        ("ü", "network"),
        ("a" * 99, "a" * 60),
        (EXAMPLE, f"{EXAMPLE}-2"),
        ("digits", "digits-2"),
    ],
)
def test_a_name_is_proposed_that_the_zoo_takes(text: str, name: str) -> None:
    assert proposed_name(text) == name


def test_the_command_names_files_and_never_a_shell(tmp_path: Path) -> None:
    command = open_command(
        Opening("mine", tmp_path / "a b; c.pt", str(tmp_path / "-x.npz"), "vgg19", "-1/2", "224", True, True)
    )
    assert command[:6] == [sys.executable, "-m", "nmfdiag", "zoo", "open", "mine"]
    assert command[command.index("--weights") + 1] == str(tmp_path / "a b; c.pt") and "vgg19" in command
    assert command[-2:] == ["--normalization=-1/2", "--size=224"] and {"--signed", "--replace"} < set(command)
    assert open_command(Opening("mine", tmp_path / "a.pt", "a.npz", train_size=50_000))[-1] == "--train-size=50000"
    command = open_command(Opening("mine", activations=tmp_path / "a.npz"))
    assert not {"--weights", "--signed", "--replace"} & set(command) and command[-2:] == [
        "--activations",
        str(tmp_path / "a.npz"),
    ]


def test_the_example_brings_a_shipped_networks_weights_and_given_labels(tmp_path: Path) -> None:
    opening = example(tmp_path)
    assert opening.weights is not None and len(load_file(opening.weights)) > 10
    data, pool = load(opening.data), lookup(EXAMPLE).load_pool()
    assert data.labels.tolist() == pool.given_labels.tolist() and len(set(data.labels.tolist())) == 10
    assert data.inputs.shape == pool.inputs.shape


# The process, with a stand-in for the command: Python code that gets the private folder as its argument.


@pytest.fixture
def own_zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path / "zoo"))
    refresh()
    yield tmp_path / "zoo"
    refresh()


def waiting_for(path: Path) -> str:
    """Code that goes on once there is a file."""
    return f"import os, time; [time.sleep(0.01) for _ in iter(lambda: os.path.exists({str(path)!r}), True)]"


def script(code: str, **options: float) -> Opener:
    return Opener(lambda opening: [sys.executable, "-c", code, str(opening.weights), opening.name], **options)


def prepared(folder: Path) -> Opening:
    return Opening("mine", weights=save_upload(folder, "weights", "w.pt", b"abc", WEIGHTS))


def waited(opener: Opener, until: Callable[[State], bool]) -> State:
    wait_until(lambda: until(opener.state()))
    return opener.state()


def pid_of(place: Path) -> int:
    wait_until(lambda: place.exists() and place.read_text())
    return int(place.read_text())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" if Path("/proc/self").exists() else True


def test_an_upload_is_private_while_it_is_read_and_gone_afterwards(own_zoo: Path) -> None:
    folders: list[Path] = []
    go = own_zoo.with_name("go")
    opener = script(f"import sys; assert open(sys.argv[1]).read() == 'abc'; {waiting_for(go)}; sys.exit('was read')")
    opener.start(lambda folder: (folders.append(folder), prepared(folder))[1])
    assert folders[0].stat().st_mode & 0o777 == 0o700
    go.touch()
    assert waited(opener, lambda state: not state.running) == State("mine", problem="was read")
    assert not folders[0].exists()


def test_how_far_it_is_comes_from_the_commands_bar(own_zoo: Path) -> None:
    code = "import sys, time; sys.stderr.write('  7%|#  | 00:01 reading\\r 42%|### | 00:02 accuracy at 0..1'); sys.stderr.flush(); time.sleep(600)"
    opener = script(code)
    opener.start(prepared)
    wait_until(lambda: opener.progress()[0] > 0)
    assert opener.progress() == (0.42, "accuracy at 0..1") and opener.state() == State("mine", running=True)
    with pytest.raises(NmfdiagError, match="one at a time"):
        opener.start(prepared)
    opener.cancel()
    assert opener.state() == State("mine")
    opener.dismiss()
    assert opener.state() == State()


def test_cancel_ends_the_process_and_what_it_has_started(own_zoo: Path, tmp_path: Path) -> None:
    place = tmp_path / "pid"
    inner = f"import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open({str(place)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    opener = script(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])")
    opener.start(prepared)
    pid = pid_of(place)
    opener.cancel()
    waited(opener, lambda state: not state.running)
    wait_until(lambda: not alive(pid))
    assert opener.state() == State("mine")


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (
            "import sys; sys.exit('10%|#| 0:00 x' + chr(10) + '{\"error\": \"conv1: \\\\u03b1 too *few*\"}')",
            "conv1: α too *few*",
        ),
        ("raise SystemExit(3)", "code 3"),
        ("import os; os.kill(os.getpid(), 9)", "too much memory"),
        ("import time; time.sleep(600)", "took longer than"),
        ("print('no json')", "can't be read"),
        ('print(\'{"preflight": {}, "problems": [], "provenance": {}}\')', "has no network"),
    ],
    ids=["json", "silent", "killed", "late", "no answer", "no network"],
)
def test_why_it_failed_is_told(own_zoo: Path, code: str, problem: str) -> None:
    opener = script(code, longest=0.5 if "sleep" in code else 60)
    opener.start(prepared)
    state = waited(opener, lambda state: not state.running)
    assert problem in state.problem and not state.succeeded
    opener.start(prepared)  # and it can be tried again
    opener.cancel()


def test_a_taken_name_and_a_missing_program_are_told_at_once(own_zoo: Path, tmp_path: Path) -> None:
    left = set(Path(tmp_path).iterdir())
    with pytest.raises(NmfdiagError, match="is taken"):
        script("").start(lambda folder: Opening(EXAMPLE))
    with pytest.raises(NmfdiagError, match="can't be opened"):
        Opener(lambda opening: ["/no/such/program"]).start(prepared)
    assert set(Path(tmp_path).iterdir()) == left


def test_what_was_found_is_kept_beside_the_network_which_can_be_removed(own_zoo: Path) -> None:
    copy_network("older", own_zoo)
    copy_network("other", own_zoo)
    os.utime(own_zoo / "older" / "entry.json", (1, 1))
    refresh()
    check = {"preflight": {"accuracy": 0.5}, "problems": [], "provenance": {}}
    go = own_zoo.with_name("go")
    opener = script(f"{waiting_for(go)}; print({json.dumps(check | {'name': 'mine'})!r})")
    opener.start(prepared)
    copy_network("mine", own_zoo)  # the command's part
    go.touch()
    state = waited(opener, lambda state: not state.running)
    assert state == State("mine", succeeded=True)
    assert check_of(lookup("mine")) == check and check_of(lookup("other")) == {}
    assert list(opened_networks())[-1] == "older" and set(opened_networks()) == {"mine", "other", "older"}
    remove(lookup("mine"))
    assert set(opened_networks()) == {"other", "older"} and not (own_zoo / "mine").exists()
    assert not (own_zoo / "pools" / "mine.safetensors").exists() and (own_zoo / "pools" / "other.safetensors").exists()


def test_only_the_users_own_networks_are_removed(own_zoo: Path) -> None:
    with pytest.raises(NmfdiagError, match="not removed"):
        remove(lookup(EXAMPLE))
    assert lookup(EXAMPLE).files["weights"].is_file() and user_zoo() == own_zoo


def test_it_is_asked_for_without_torch() -> None:
    modules = "nmfdiag.jobs.open_process, nmfdiag.jobs.browse, nmfdiag.views.your_network"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.soak  # tests/test_browser_own.py opens it too
def test_the_command_opens_the_example_as_it_was_before_it_was_exported(own_zoo: Path) -> None:
    opener = Opener()
    opener.start(example)
    state = waited(opener, lambda state: not state.running)
    assert state == State(EXAMPLE_NAME, succeeded=True)
    entry, check = lookup(EXAMPLE_NAME), check_of(lookup(EXAMPLE_NAME))
    assert entry.layers == lookup(EXAMPLE).layers and entry.pool_accuracy == check["preflight"]["accuracy"] > 0.98
    assert [layer["name"] for layer in check["preflight"]["layers"]] == list(entry.layers)
    assert check["provenance"]["network"].startswith("cnn") and check["provenance"]["normalization"].startswith("data")
    remove(entry)
    assert not any(own_zoo.glob("*/*"))
