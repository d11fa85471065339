"""A torchvision classifier becomes a network of the user's zoo: what is stored, that curves come, and every refusal."""

import json
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision import models

from nmfdiag.cli import MISTAKE, OK, main
from nmfdiag.data.probe import single_class_batch
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import coarse_ranks
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.requests import CurveRequest, profile_requests
from nmfdiag.measures.compression import compression_curve
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.networks.architectures import build
from nmfdiag.views.classes.figures import map_figure
from nmfdiag.views.classes.sentences import classes_answer
from nmfdiag.views.classes.tables import class_curves, class_of
from nmfdiag.views.curve_tables import network_table
from nmfdiag.views.selection import BOTH, MULTI, Choice
from nmfdiag.zoo import add_network
from nmfdiag.zoo.add_network import add, add_opened
from nmfdiag.zoo.open_network import Opened, open_activations, open_checkpoint
from nmfdiag.zoo.registry import ZooEntry, entries, lookup
from nmfdiag.zoo.remove_network import remove
from nmfdiag.zoo.store import verify

ARCH = "squeezenet1_1"
TENCH, GOLDFISH, SHARK = 0, 1, 2


def write_images(folder: Path, *, n: int = 3, size: tuple[int, int] = (40, 30), classes: tuple[str, ...] = ()) -> Path:
    rng = np.random.default_rng(0)
    for name in classes or ("goldfish", "tench"):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(folder / name / f"{i}.jpg")
    return folder


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Random weights, and an answer that is goldfish for whatever it is shown."""
    model = build(ARCH, (3, 224, 224), 1000)
    with torch.no_grad():
        model.classifier[1].bias[GOLDFISH] += 100  # type: ignore[index, operator]
    return model.eval()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, network: nn.Module) -> Path:
    folder = tmp_path_factory.mktemp("adding")
    torch.save(network.state_dict(), folder / "weights.pth")
    write_images(folder / "train")
    write_images(folder / "test", n=2)
    return folder


@pytest.fixture(scope="module")
def added(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooEntry]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NMFDIAG_ZOO", str(tmp_path_factory.mktemp("zoo")))
        add("fish", ARCH, place / "weights.pth", place / "train")
        yield lookup("fish")


def test_what_is_stored(added: ZooEntry, network: nn.Module, place: Path) -> None:
    pool = added.load_pool()
    prepare = models.SqueezeNet1_1_Weights.DEFAULT.transforms()
    first = prepare(Image.open(place / "train" / "tench" / "0.jpg"))
    assert torch.allclose(pool.inputs[0], first, atol=1e-5)
    assert pool.given_labels.tolist() == [TENCH] * 3 + [GOLDFISH] * 3 == pool.true_labels.tolist()
    loaded = added.load_model()
    assert not loaded.training
    with torch.no_grad():
        assert torch.allclose(loaded(pool.inputs), network(pool.inputs), rtol=2e-2, atol=2e-2)
    assert added.class_names[:2] == ("tench", "goldfish") and len(set(added.class_names)) == added.n_classes == 1000
    assert added.classes == (TENCH, GOLDFISH) and added.pool_per_class == 3
    assert (added.train_accuracy, added.pool_accuracy) == (0.5, 0.5)
    assert added.test_accuracy is None and added.generalization_error is None and added.test_accuracy_by_class == ()
    assert added.files["weights"].stat().st_size < 3e6
    assert verify(added) == []


def test_curves_of_the_classes_that_are_there(added: ZooEntry) -> None:
    requests = profile_requests(added, layers=[list(added.layers)[-1]], methods=["pca"], grid="coarse")
    assert [request.class_idx for request in requests] == [TENCH, GOLDFISH]
    assert [compute(request, device="cpu").baseline_accuracy for request in requests] == [0, 1]
    with pytest.raises(
        NmfdiagError, match=r"fish was added without samples of class 2: there are 0 \(tench\), 1 \(goldfish"
    ):
        profile_requests(added, classes=[SHARK])


def test_what_the_sidebar_says(added: ZooEntry) -> None:
    choice = Choice((added,), "features.1")
    assert choice.names == ("tench", "goldfish")
    assert choice.classes == (TENCH, GOLDFISH)
    assert replace(choice, batch="goldfish").classes == (GOLDFISH,)
    assert len(replace(choice, batch=BOTH).classes) == 3 and len(replace(choice, batch=MULTI).classes) == 1
    assert choice.alone.classes == (TENCH,)


def test_the_classes_page_shows_those_that_are_there(added: ZooEntry) -> None:
    last = list(added.layers)[-1]
    choice = Choice((added,), last, methods=("pca",), grid="coarse")
    found = class_curves(
        choice, {request: compute(request, device="cpu") for request in choice.requests(layers=[last])}
    )
    figure = map_figure(found, 0.0, class_idx=GOLDFISH)
    assert list(figure.data[0].y) == ["tench", "goldfish"] and len(figure.data[0].z) == 2
    assert [row[-1] for row in figure.data[0].z] == [0, 1]
    assert class_of("goldfish", found, 0.0) == GOLDFISH
    with pytest.raises(NmfdiagError, match=r"Unknown class 'great white shark': there are tench, goldfish\."):
        class_of("great white shark", found, 0.0)
    assert found.points(last) == []
    assert "added without --test" in classes_answer(found, 0.0, last)
    row = network_table([added]).iloc[0]
    assert row["test accuracy"] is None and row["generalisation error"] is None and row["training samples"] is None


def test_safetensors_test_images_and_some_classes(place: Path, network: nn.Module, tmp_path: Path) -> None:
    state = {f"module.{k}": v for k, v in network.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    steps: list[float] = []
    entry = add(
        "gold", ARCH, tmp_path / "w.safetensors", place / "train", test=place / "test", classes=["goldfish"], per_class=2,
        zoo=tmp_path / "zoo", on_progress=lambda done, words: steps.append(done),
    )  # fmt: skip
    assert entry.classes == (GOLDFISH,) and len(entry.load_pool().inputs) == 2
    assert entry.test_accuracy == 1.0
    assert entry.test_accuracy_by_class[:3] == (None, 1.0, None)
    assert steps == sorted(steps) and steps[-1] == 1.0


def test_a_network_of_other_classes_takes_the_names_of_their_folders(tmp_path: Path) -> None:
    torch.save({"model": build(ARCH, (3, 224, 224), 2).state_dict(), "epoch": 3}, tmp_path / "w.pth")
    data = write_images(tmp_path / "data", n=2, classes=("noise", "more noise"))
    entry = add("own", ARCH, tmp_path / "w.pth", data, zoo=tmp_path / "zoo")
    assert entry.class_names == ("more noise", "noise") and entry.classes == (0, 1)


def test_the_weights_that_torchvision_would_download(
    place: Path, network: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def download(url: str, **options: Any) -> dict[str, torch.Tensor]:
        asked.append({"url": url, **options})
        return network.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    entry = add("web", ARCH, "imagenet", place / "train", zoo=tmp_path)
    assert entry.trained_with["weights"] == "SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert asked[0]["url"] == models.SqueezeNet1_1_Weights.DEFAULT.url and asked[0]["weights_only"]

    def offline(url: str, **options: Any) -> None:
        raise URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(NmfdiagError, match=r"could not download its weights of squeezenet1_1 .*Offline, give the path"):
        add("web2", ARCH, "imagenet", place / "train", zoo=tmp_path)


class Trap:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path("/tmp/nmfdiag-trap").touch, ())  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("nowhere.pth", r"There is no weights file .*accepted are 'imagenet' or a"),
        ("damaged.pth", r"The weights damaged\.pth can't be read"),
        ("trap.pth", r"The weights trap\.pth can't be read"),
        ("damaged.safetensors", r"The weights damaged\.safetensors can't be read"),
        ("list.pth", r"The weights list\.pth are no state dict"),
        ("whole.pth", r"The weights whole\.pth can't be read"),
        ("other.pth", r"The weights other\.pth don't fit squeezenet1_1: they have no tensor 'classifier\.1\.bias'"),
        ("scalar.pth", r"The weights scalar\.pth don't fit squeezenet1_1"),
        ("lacking.pth", r"The weights lacking\.pth don't fit squeezenet1_1: they lack 51 of its 52 tensors"),
        ("nan.pth", r"The weights nan\.pth hold NaN or infinite values, in features\.0\.weight"),
    ],
)
def test_weights_that_are_none(place: Path, network: nn.Module, tmp_path: Path, weights: str, words: str) -> None:
    state = network.state_dict()
    for name in ("damaged.pth", "damaged.safetensors"):
        (tmp_path / name).write_bytes(b"\x80\x02nonsense")
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap(), protocol=2))
    contents = {
        "list.pth": [1, 2],
        "whole.pth": network,
        "other.pth": {"x": torch.zeros(2)},
        "scalar.pth": {"classifier.1.bias": torch.tensor(0.0)},
        "lacking.pth": {"classifier.1.bias": torch.zeros(1000)},
        "nan.pth": state | {"features.0.weight": torch.full_like(state["features.0.weight"], torch.nan)},
    }
    if weights in contents:
        torch.save(contents[weights], tmp_path / weights)
    with pytest.raises(NmfdiagError, match=words):
        add("bad", ARCH, tmp_path / weights, place / "train", zoo=tmp_path / "zoo")
    assert not Path("/tmp/nmfdiag-trap").exists()
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "pools", "digits", "digits-mlp-p0-s0", "a" * 101])
def test_names_that_are_none_or_taken(place: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(NmfdiagError, match=r"A network's name is letters, digits|is taken: choose another"):
        add(name, ARCH, place / "weights.pth", place / "train", zoo=tmp_path)


def test_what_else_is_refused(place: Path, added: ZooEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(words: str, *, name: str = "x", arch: str = ARCH, data: Path = place / "train", **options: Any) -> None:
        with pytest.raises(NmfdiagError, match=words):
            add(name, arch, place / "weights.pth", data, zoo=added.folder.parent, **options)

    refused("The name 'fish' is taken", name="fish")
    refused("Unknown architecture 'cnn': accepted are torchvision's", arch="cnn")
    refused("Every class needs at least 2 images, got per_class=1", per_class=1)
    refused("Class 'shark' has no folder", classes=["shark"])
    refused(
        "Class tench needs at least 2 images, .* has 1", data=write_images(tmp_path / "one", n=1, classes=("tench",))
    )
    refused("was not understood", data=write_images(tmp_path / "strange", classes=("shirk",)))
    strip = write_images(tmp_path / "strip", size=(63, 3), classes=("tench",))
    refused(r"tench/0\.jpg is 63x3: one side is over 20 times the other", data=strip)
    damaged = write_images(tmp_path / "damaged", classes=("tench",))
    (damaged / "tench" / "1.jpg").write_bytes(b"no image")
    refused(r"tench/1\.jpg can't be decoded as an image", data=damaged)
    (tmp_path / "index.json").write_text(json.dumps({"0": ["n01440764", "tench"]}))
    refused(r"The class index index\.json has 1 classes, the network 1000", class_index=tmp_path / "index.json")
    refused(
        "has no image of the 1 classes", classes=["tench"], test=write_images(tmp_path / "test", classes=("goldfish",))
    )
    monkeypatch.setattr(add_network, "MAX_POOL_BYTES", 10**6)
    refused(r"6 images of 2 classes take 0\.0 GiB in memory, accepted are .*--classes", per_class=3)
    assert "x" not in entries()


@pytest.mark.soak
def test_a_network_without_relu(place: Path, tmp_path: Path) -> None:
    torch.save(build("efficientnet_b0", (3, 224, 224), 1000).state_dict(), tmp_path / "w.pth")
    with pytest.raises(NmfdiagError, match=r"EfficientNet has no ReLU layer \(found: .*SiLU"):
        add("silu", "efficientnet_b0", tmp_path / "w.pth", place / "train", zoo=tmp_path / "zoo")


def test_at_the_shell(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "zoo",
        "add",
        "shell",
        "--arch",
        ARCH,
        "--weights",
        str(place / "weights.pth"),
        "--data",
        str(place / "train"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NMFDIAG_ZOO", str(tmp_path))
        assert main([*command, "--classes", "goldfish", "--json"]) == OK
        record = json.loads(capsys.readouterr().out)
        assert record["classes"] == ["goldfish"] and record["pool_accuracy"] == 1 and record["test_accuracy"] is None
        assert main(command) == MISTAKE
        assert "is taken" in capsys.readouterr().err
        assert lookup("shell").classes == (GOLDFISH,)
        assert main(["zoo", "list"]) == OK
        assert "shell                         1.000      ?" in capsys.readouterr().out


SMOOTH_CLASSES = 3


@pytest.fixture(scope="module")
def own_zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("own_zoo")
        patch.setenv("NMFDIAG_ZOO", str(folder))
        yield folder


@pytest.fixture(scope="module")
def opened(own_zoo: Path) -> Opened:
    """A shipped network as if it were a stranger's: its weights in a checkpoint, its samples in an .npz."""
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
    """A network whose activations can be negative, with random weights that float16 does not hold."""
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
    """The job queue's curve, which must be that of the opened network on its own."""
    request = CurveRequest(entry.name, layer, class_idx, method, grid="coarse", per_class=10)
    found = compute(request, device="cpu")
    batch = single_class_batch(opened.inputs, opened.given_labels, class_idx, size=10)
    alone = compression_curve(
        opened.model, layer, batch.inputs, batch.given_labels, method=method, ranks=coarse_ranks,
        activations=entry.activations,
    )  # fmt: skip
    assert found.accuracy == alone.accuracy and found.relative_error == alone.relative_error
    return found


