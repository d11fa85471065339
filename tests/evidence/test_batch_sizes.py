"""The effect of batches on the mean AuC: read from planted records, and measured on a small zoo network."""

from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from nmfdiag.errors import NmfdiagError
from nmfdiag.evidence import batch_sizes
from nmfdiag.evidence.batch_sizes import (
    BATCH_SIZE_COLUMNS,
    BATCH_SIZE_FILE,
    batch_effect,
    networks_to_measure,
    record_batch_sizes,
)
from nmfdiag.jobs.requests import profile_requests

PLANTED = [
    ("digits-cnn-p0-s0", {10: 0.90, 20: 0.92, 50: 0.95}, (0.92, 0.94)),
    ("digits-cnn-p1-s0", {10: 0.80, 20: 0.80, 50: 0.79}, (0.80, 0.80)),
    ("digits-mlp-p0-s0", {10: 1.0, 20: 1.0, 50: 1.0}, (1.0, 1.0)),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [(name, n, 0, value, value / 2) for name, sizes, _ in PLANTED for n, value in sizes.items()]
    rows += [(name, 20, 1, draws[1], draws[1] / 2) for name, _, draws in PLANTED]
    pd.DataFrame(rows, columns=list(BATCH_SIZE_COLUMNS)).to_csv(tmp_path / BATCH_SIZE_FILE, index=False)
    return tmp_path


def test_shifts_are_those_of_the_kind(folder: Path) -> None:
    larger = batch_effect("convolutional", 50, folder=folder)
    assert larger is not None and (larger.networks, larger.per_class) == (2, 50)
    assert larger.shift == pytest.approx(0.01) and larger.largest == pytest.approx(0.03)
    assert larger.drawn == pytest.approx((0.02**2 / 2 / 2) ** 0.5)
    smaller = batch_effect("convolutional", 12, axis="log", folder=folder)
    assert smaller is not None and smaller.per_class == 10 and smaller.largest == pytest.approx(0.01)
    same = batch_effect("fully-connected", 20, folder=folder)
    assert same is not None and same.shift == same.largest == same.drawn == 0


def test_nothing_recorded_and_damaged_records(folder: Path) -> None:
    assert batch_effect("other", 50, folder=folder) is batch_effect("residual", 50, folder=folder / "x") is None
    assert batch_effect("residual", 50, folder=folder) == batch_effect("convolutional", 50, folder=folder)
    (folder / BATCH_SIZE_FILE).write_text("network,per_class\nmine,3\n")
    with pytest.raises(NmfdiagError, match="mine"):
        batch_effect("convolutional", 50, folder=folder)


def test_a_record_is_written_of_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_sizes, "networks_to_measure", lambda: ["digits-mlp-p1-s0"])
    monkeypatch.setattr(batch_sizes, "SIZES", (5, 10))
    monkeypatch.setattr(batch_sizes, "PER_CLASS", 10)
    monkeypatch.setattr(batch_sizes, "DRAWS", 2)
    monkeypatch.setattr(batch_sizes, "profile_requests", partial(profile_requests, classes=[0, 1, 2]))
    shares: list[float] = []
    path = record_batch_sizes(tmp_path, device="cpu", on_step=lambda _step, share: shares.append(share))
    table = pd.read_csv(path)
    assert table[["per_class", "draw"]].to_numpy().tolist() == [[5, 0], [10, 0], [10, 1]] and shares == [
        0,
        1 / 3,
        2 / 3,
    ]
    assert table["auc"].between(0.9, 1).all() and (table["auc_log"] < table["auc"]).all()
    effect = batch_effect("fully-connected", 5, folder=tmp_path)
    assert effect is not None and effect.networks == 1


def test_the_shipped_record_has_every_kind() -> None:
    assert len(networks_to_measure()) > 10
    for kind in ("convolutional", "fully-connected"):
        effect = batch_effect(kind, 50)
        assert effect is not None and effect.largest < 0.05
