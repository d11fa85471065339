"""The jury's record: what is read, what is refused, and how it is made from measurements."""

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from nmfdiag.diagnosis.answers import CODES
from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence.jury_records import COLUMNS, JURY, VALUES, jury_table

ROOT = Path(__file__).parents[2]
ROW = {
    "name": "wine-mlp", "half": "judged", "dataset": "wine", "arch": "mlp", "n": 120, "kind": "uniform", "p": 0.4, "training": "dropout",
    "wrong": 0.4, "train_accuracy": 0.9, "test_accuracy": 0.7, "code": "noisy_labels",
    "noise": 0.35, "noise_low": 0.2, "noise_high": 0.5, "memorised": None, "memorised_low": None, "memorised_high": None,
    "error": 0.3, "error_low": 0.2, "error_high": 0.4,
}  # fmt: skip


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    pd.DataFrame(rows).to_csv(folder / JURY, index=False)
    return folder


def test_the_shipped_record_is_read() -> None:
    table = jury_table()
    assert len(table) and list(table) == list(COLUMNS)


def test_the_codes_are_those_of_a_diagnosis() -> None:
    assert set(VALUES["code"]) == set(CODES)


def test_a_folder_without_the_record_has_no_networks(tmp_path: Path) -> None:
    assert jury_table(tmp_path).empty


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"half": "both"}, "unknown half: wine-mlp"),
        ({"kind": "odd"}, "unknown kind: wine-mlp"),
        ({"code": "yes"}, "unknown code: wine-mlp"),
        ({"wrong": 40}, "no share as wrong: wine-mlp"),
        ({"test_accuracy": None}, "no share as test_accuracy: wine-mlp"),
        ({"noise_low": None}, "a part of noise alone: wine-mlp"),
        ({"error": "low"}, "can't be read"),
    ],
)
def test_a_bad_value_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    assert len(jury_table(written(tmp_path, ROW))) == 1
    with pytest.raises(NmfdiagError, match=message):
        jury_table(written(tmp_path, ROW | change))


def test_a_network_listed_twice_and_a_column_left_out_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match="twice: wine-mlp"):
        jury_table(written(tmp_path, ROW, ROW))
    with pytest.raises(NmfdiagError, match="training"):
        jury_table(written(tmp_path, {key: value for key, value in ROW.items() if key != "training"}))


def measured_line(name: str, **values: Any) -> dict[str, Any]:
    """Return a line of ``measure.py``."""
    setting = {key: ROW[key] for key in ("half", "dataset", "arch", "n", "kind", "p", "training", "code")}
    return {
        "name": name, **setting, "wrong": 1 / 3, "test_accuracy": 0.36, "test_accuracy_restored": float("nan"), "remark": "",
        "accuracies": {"network": 0.98}, "answers": {"labels": ["wrong", 0.35, 0.2, 0.5], "memorising": ["unknown", None, None, None]},
        "expected_error": None, **values,
    }  # fmt: skip


def test_a_record_is_made_from_measurements(tmp_path: Path) -> None:
    path = ROOT / "benchmarks" / "jury" / "record.py"
    spec = importlib.util.spec_from_file_location("jury_record", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    restored = {"remark": "batch norm lags", "test_accuracy_restored": 0.7, "expected_error": [0.3, 0.2, 0.4]}
    lines = [measured_line("b", **restored), measured_line("a"), measured_line("c", remark="of another kind")]
    table = module.record_table(lines)
    assert list(table) == list(COLUMNS) and list(table["name"]) == ["a", "b", "c"]
    assert list(table["test_accuracy"]) == [0.36, 0.7, 0.36] and list(table["wrong"]) == [0.3333] * 3
    assert list(table["train_accuracy"]) == [0.98] * 3 and list(table["noise_low"]) == [0.2] * 3
    assert table["memorised"].isna().all() and list(table["error_high"].fillna(0)) == [0, 0.4, 0]
    table.to_csv(tmp_path / JURY, index=False)
    assert len(jury_table(tmp_path)) == 3