def test_an_opened_network_is_one_of_the_zoo(own_zoo: Path, opened: Opened) -> None:
    steps: list[float] = []
    add_opened("mine", opened, on_progress=lambda done, words: steps.append(done))
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
    relus, every = add_opened("relus", smooth), smooth_entry
    assert every.method == "signed" and lookup("smooth").activations == "all"
    assert set(relus.layers) < set(every.layers) and "features.0.2" not in relus.layers
    found = same_curve(every, smooth, "features.0.2", 1, "signed")
    assert found.method == "signed"
    assert same_curve(every, smooth, next(iter(relus.layers)), 1, "nmf").method == "nmf"


def test_recorded_activations_and_vectors(own_zoo: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    A, y, weight = rng.random((30, 6)), np.arange(30) % 3, rng.normal(size=(3, 6))
    for name, activations in (("flat", A), ("maps", rng.random((30, 6, 2, 2)))):
        np.savez(tmp_path / f"{name}.npz", activations=activations, labels=y, weight=weight)
        found = open_activations(tmp_path / f"{name}.npz")
        entry = add_opened(name, found)
        assert entry.layers == {"activations": 6} and verify(entry) == []
        same_curve(entry, found, "activations", 2, "nmf")
    model = build("mlp", (6, 1, 1), 3, width=8, depth=2)
    torch.save(model.state_dict(), tmp_path / "mlp.pt")
    np.savez(tmp_path / "vectors.npz", x=A, y=y)
    found = open_checkpoint("mlp", tmp_path / "mlp.pt", tmp_path / "vectors.npz")
    same_curve(add_opened("vectors", found), found, "fc2", 0, "nmf")


def test_a_network_that_was_to_be_replaced_is_back_if_that_fails(
    own_zoo: Path, opened: Opened, smooth: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def everything() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in own_zoo.rglob("*") if path.is_file()}

    add_opened("kept", opened)
    before = everything()
    with monkeypatch.context() as patch:
        patch.setattr("nmfdiag.zoo.store.write_entry", lambda entry: os.truncate(own_zoo / "no-such-file", 0))
        with pytest.raises(FileNotFoundError):
            add_opened("kept", smooth, replace=True)
    assert everything() == before and lookup("kept").recipe.arch == "cnn"
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
        NmfdiagError, match=r"is made by code of its own, which the zoo does not run: it can be diagnosed"
    ):
        add_opened("code", replace(opened, arch=""))
    assert "code" not in entries()
