"""A network that was opened becomes one of the user's zoo: its files, its curves, and the rules of replacing it."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from nmfdiag.data.probe import single_class_batch
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import coarse_ranks
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.requests import CurveRequest, profile_requests
from nmfdiag.measures.compression import compression_curve
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.architectures import build
from nmfdiag.zoo.add_network import add_opened
from nmfdiag.zoo.open_network import Opened, open_activations, open_checkpoint
from nmfdiag.zoo.registry import ZooEntry, entries, lookup, remove
from nmfdiag.zoo.store import verify

SMOOTH_CLASSES = 3


@pytest.fixture(scope="module")
def own_zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("own_zoo")
        patch.setenv("NMFDIAG_ZOO", str(folder))
        yield folder


@pytest.fixture(scope="module")
def opened(own_zoo: Path) -> Opened:
    """Open a shipped network as if it were a stranger's: its weights in a checkpoint, its samples in an .npz."""
    entry, place = lookup("digits-cnn-p0.6-s0"), own_zoo.parent
    np.savez(
        place / "digits.npz",
        x=load_file(entry.files["pool"])["inputs"].numpy(),
        y=load_file(entry.files["labels"])["given"].long().numpy(),
    )
    torch.save({"state_dict": entry.load_model().state_dict()}, place / "mine.ckpt")
    return open_checkpoint("cnn", place / "mine.ckpt", place / "digits.npz", per_class=12)


@pytest.fixture(scope="module")
def smooth(own_zoo: Path) -> Opened:
    """Open a network whose activations can be negative, with random weights that don't fit in float16."""
    model = build("mobilenet_v3_small", (3, 32, 32), SMOOTH_CLASSES, seed=3)
    torch.save(model.state_dict(), own_zoo.parent / "smooth.pth")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (12 * SMOOTH_CLASSES, 3, 32, 32), dtype=np.uint8)
    np.savez(own_zoo.parent / "noise.npz", x=x, y=np.arange(len(x)) % SMOOTH_CLASSES)
    return open_checkpoint("mobilenet_v3_small", own_zoo.parent / "smooth.pth", own_zoo.parent / "noise.npz")


@pytest.fixture(scope="module")
def smooth_entry(smooth: Opened) -> ZooEntry:
    return add_opened("smooth", smooth, activations="all")


def same_curve(entry: ZooEntry, opened: Opened, layer: str, class_idx: int, method: str) -> CompressionCurve:
    """Return the job queue's curve, which must equal that of the opened network."""
    request = CurveRequest(entry.name, layer, class_idx, method, grid="coarse", per_class=10)
    curve = compute(request, device="cpu")
    batch = single_class_batch(opened.inputs, opened.given_labels, class_idx, size=10)
    alone = compression_curve(
        opened.model, layer, batch.inputs, batch.given_labels, method=method, ranks=coarse_ranks,
        activations=entry.activations,
    )  # fmt: skip
    assert curve.accuracy == alone.accuracy and curve.relative_error == alone.relative_error
    return curve


def test_an_opened_network_is_one_of_the_zoo(own_zoo: Path, opened: Opened) -> None:
    steps: list[float] = []
    add_opened("mine", opened, on_progress=lambda share, text: steps.append(share))
    entry = lookup("mine")
    assert steps == sorted(steps) and steps[-1] == 1
    assert (entry.activations, entry.method, entry.called) == ("relu", "nmf", "mine")
    assert entry.folder.parent == own_zoo
    assert list(entry.layers.items())[:2] == [("conv1_1", 32), ("conv1_2", 32)]
    assert entry.pool_per_class == 12 and entry.classes == tuple(range(10))
    assert entry.train_accuracy == entry.pool_accuracy > 0.97 and entry.test_accuracy is None
    assert entry.trained_with["normalization"] == opened.normalization
    pool = entry.load_pool()
    assert torch.equal(pool.inputs, opened.inputs) and torch.equal(pool.given_labels, opened.given_labels)
    assert verify(entry) == []
    assert same_curve(entry, opened, "conv3_1", 4, "nmf").baseline_accuracy > 0.8
    assert len(profile_requests(entry)) == 70


