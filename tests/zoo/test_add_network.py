"""A torchvision classifier becomes a network of the user's zoo: its files, its curves, and every refusal."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from nmfdiag.cli import MISTAKE, OK, main
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.requests import profile_requests
from nmfdiag.networks.architectures import build
from nmfdiag.views.classes.figures import map_figure
from nmfdiag.views.classes.sentences import correlations_text
from nmfdiag.views.classes.tables import class_of, single_class_curves
from nmfdiag.views.curve_tables import network_table
from nmfdiag.views.selection import BOTH, MULTI, Choice
from nmfdiag.zoo import add_network
from nmfdiag.zoo.add_network import add
from nmfdiag.zoo.registry import ZooEntry, entries, lookup
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
    assert pool.file_names[:2] == ("tench/0.jpg", "tench/1.jpg") and len(pool.file_names) == 6
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
        NmfdiagError, match=r"fish was added without samples of class 2: it has 0 \(tench\), 1 \(goldfish"
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
    curves = single_class_curves(
        choice, {request: compute(request, device="cpu") for request in choice.requests(layers=[last])}
    )
    figure = map_figure(curves, 0.0, class_idx=GOLDFISH)
    assert list(figure.data[0].y) == ["tench", "goldfish"] and len(figure.data[0].z) == 2
    assert [row[-1] for row in figure.data[0].z] == [0, 1]
    assert class_of("goldfish", curves, 0.0) == GOLDFISH
    with pytest.raises(NmfdiagError, match=r"Unknown class 'great white shark' \(available: tench, goldfish\)\."):
        class_of("great white shark", curves, 0.0)
    assert curves.points(last) == []
    assert "no test samples" in correlations_text(curves, 0.0, last)
    row = network_table([added]).iloc[0]
    assert row["test accuracy"] is None and row["generalisation gap"] is None and row["training samples"] is None


def test_safetensors_test_images_and_some_classes(place: Path, network: nn.Module, tmp_path: Path) -> None:
    state = {f"module.{k}": v for k, v in network.state_dict().items()}
    save_file(state, tmp_path / "w.safetensors")
    steps: list[float] = []
    entry = add(
        "gold", ARCH, tmp_path / "w.safetensors", place / "train", test=place / "test", classes=["goldfish"], per_class=2,
        zoo=tmp_path / "zoo", on_progress=lambda share, text: steps.append(share),
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
    downloads: list[dict[str, Any]] = []

    def download(url: str, **options: Any) -> dict[str, torch.Tensor]:
        downloads.append({"url": url, **options})
        return network.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    entry = add("web", ARCH, "imagenet", place / "train", zoo=tmp_path)
    assert entry.trained_with["weights"] == "SqueezeNet1_1_Weights.IMAGENET1K_V1"
    assert downloads[0]["url"] == models.SqueezeNet1_1_Weights.DEFAULT.url and downloads[0]["weights_only"]

    def offline(url: str, **options: Any) -> None:
        raise URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(NmfdiagError, match=r"could not download its weights of squeezenet1_1 .*Offline, give the path"):
        add("web2", ARCH, "imagenet", place / "train", zoo=tmp_path)


class Trap:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (Path("/tmp/nmfdiag-trap").touch, ())  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("nowhere.pth", r"There is no weights file .*accepted are 'imagenet' or a"),
        ("damaged.pth", r"The weights damaged\.pth can't be read"),
        ("trap.pth", r"The weights trap\.pth can't be read"),
        ("damaged.safetensors", r"The weights damaged\.safetensors can't be read"),
        ("list.pth", r"The weights list\.pth are not a state dict"),
        ("whole.pth", r"The weights whole\.pth can't be read"),
        ("other.pth", r"The weights other\.pth don't fit squeezenet1_1: they have no tensor 'classifier\.1\.bias'"),
        ("scalar.pth", r"The weights scalar\.pth don't fit squeezenet1_1"),
        ("lacking.pth", r"The weights lacking\.pth don't fit squeezenet1_1: they lack 51 of its 52 tensors"),
        ("nan.pth", r"The weights nan\.pth hold NaN or infinite values, in features\.0\.weight"),
    ],
)
def test_weights_that_are_none(place: Path, network: nn.Module, tmp_path: Path, weights: str, message: str) -> None:
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
    with pytest.raises(NmfdiagError, match=message):
        add("bad", ARCH, tmp_path / weights, place / "train", zoo=tmp_path / "zoo")
    assert not Path("/tmp/nmfdiag-trap").exists()
    assert not (tmp_path / "zoo").exists()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "pools", "digits", "digits-mlp-p0-s0", "a" * 101])
def test_names_that_are_none_or_taken(place: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(NmfdiagError, match=r"A network's name is letters, digits|is taken: choose another"):
        add(name, ARCH, place / "weights.pth", place / "train", zoo=tmp_path)


def test_what_else_is_refused(place: Path, added: ZooEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(
        message: str, *, name: str = "x", arch: str = ARCH, data: Path = place / "train", **options: Any
    ) -> None:
        with pytest.raises(NmfdiagError, match=message):
            add(name, arch, place / "weights.pth", data, zoo=added.folder.parent, **options)

    refused("The name 'fish' is taken", name="fish")
    refused("Unknown architecture 'cnn': accepted are torchvision's", arch="cnn")
    refused("Every class needs at least 2 images, got per_class=1", per_class=1)
    refused("Class 'shark' has no folder", classes=["shark"])
    refused(
        "Class tench needs at least 2 images, .* has 1", data=write_images(tmp_path / "one", n=1, classes=("tench",))
    )
    refused("was not recognised", data=write_images(tmp_path / "strange", classes=("shirk",)))
    strip = write_images(tmp_path / "strip", size=(63, 3), classes=("tench",))
    refused(r"tench/0\.jpg is 63x3: one side is over 20 times the other", data=strip)
    damaged = write_images(tmp_path / "damaged", classes=("tench",))
    (damaged / "tench" / "1.jpg").write_bytes(b"no image")
    refused(r"tench/1\.jpg can't be decoded as an image", data=damaged)
    (tmp_path / "index.json").write_text(json.dumps({"0": ["n01440764", "tench"]}))
    refused(r"The class index index\.json has 1 classes, the network 1000", class_index=tmp_path / "index.json")
    refused(
        "has no image of the 1 chosen classes",
        classes=["tench"],
        test=write_images(tmp_path / "test", classes=("goldfish",)),
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
