"""``nmfdiag cache``: statistics, clearing, and damage that is found."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from nmfdiag.cli import OK, WRONG, main
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.requests import CurveRequest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache folder with two curves."""
    monkeypatch.setenv("NMFDIAG_CACHE", str(tmp_path))
    curve = compute(CurveRequest("digits-mlp-p1-s0", "fc1", 0, per_class=5, grid="coarse"), device="cpu")
    cache = CurveCache()
    for key in ("one", "two"):
        cache.put(key, replace(curve, provenance={}))  # a result with provenance is only accepted under its own key
    cache.close()
    return tmp_path


def damage(folder: Path, key: str, value: bytes) -> None:
    with sqlite3.connect(folder / "cache.db") as connection:
        connection.execute("UPDATE Cache SET value = ?, filename = NULL, mode = 1 WHERE key = ?", [value, key])
    connection.close()


def test_a_sound_cache(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "verify"]) == OK
    assert capsys.readouterr().out == f"2 of 2 curves in {folder} are sound.\n"


@pytest.mark.parametrize("value", [b"{", b'{"result": "CompressionCurve", "layer": "fc1"}', b"nonsense"])
def test_a_damaged_curve_is_named_and_mended(folder: Path, capsys: pytest.CaptureFixture[str], value: bytes) -> None:
    damage(folder, "two", value)
    for _ in range(2):  # verifying changes nothing
        assert main(["cache", "verify", "--json"]) == WRONG
        record = json.loads(capsys.readouterr().out)
        assert list(record["damaged"]) == ["two"] and record["rows"] == 2 and not record["sound"]
    assert main(["cache", "verify"]) == WRONG
    output = capsys.readouterr().out
    assert output.startswith("two: ") and "1 of 2 curves" in output
    assert main(["cache", "verify", "--mend"]) == WRONG
    assert "were deleted" in capsys.readouterr().out
    assert main(["cache", "verify"]) == OK
    assert "1 of 1 curves" in capsys.readouterr().out


def test_stats_and_clear(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "stats"]) == OK
    assert capsys.readouterr().out.startswith("2 curves, ")
    assert main(["cache", "clear", "--json"]) == OK
    assert json.loads(capsys.readouterr().out) == {"cleared": 2}