def test_weights_keep_their_own_precision(smooth_entry: ZooEntry, smooth: Opened) -> None:
    stored = smooth_entry.load_model().state_dict()
    assert all(torch.equal(stored[name], value) for name, value in smooth.model.state_dict().items())
    assert any(not torch.equal(value.half().float(), value) for value in stored.values() if value.is_floating_point())
    assert load_file(smooth_entry.files["pool"])["inputs"].dtype == torch.uint8


def test_activations_that_can_be_negative_are_layers_where_asked_for(smooth_entry: ZooEntry, smooth: Opened) -> None:
    relus, smooth_network = add_opened("relus", smooth), smooth_entry
    assert smooth_network.method == "signed" and lookup("smooth").activations == "all"
    assert set(relus.layers) < set(smooth_network.layers) and "features.0.2" not in relus.layers
    curve = same_curve(smooth_network, smooth, "features.0.2", 1, "signed")
    assert curve.method == "signed"
    assert same_curve(smooth_network, smooth, next(iter(relus.layers)), 1, "nmf").method == "nmf"


def test_recorded_activations_and_vectors(own_zoo: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    A, y, weight = rng.random((30, 6)), np.arange(30) % 3, rng.normal(size=(3, 6))
    for name, activations in (("flat", A), ("maps", rng.random((30, 6, 2, 2)))):
        np.savez(tmp_path / f"{name}.npz", activations=activations, labels=y, weight=weight)
        network = open_activations(tmp_path / f"{name}.npz")
        entry = add_opened(name, network)
        assert entry.layers == {"activations": 6} and verify(entry) == []
        same_curve(entry, network, "activations", 2, "nmf")
    model = build("mlp", (6, 1, 1), 3, width=8, depth=2)
    torch.save(model.state_dict(), tmp_path / "mlp.pt")
    np.savez(tmp_path / "vectors.npz", x=A, y=y)
    network = open_checkpoint("mlp", tmp_path / "mlp.pt", tmp_path / "vectors.npz")
    same_curve(add_opened("vectors", network), network, "fc2", 0, "nmf")


def test_a_network_that_was_to_be_replaced_is_back_if_that_fails(
    own_zoo: Path, opened: Opened, smooth: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in own_zoo.rglob("*") if path.is_file()}

    add_opened("kept", opened)
    before = contents()
    with monkeypatch.context() as patch:
        patch.setattr("nmfdiag.zoo.store.write_entry", lambda entry: os.truncate(own_zoo / "no-such-file", 0))
        with pytest.raises(FileNotFoundError):
            add_opened("kept", smooth, replace=True)
    assert contents() == before and lookup("kept").recipe.arch == "cnn"
    again = add_opened("kept", smooth, replace=True)
    assert again.train_accuracy == again.pool_accuracy
    assert {path.name for path in own_zoo.rglob("*kept*")} == {"kept", "kept-samples.safetensors"}
    remove(again)


def test_what_may_be_replaced(own_zoo: Path, opened: Opened, smooth: Opened) -> None:
    first = add_opened("twice", opened)
    (first.folder / "preflight.json").write_text("{}")
    with pytest.raises(NmfdiagError, match="The name 'twice' is taken"):
        add_opened("twice", smooth)
    assert lookup("twice").recipe.arch == "cnn"
    with pytest.raises(NmfdiagError, match="has no ReLU layer"):
        nothing = replace(smooth, model=nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 3)))
        add_opened("twice", nothing, replace=True)
    assert lookup("twice").digest == first.digest
    second = add_opened("twice", smooth, replace=True)
    assert lookup("twice").recipe.arch == "mobilenet_v3_small" and second.digest != first.digest
    assert not (second.folder / "preflight.json").exists()
    for name in ("digits-mlp-p0-s0", "digits", "pools", "Pools", "dot."):
        with pytest.raises(NmfdiagError, match=r"is taken|A network's name is letters"):
            add_opened(name, opened, replace=True)
    trained = own_zoo / "trained"
    trained.mkdir()
    (trained / "entry.json").write_text("{}")  # not one that was added: by training, or damaged
    with pytest.raises(NmfdiagError, match="The name 'trained' is taken"):
        add_opened("trained", opened, replace=True)
    assert (trained / "entry.json").exists()
    shutil.rmtree(trained)


def test_code_of_its_own_can_not_be_added(opened: Opened) -> None:
    with pytest.raises(
        NmfdiagError, match=r"is built by its own code, which the zoo does not run: it can be diagnosed"
    ):
        add_opened("code", replace(opened, arch=""))
    assert "code" not in entries()
