"""``suspects`` and the report's section: the library's answer, in the user's own numbers and file names, and exit codes."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from foreign_network import make_stranger
from markupsafe import escape
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

import nmfdiag
from nmfdiag.cli import MISTAKE, OK, WRONG, main
from nmfdiag.commands.report import _affordable
from nmfdiag.measures.suspects.history import TrainingHistory
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.zoo.registry import lookup

NOISY = "digits-mlp-p0.2-s0"
N = 300
NAMES = tuple("null one two three four five six seven eight nine".split())
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def result() -> Suspects:
    pool = lookup(NOISY).load_pool()
    return nmfdiag.suspects(lookup(NOISY).load_model(), pool.inputs, pool.given_labels)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 300 samples of the noisy network as an .npz and as a folder whose classes are in another order than the outputs' names."""
    entry, folder = lookup(NOISY), tmp_path_factory.mktemp("own")
    images = load_file(entry.files["pool"])["inputs"][:N].numpy()
    labels = load_file(entry.files["labels"])["given"][:N].numpy().astype(int)
    np.savez(folder / "digits.npz", x=images, y=labels)
    np.savez(folder / "same.npz", x=images[:1].repeat(100, 0), y=labels[:100])
    np.savez(folder / "alike.npz", x=images[:20], y=np.zeros(20, int))
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / "images" / f"{label}{NAMES[label]}" / f"{(i * 7) % N:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    return folder


@pytest.fixture(scope="module")
def stranger_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stranger")
    make_stranger(folder, exported=False)
    (folder / "runs" / "first").mkdir(parents=True)
    (folder / "runs" / "first" / "run.jsonl").write_text("{}\n")
    return folder


def by_weights(own: Path, data: str) -> list[str]:
    entry = lookup(NOISY)
    mean, std = entry.mean[0], entry.std[0]
    return [
        "--arch",
        "mlp",
        "--weights",
        str(entry.files["weights"]),
        "--data",
        str(own / data),
        f"--normalization={mean}/{std}",
    ]


def answer(capsys: Capture, *command: str, code: int = OK) -> dict[str, Any]:
    assert main(["suspects", *command, "--json", "-"]) == code, capsys.readouterr().err
    return dict(json.loads(capsys.readouterr().out))


def test_a_zoo_network_in_json(capsys: Capture, result: Suspects) -> None:
    record = answer(capsys, NOISY, "--fail-above", "0.05", code=WRONG)
    assert record["name"] == NOISY and record["check"]["failed"] is True
    assert record["noise_rate"]["estimate"] == result.noise_rate.estimate
    assert [s["index"] for s in record["suspects"]] == result.indices[result.order].tolist()
    wrong = (result.given != lookup(NOISY).load_pool().true_labels.numpy()).astype(int)
    truth = record["by_true_labels"]
    assert truth["auroc"] == pytest.approx(roc_auc_score(wrong, result.score))
    assert truth["low"] < truth["auroc"] < truth["high"] and truth["n_wrong"] == wrong.sum()
    assert truth["precision_at_number"] == pytest.approx(wrong[result.order[: wrong.sum()]].mean())


def test_the_table_has_the_answer_first(capsys: Capture, result: Suspects, tmp_path: Path) -> None:
    files = ["--csv", str(tmp_path / "s.csv"), "--json", str(tmp_path / "s.json")]
    assert main(["suspects", NOISY, "--top", "7", *files, "--fail-above", "0.9"]) == OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == result.noise_rate.statement and "class" in lines[1] and "AUROC" in lines[2]
    head = lines.index("sample  given  suggested  score  confidence  layers against")
    assert [int(line.split()[0]) for line in lines[head + 1 : head + 8]] == result.order[:7].tolist() and lines[
        head + 8
    ] == ""
    assert "is not above 90 %" in lines[-2] and lines[-1] == f"Written: {tmp_path / 's.csv'}, {tmp_path / 's.json'}"
    assert list(pd.read_csv(tmp_path / "s.csv")["index"]) == result.order.tolist()
    assert json.loads((tmp_path / "s.json").read_text())["suspects"][0]["index"] == result.order[0]


