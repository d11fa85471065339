"""What other tools import, and what comes back from them. benchmarks/exports reads the files with the tools themselves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import nmfdiag
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.suspects.exports import (
    datalab_issues,
    fiftyone_dataset,
    label_studio_config,
    label_studio_tasks,
    read_label_studio,
)
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.zoo.registry import lookup

NOISY = "digits-mlp-p0.2-s0"
NAMES = ('a "b"', "<c>", "d & e", *"fghijkl")
N = 500


@pytest.fixture(scope="module")
def plain() -> Suspects:
    pool = lookup(NOISY).load_pool()
    return nmfdiag.suspects(lookup(NOISY).load_model(), pool.inputs[:N], pool.given_labels[:N])


@pytest.fixture(scope="module")
def suspects(plain: Suspects) -> Suspects:
    """Return suspects with names, files, and numbers other than their rows."""
    files = [f"{i % 7}/é {i}.png" for i in range(N)]
    return replace(plain.numbered(2 * np.arange(N) + 10, files), class_names=NAMES)


def test_datalab(plain: Suspects, suspects: Suspects) -> None:
    frame = datalab_issues(suspects)
    assert list(frame.columns) == ["is_label_issue", "label_score", "given_label", "predicted_label", "file"]
    assert list(frame.index) == [2 * i + 10 for i in range(N)] and list(frame["file"]) == list(suspects.file_names)
    n_wrong = round(suspects.noise_rate.estimate * N)
    assert suspects.noise_rate.is_clear and set(np.flatnonzero(frame["is_label_issue"])) == set(
        suspects.order[:n_wrong]
    )
    assert np.allclose(frame["label_score"], 1 - suspects.score)
    assert list(frame["given_label"]) == [NAMES[c] for c in suspects.given]
    expected = np.where(frame["is_label_issue"], suspects.suggested, suspects.given)
    assert list(frame["predicted_label"]) == [NAMES[c] for c in expected]
    numbered = datalab_issues(
        replace(plain, class_names=tuple("0123456789"), noise_rate=replace(plain.noise_rate, estimate=0.0, low=0.0))
    )
    assert list(numbered["given_label"]) == plain.given.tolist() and not numbered["is_label_issue"].any()
    assert "file" not in numbered


def test_fiftyone(plain: Suspects, suspects: Suspects) -> None:
    samples = fiftyone_dataset(suspects, "/data")["samples"]
    row = suspects.order[3]
    assert len(samples) == N and samples[3] == {
        "filepath": f"/data/{suspects.file_names[row]}",
        "tags": ["label issue"],
        "ground_truth": {"_cls": "Classification", "label": NAMES[suspects.given[row]]},
        "suggestion": {
            "_cls": "Classification", "label": NAMES[suspects.suggested[row]], "confidence": float(suspects.confidence[row]),
        },
        "mistakenness": suspects.score[row],
        "layers_against": suspects.layers_against[row],
        "index": 2 * row + 10,
    }  # fmt: skip
    assert samples[-1]["tags"] == []
    with pytest.raises(NmfdiagError, match="these samples have none"):
        fiftyone_dataset(plain)


def test_label_studio_shows_images_by_their_address(plain: Suspects, suspects: Suspects) -> None:
    tasks = label_studio_tasks(suspects, 4, files_at="/data/local-files/?d=")
    row = suspects.order[0]
    assert len(tasks) == 4 and len(label_studio_tasks(suspects)) == N
    assert tasks[0]["data"] == {
        "image": f"/data/local-files/?d={row % 7}/%C3%A9%20{row}.png", "index": 2 * row + 10, "given": NAMES[suspects.given[row]],
        "score": suspects.score[row],
    }  # fmt: skip
    [prediction] = tasks[0]["predictions"]
    config = ElementTree.fromstring(label_studio_config(suspects, with_images=True))
    [control], [image] = config.findall("Choices"), config.findall("Image")
    assert [choice.get("value") for choice in control] == list(NAMES) and image.get("value") == "$image"
    assert prediction["result"] == [{
        "from_name": control.get("name"), "to_name": image.get("name"), "type": "choices",
        "value": {"choices": [NAMES[suspects.suggested[row]]]},
    }]  # fmt: skip
    assert label_studio_tasks(suspects, 1)[0]["data"]["image"] == suspects.file_names[row]
    assert label_studio_tasks(plain, 1)[0]["data"]["text"] == f"Sample {row}, given label {plain.given[row]}"
    assert ElementTree.fromstring(label_studio_config(plain, with_images=False)).find("Text") is not None
    assert label_studio_tasks(plain, 1, images={int(row): "data:x"})[0]["data"]["image"] == "data:x"
    with pytest.raises(NmfdiagError, match="must hold one for each of the 2 tasks"):
        label_studio_tasks(plain, 2, images={int(row): "data:x"})


def annotated(tasks: list[dict[str, Any]], *choices: str | None) -> list[dict[str, Any]]:
    """Return tasks as Label Studio exports them; None stands for a skipped task."""
    return [
        {**task, "id": i, "annotations": [{
            "id": i, "was_cancelled": choice is None,
            "result": [] if choice is None else [{"from_name": "label", "to_name": "sample", "type": "choices", "value": {"choices": [choice]}}],
        }]}
        for i, (task, choice) in enumerate(zip(tasks, choices, strict=False))
    ]  # fmt: skip


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_what_was_decided_comes_back(suspects: Suspects, tmp_path: Path) -> None:
    tasks = label_studio_tasks(suspects, 5)
    indices = [task["data"]["index"] for task in tasks]
    given_names = [task["data"]["given"] for task in tasks]
    other_name = next(name for name in NAMES if name != given_names[1])
    export = annotated(tasks, given_names[0], other_name, None, given_names[3])
    export[3]["annotations"] += annotated(tasks[3:], other_name if given_names[3] != other_name else NAMES[5])[0][
        "annotations"
    ]
    decisions = read_label_studio(write(tmp_path / "json.json", export), suspects)
    assert decisions.labels == {indices[0]: NAMES.index(given_names[0]), indices[1]: NAMES.index(other_name)}
    assert decisions.undecided == (indices[2], indices[3])
    assert decisions.wrong == (indices[1],) and decisions.precision == 0.5
    flat = [
        {**task["data"], "id": i, "label": choice}
        for i, (task, choice) in enumerate(zip(tasks, (given_names[0], other_name), strict=False))
    ]
    short = read_label_studio(write(tmp_path / "min.json", [*flat, tasks[2]["data"]]), suspects)
    assert short.labels == decisions.labels and short.undecided == ()
    assert read_label_studio(write(tmp_path / "none.json", []), suspects).precision is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "x.json can't be read as JSON"),
        ("[" * 100_000, "x.json can't be read as JSON"),
        ({"a": 1}, "x.json is no annotated export of these tasks: expected a list whose objects have data.index"),
        ([{"data": {"index": "1"}}], "expected a list whose objects have data.index"),
        ([{"data": {"index": 11}}], "named by whole numbers from 10 to 1008"),
        ([{"data": {"index": 10**30}}], "named by whole numbers from 10 to 1008"),
        ([{"index": 10, "label": "zebra"}], "sample 10 was given the class 'zebra', which the network doesn't have"),
    ],
)
def test_what_is_no_export_of_these_tasks(suspects: Suspects, tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        read_label_studio(write(tmp_path / "x.json", content), suspects)
    with pytest.raises(NmfdiagError, match="can't be read as JSON"):
        read_label_studio(tmp_path / "nowhere.json", suspects)
