"""Parsers of files that nmfdiag stores and somebody may have changed (runs, the zoo, the cache), and of names."""

import json
import pickle
import sqlite3
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from strategies import Trap, changed_record, mutated_bytes, text_of, write_file

from nmfdiag.data.normalization import normalization
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import browse
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.open_process import CHECK_FILE, check_of
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.monitor.run_reader import monitored_runs
from nmfdiag.views.epochs import ALL
from nmfdiag.views.training_runs.figures import live_figure
from nmfdiag.views.training_runs.tables import (
    MONITORED_MEASURES,
    epoch_table,
    lines_of,
    reading,
    reading_table,
    run_settings,
    runs_by_label,
)
from nmfdiag.views.your_network import check_tables
from nmfdiag.zoo.add_network import NAME
from nmfdiag.zoo.files import ENTRY_FILE
from nmfdiag.zoo.registry import _read_entry as read_entry
from nmfdiag.zoo.registry import lookup

HEAD = {
    "name": "run",
    "experiment": "",
    "recipe": None,
    "probe": {"measure": "relative", "patience": 3},
    "provenance": {"torch": "2"},
}
LINES = [
    {"epoch": e, "loss": 0.5, "test_accuracy": 0.4, "seconds": 1.0, "curves": {"nmf": {"fc1": {"auc": 0.3 + e / 9, "relative": 0.5, "first": 0.1}}}}
    for e in range(1, 6)
]  # fmt: skip
RUN = [HEAD, *LINES, {"result": {"train_accuracy": 1.0}}]


def runs(content: bytes, folder: Path) -> object:
    """Read a run as the page does, and make all that the page draws of it."""
    write_file(folder, "a/run.jsonl", content)
    monitored, _ = monitored_runs(folder)
    by_label = runs_by_label(monitored)
    for measure in MONITORED_MEASURES.values():
        readings = [reading(label, run, measure, ALL, time.time()) for label, run in by_label.items()]
        if readings:
            live_figure(lines_of(by_label), measure, readings, layers=ALL, window=1, growing=False).to_json()
            reading_table(readings, by_label), epoch_table(by_label, measure, ALL)
    return json.dumps(run_settings(by_label), ensure_ascii=False).encode()


ENTRY = json.loads((lookup("digits-mlp-p0-s0").folder / ENTRY_FILE).read_text(encoding="utf-8"))


def zoo_entry(content: bytes, folder: Path) -> object:
    """Read an entry, and use it as every page does."""
    entry = read_entry.__wrapped__(
        write_file(folder, f"x/{ENTRY_FILE}", content), 0
    )  # as if it had not been read before
    assert all(path.resolve().is_relative_to(folder.resolve()) for path in entry.files.values())
    return entry.digest, entry.classes, entry.generalization_error, np.prod(entry.input_shape), entry.name.encode()


CHECK = {
    "preflight": {
        "layers": [{"name": "fc1", "kind": "ReLU", "width": 8, "rows": 50, "bytes": 9}], "skipped": {"gate": "a gate"},
        "batches": {"0": 50}, "accuracy": 0.8, "accuracy_by_class": {"0": 0.9}, "remarks": ["x"],
    },
    "problems": [], "provenance": {"network": "mlp"},
}  # fmt: skip


def check(content: bytes, folder: Path) -> object:
    """Make the tables of what was found when a network was opened."""
    write_file(folder, CHECK_FILE, content)
    entry = replace(lookup("digits-mlp-p0-s0"), folder=folder)
    return check_tables(entry, check_of(entry))


CURVE = CompressionCurve(
    "fc1", "nmf", [1, 2], [0.5, 1.0], [0.3, 0.0], [3.0, 0.0], [True, True], 1.0, 0.0, 0.1, 2, (10, 2), 5
)
ROW = st.one_of(
    st.binary(max_size=80), st.text(max_size=20), st.integers(-(2**63), 2**63 - 1), st.floats(), st.none(),
    mutated_bytes([text_of({"result": "CompressionCurve", **CURVE.to_dict()}), pickle.dumps(Trap(), 2)]),
    changed_record({"result": "CompressionCurve", **CURVE.to_dict()}).map(text_of),
)  # fmt: skip
CELLS = {
    "value": ROW, "mode": st.integers(-1, 9) | st.none() | st.text(max_size=3), "raw": st.integers(0, 2) | st.none(),
    "filename": st.none() | st.sampled_from(["../kept", "../../x", "/etc/passwd", "\0", "aa/bb/c.val", "."]) | st.text(max_size=8) | st.binary(max_size=8),
    "size": st.integers(-9, 9), "tag": ROW, "expire_time": st.none() | st.floats(), "access_time": st.floats(), "access_count": st.integers(0, 9),
}  # fmt: skip


def cache_row(cells: dict[str, Any], outside: Path) -> object:
    """Read, mend and write a cache whose row was changed; no file outside may go."""
    outside_file, folder = write_file(outside, "kept", b"not a file of the cache"), outside / "cache"
    cache = CurveCache(folder)
    cache.put("key", CURVE)
    cache.close()
    with sqlite3.connect(folder / "cache.db") as database:
        for column, value in cells.items():
            text = value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            database.execute(f"UPDATE Cache SET {column} = ?", (text,))
    database.close()
    cache = CurveCache(folder)
    curve, _ = cache.get("key"), cache.verify(mend=True)
    assert curve is None or isinstance(curve, CompressionCurve)
    cache.put("key", CURVE)
    assert cache.get("key") == CURVE and outside_file.exists()
    cache.close()
    return curve


def cache_settings(values: dict[str, Any], folder: Path) -> object:
    """Open and write a cache whose database says anything of diskcache's settings."""
    cache = CurveCache(folder)
    cache.put("key", CURVE)
    cache.close()
    with sqlite3.connect(folder / "cache.db") as database:
        for key, value in values.items():
            database.execute(
                "INSERT OR REPLACE INTO Settings VALUES (?, ?)", (key.encode("utf-8", "replace").decode(), value)
            )
    database.close()
    cache = CurveCache(folder)
    cache.put("key", CURVE)
    assert cache.get("key") == CURVE
    cache.close()
    return cache.notice


SETTING = st.sampled_from(
    "count size hits eviction_policy cull_limit size_limit disk_min_file_size disk_pickle_protocol disk_x sqlite_cache_size "
    "sqlite_journal_mode sqlite_x statistics tag_index read _disk get set delete volume directory".split()
)


def cache_file(content: bytes, folder: Path) -> object:
    """Open and write a cache whose database was changed."""
    write_file(folder, "cache.db", content)
    cache = CurveCache(folder)
    cache.put("key", CURVE)
    assert cache.get("key") == CURVE
    cache.close()
    return cache.notice


def database() -> bytes:
    """Return an intact database of one curve."""
    with tempfile.TemporaryDirectory() as name:
        cache = CurveCache(Path(name))
        cache.put("key", CURVE)
        cache.close()
        with sqlite3.connect(Path(name) / "cache.db") as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
        connection.close()
        return (Path(name) / "cache.db").read_bytes()


def names(text: str, folder: Path) -> object:
    """Check typed names: none leads out of a folder, and the zoo accepts each proposed one."""
    (folder / "models" / "in").mkdir(parents=True)
    assert NAME.fullmatch(browse.proposed_name(text))
    with suppress(NmfdiagError):
        normalization(text, torch.zeros(4, 3, 2, 2))
    path = browse.path_inside(folder / "models", text)
    assert path.is_relative_to((folder / "models").resolve())
    return path