def test_own_images_have_their_files_and_names(capsys: Capture, own: Path, tmp_path: Path) -> None:
    tools = [("datalab", "d.csv"), ("fiftyone", "samples.json"), ("label-studio", "t.json")]
    exports = [text for tool, name in tools for text in ("--export", tool, str(tmp_path / name))]
    record = answer(
        capsys, *by_weights(own, "images"), "--per-class", "20", "--top", "5", *exports, "--files-at", "/local?d="
    )
    listed = sorted(path.relative_to(own / "images").as_posix() for path in (own / "images").rglob("*.png"))
    suspects = record["suspects"]
    assert len(suspects) == 200 and [listed[s["index"]] for s in suspects] == [s["file"] for s in suspects]
    assert all(s["file"].startswith(str(s["given"])) for s in suspects) and record["by_true_labels"] is None
    assert "200 of images, up to 20 a class" in record["provenance"]["samples"]
    assert record["files"] == [str(tmp_path / name) for name in ("d.csv", "samples.json", "t.json", "t.xml")]
    issues = pd.read_csv(tmp_path / "d.csv", index_col="index")
    assert list(issues.index) == sorted(s["index"] for s in suspects)
    assert all(file.split("/")[0] == name for file, name in zip(issues["file"], issues["given_label"], strict=True))
    first = json.loads((tmp_path / "samples.json").read_text())["samples"][0]
    assert Path(first["filepath"]) == own / "images" / suspects[0]["file"]
    tasks = json.loads((tmp_path / "t.json").read_text())
    assert [task["data"]["index"] for task in tasks] == [s["index"] for s in suspects[:5]]
    assert tasks[0]["data"]["image"] == f"/local?d={suspects[0]['file']}"


def test_what_is_printed_in_another_form(capsys: Capture, own: Path) -> None:
    assert main(["suspects", *by_weights(own, "digits.npz"), "--format", "label-studio", "--top", "2"]) == OK
    tasks = json.loads(capsys.readouterr().out)
    images = np.load(own / "digits.npz")["x"]
    for task in tasks:  # a sample without a file is shown as it is stored, enlarged
        content = base64.b64decode(task["data"]["image"].removeprefix("data:image/png;base64,"))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(content)))[::12, ::12], images[task["data"]["index"], 0])
    assert len(tasks) == 2
    assert main(["suspects", *by_weights(own, "digits.npz"), "--format", "csv"]) == OK
    assert len(pd.read_csv(io.StringIO(capsys.readouterr().out))) == N


def test_a_history_belongs_to_the_samples_own_numbers(capsys: Capture, own: Path, tmp_path: Path) -> None:
    TrainingHistory.from_arrays({"margin": np.arange(N - 50.0)}).save(tmp_path / "history.npz")
    record = answer(
        capsys, *by_weights(own, "digits.npz"), "--per-class", "10", "--history", str(tmp_path), "--nmf-ratio"
    )
    by_number = sorted(record["suspects"], key=lambda s: s["index"])
    assert all("nmf_ratio" in s for s in by_number)
    recorded = [s["history"] for s in by_number if s["index"] < N - 50]
    assert recorded == sorted(recorded, reverse=True) and len(set(recorded)) == len(recorded) > 50
    assert [s["history"] for s in by_number if s["index"] >= N - 50] == [None] * (100 - len(recorded))


