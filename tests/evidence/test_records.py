"""Records are read as written; killed runs stay readable and can be resumed; damage is reported."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence.records import RECORDS_FOLDER, histories, network_records
from nmfdiag.monitor.run_reader import append
from nmfdiag.zoo.experiments import AXES, BATCHES, GENERALIZATION, Definition

LAYERS = ["a", "b", "c", "d", "e", "f"]
VALUES = [0.1, 0.2, 0.3, 0.5, 0.7, 1.0]


def line(name: str, **fields: Any) -> dict[str, Any]:
    """Return a network's record: AuC rises with depth, is halved over log k and multi-class, and is a tenth for random ablation."""
    auc = {
        batch: {
            method: {
                axis: [v * (0.5 if axis == "log" else 1) * (0.5 if batch == "multi" else 1) * share for v in VALUES]
                for axis in AXES
            }
            for method, share in (("nmf", 1.0), ("pca", 0.5), ("random", 0.1))
        }
        for batch in BATCHES
    }
    return {
        "name": name, "recipe": asdict(GENERALIZATION[name]), "train_accuracy": 0.99, "test_accuracy": 0.75, "epochs": 9,
        "n_parameters": 100, "layers": LAYERS, "auc": auc, "baseline": {"single": 1.0, "multi": 0.9}, "provenance": {},
    } | fields  # fmt: skip


def write_networks(folder: Path, *lines: Any, end: str = "") -> Path:
    path = folder / "generalization.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in lines) + end, encoding="utf-8")
    return path


def test_networks_are_read_as_written_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_networks(tmp_path, line("g07"), line("g01", test_accuracy=0.5))
    records = network_records(tmp_path)
    assert list(records) == ["g01", "g07"] and records["g07"].recipe == GENERALIZATION["g07"]
    assert records["g01"].generalization_error == pytest.approx(0.49)
    assert records["g07"].generalization_error == pytest.approx(0.24)


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (Definition(), 2.8 / 6),
        (Definition("first third"), 0.15),
        (Definition("middle third"), 0.4),
        (Definition("last third"), 0.85),
        (Definition("last third", "log"), 0.425),
        (Definition("last third", "log", "multi"), 0.2125),
    ],
)
def test_a_networks_area_is_the_mean_over_the_layers_of_the_definition(
    tmp_path: Path, definition: Definition, expected: float
) -> None:
    write_networks(tmp_path, line("g00"))
    record = network_records(tmp_path)["g00"]
    assert record.area("nmf", definition) == pytest.approx(expected)
    assert record.area("random", definition) == pytest.approx(expected / 10)


def test_nothing_recorded_is_empty(tmp_path: Path) -> None:
    assert network_records(tmp_path) == {} and histories("early-stopping", tmp_path) == {}
    write_networks(tmp_path)
    assert network_records(tmp_path) == {}


def test_a_truncated_last_line_is_left_out(tmp_path: Path) -> None:
    write_networks(tmp_path, line("g00"), end=json.dumps(line("g01"))[:200])
    assert list(network_records(tmp_path)) == ["g00"]


def test_a_last_line_that_lacks_its_end_of_line_alone_counts(tmp_path: Path) -> None:
    write_networks(tmp_path, line("g00"), end=json.dumps(line("g01")))
    assert list(network_records(tmp_path)) == ["g00", "g01"]


@pytest.mark.parametrize(("cut", "names"), [(200, ["g00", "g02"]), (None, ["g00", "g01", "g02"])])
def test_a_killed_recording_resumes_after_its_last_whole_line(tmp_path: Path, cut: int | None, names: list) -> None:
    path = write_networks(tmp_path, line("g00"), end=json.dumps(line("g01"))[:cut])
    append(path, line("g02"))
    assert list(network_records(tmp_path)) == names
    assert len(path.read_text().splitlines()) == len(names) and path.read_text().endswith("\n")


def test_lines_are_appended_to_a_new_folder(tmp_path: Path) -> None:
    path = tmp_path / "new" / "generalization.jsonl"
    append(path, line("g03"))
    append(path, line("g04"))
    assert list(network_records(tmp_path / "new")) == ["g03", "g04"]


def test_a_damaged_line_in_the_middle_is_reported_with_its_number(tmp_path: Path) -> None:
    path = write_networks(tmp_path, line("g00"))
    path.write_text(path.read_text() + '{"name": "g01", \n' + json.dumps(line("g02")) + "\n")
    with pytest.raises(NmfdiagError, match=r"Line 2 of the record generalization\.jsonl"):
        network_records(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "g00"},
        line("g00") | {"recipe": {"dataset": "digits"}},
        line("g00") | {"colour": "red"},
        line("g00") | {"recipe": None},
        [1, 2],
        "g00",
        7,
    ],
)
def test_other_json_than_a_network_record_is_refused(tmp_path: Path, wrong: Any) -> None:
    write_networks(tmp_path, line("g01"), wrong)
    with pytest.raises(NmfdiagError, match=r"generalization\.jsonl is not a record of networks"):
        network_records(tmp_path)