def test_a_check_that_nothing_can_be_told_for_fails(capsys: Capture, own: Path) -> None:
    record = answer(capsys, *by_weights(own, "same.npz"), "--fail-above", "0.5", code=WRONG)
    assert "can't be told" in record["noise_rate"]["statement"] and "can't be told" in record["check"]["text"]
    assert record["most_suspicious_class"] is None


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([NOISY, "--top", "-1"], "--top must be 0 or more"),
        ([NOISY, "--per-class", "1"], "--per-class must be 2 or more"),
        ([NOISY, "--fail-above", "nan"], r"--fail-above must lie in \[0, 1\), got nan"),
        ([NOISY, "--json", "foo"], "--json takes FILE.json, or - to print, got 'foo'"),
        ([NOISY, "--json", "no/folder.json"], "There is no folder no to write folder.json into"),
        ([NOISY, "--export", "excel", "x"], "knows no 'excel': accepted are datalab, fiftyone, label-studio"),
        ([NOISY, "--format", "fiftyone"], "these samples have none: give an image folder"),
        ([NOISY, "--history", "h.npz"], "digits-mlp-p0.2-s0 of the zoo was trained without one"),
        (["runs/first"], "a training run, which holds neither weights nor samples.*--history runs/first where"),
        (["runs/first/run.jsonl"], "a training run, which holds neither weights nor samples.*--history runs/first where"),
        (["samples.npz"], "samples.npz is a file or folder, not the name of a zoo network"),
        (["nope"], "The zoo has no network 'nope'"),
        (["--arch", "mlp", "--weights", "weights.pt", "--data", "samples.npz", "--history", "runs/first"], "it has none: name the file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(
    stranger_folder: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: list[str], message: str
) -> None:
    monkeypatch.chdir(stranger_folder)
    assert main(["suspects", *command]) == MISTAKE
    output = capsys.readouterr()
    assert re.search(message, output.err) and output.out == ""


def test_json_before_the_name(capsys: Capture) -> None:
    assert main(["suspects", "--json", "digits-mlp-p9-s9"]) == MISTAKE
    assert "no network 'digits-mlp-p9-s9'" in json.loads(capsys.readouterr().err)["error"]


def report(capsys: Capture, folder: Path, *command: str) -> tuple[str, dict[str, Any]]:
    path = folder / "r.html"
    assert main(["report", *command, "--per-class", "5", "--html", str(path), "--json"]) == OK
    return path.read_text(encoding="utf-8"), json.loads(capsys.readouterr().out)


def test_the_report_shows_the_most_suspicious_samples(capsys: Capture, result: Suspects, tmp_path: Path) -> None:
    page, record = report(capsys, tmp_path, NOISY, "--layers", "fc1", "--classes", "0")
    without, same = report(capsys, tmp_path, NOISY, "--layers", "fc1", "--classes", "0", "--suspects", "0")
    assert record == same and "suspects" not in record
    assert (
        result.noise_rate.statement in page
        and "Which labels look wrong?" in page
        and "Which labels look wrong?" not in without
    )
    figures = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)
    assert len(figures) == 50 and "<figure>" not in without
    images = load_file(lookup(NOISY).files["pool"])["inputs"].numpy()
    for figure, row in zip(figures[:3], result.order, strict=False):
        assert f"sample {row}<" in figure and f"<b>{result.given[row]}</b> → {result.suggested[row]}<" in figure
        content = base64.b64decode(figure.split("base64,")[1].split('"')[0])
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(content)))[::12, ::12], images[row, 0])


@pytest.mark.parametrize(
    ("n_classes", "n_values", "expected"),
    [
        (10, 64, 300),
        (10, 3072, 300),
        (2, 3072, 1500),
        (10, 3 * 224 * 224, 20),
        (100, 3072, 30),
        (150, 3072, 20),
        (1000, 64, 0),
        (100, 3 * 224 * 224, 0),
    ],
)
def test_what_the_report_judges_by_default_takes_half_a_minute(n_classes: int, n_values: int, expected: int) -> None:
    assert _affordable(n_classes, n_values) == expected


def test_the_report_of_own_samples(capsys: Capture, stranger_folder: Path, own: Path, tmp_path: Path) -> None:
    activations = ["--activations", str(stranger_folder / "activations.npz")]
    page, _ = report(capsys, tmp_path, *activations)
    assert "Which labels look wrong?" in page and "(16 values)" in page and "<figure>" not in page
    page, _ = report(capsys, tmp_path, *by_weights(own, "alike.npz"), "--layers", "fc1")
    assert escape("Not looked for: All samples have the same given label") in page
    page, _ = report(capsys, tmp_path, *by_weights(own, "images"), "--layers", "fc1", "--suspects", "20")
    files = [text for text in re.findall(r'class="small">([^<]*)<', page) if text.endswith(".png")]
    assert len(files) == 50 and all((own / "images" / file).is_file() for file in files)
    assert "of 200 training samples, up to 20 of each class" in page
    assert (
        main(["report", NOISY, "--suspects", "1"]) == MISTAKE
        and "--suspects must be 0, or 2" in capsys.readouterr().err
    )