def test_binary_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "generalization.jsonl").write_bytes(b"\xff\xfe\x00{}\n")
    with pytest.raises(NmfdiagError, match="can't be read"):
        network_records(tmp_path)


def test_a_record_that_has_grown_is_read_again(tmp_path: Path) -> None:
    path = write_networks(tmp_path, line("g00"))
    assert len(network_records(tmp_path)) == 1
    append(path, line("g01"))
    os.utime(path, ns=(1, 1))
    assert len(network_records(tmp_path)) == 2


HEAD = {
    "name": "run-s0", "experiment": "early-stopping", "recipe": asdict(GENERALIZATION["g00"]),
    "probe": {"measures": ["nmf"]}, "provenance": {"torch": "2"},
}  # fmt: skip
EPOCHS = [
    {"epoch": e, "test_loss": 1.0 / e, "curves": {"nmf": {"a": {"auc": 0.1 * e}, "b": {"auc": 0.2 * e}}}}
    for e in (1, 2)
]


def write_history(folder: Path, *lines: Any, end: str = "") -> None:
    path = folder / "early-stopping" / "run-s0.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in lines) + end, encoding="utf-8")


def test_a_watched_run_is_read_and_known_as_finished(tmp_path: Path) -> None:
    write_history(tmp_path, HEAD, *EPOCHS, {"result": {"test_accuracy": 0.5}})
    run = histories("early-stopping", tmp_path)["run-s0"]
    assert run.finished and run.layers == ["a", "b"] and run.recipe == GENERALIZATION["g00"]
    assert run.series("test_loss") == [1.0, 0.5] and run.layer_values("nmf", "b") == [0.2, 0.4]
    assert run.layer_values("random", "b") == run.layer_values("nmf", "z") == [None, None]
    assert histories("few-shot", tmp_path) == {}


@pytest.mark.parametrize("end", ["", '{"epoch": 3, "te', '{"result": {"test_acc'])
def test_a_killed_run_is_readable_and_unfinished(tmp_path: Path, end: str) -> None:
    write_history(tmp_path, HEAD, *EPOCHS, end=end)
    run = histories("early-stopping", tmp_path)["run-s0"]
    assert not run.finished and run.series("epoch") == [1, 2]


def test_a_run_that_was_killed_before_its_first_epoch_has_no_layers(tmp_path: Path) -> None:
    write_history(tmp_path, HEAD)
    run = histories("early-stopping", tmp_path)["run-s0"]
    assert not run.finished and run.layers == [] and run.series("epoch") == []


@pytest.mark.parametrize(
    "head",
    [
        EPOCHS[0],
        {**HEAD, "recipe": {"dataset": "digits"}},
        {key: value for key, value in HEAD.items() if key != "provenance"},
        [1],
        "early-stopping",
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, head: Any) -> None:
    write_history(tmp_path, head, *EPOCHS)
    with pytest.raises(NmfdiagError, match=r"run-s0\.jsonl is not the record of a training run"):
        histories("early-stopping", tmp_path)


def test_a_run_without_a_line_is_refused(tmp_path: Path) -> None:
    write_history(tmp_path)
    with pytest.raises(NmfdiagError, match="not the record of a training run"):
        histories("early-stopping", tmp_path)


def test_a_damaged_epoch_is_reported(tmp_path: Path) -> None:
    write_history(tmp_path, HEAD, EPOCHS[0], end='{"epoch": \n' + json.dumps(EPOCHS[1]) + "\n")
    with pytest.raises(NmfdiagError, match=r"Line 3 of the record run-s0\.jsonl"):
        histories("early-stopping", tmp_path)


def test_shipped_networks_are_those_that_were_declared() -> None:
    records = network_records()
    assert RECORDS_FOLDER.is_dir() and records and set(records) <= set(GENERALIZATION)
    for name, record in records.items():
        assert record.recipe == GENERALIZATION[name] and len(set(record.layers)) == len(record.layers)
        assert 0 <= record.test_accuracy <= 1 and 0 < record.train_accuracy <= 1
        assert set(record.auc) == set(record.baseline) == set(BATCHES)
        for by_method in record.auc.values():
            assert set(by_method) == {"nmf", "pca", "random"}
            for by_axis in by_method.values():
                assert set(by_axis) == set(AXES)
                assert all(len(v) == len(record.layers) and 0 <= min(v) <= max(v) <= 1 for v in by_axis.values())
        assert record.provenance["per_class"] > 0 and record.epochs <= record.recipe.max_epochs
