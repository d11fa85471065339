"""Networks that are not of the zoo: the samples reach them as in training, and what is wrong is said."""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pickle_reader import read_in_process
from safetensors.torch import load_file, save_file
from torch import nn

from nmfdiag.data.datasets import Dataset
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.compression import compression_curve
from nmfdiag.networks.architectures import build
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo import open_network
from nmfdiag.zoo.fit_inputs import answers, as_outputs, in_channels
from nmfdiag.zoo.open_network import NORMALIZATIONS, open_activations, open_checkpoint, open_exported, open_factory
from nmfdiag.zoo.registry import ZooEntry, lookup

MODULE = """
from collections import OrderedDict

import torch
from torch import nn


def small():
    return nn.Sequential(OrderedDict(flat=nn.Flatten(), fc=nn.Linear(64, 8), act=nn.ReLU(), out=nn.Linear(8, 10)))


class Bright(nn.Module):
    \"\"\"Class 1 where an image's mean lies above the middle of inputs in -1 .. 1.\"\"\"

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x):
        mean = x.flatten(1).mean(1)
        return torch.stack([1e-3 + 0 * mean, self.act(mean)], dim=1)


class Word(nn.Module):
    def forward(self, x):
        return "word"
"""


@pytest.fixture(scope="module")
def entry() -> ZooEntry:
    return lookup("digits-cnn-p0.6-s0")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, entry: ZooEntry) -> Path:
    folder = tmp_path_factory.mktemp("opening")
    labels = load_file(entry.files["labels"])["given"].long()
    np.savez(folder / "digits.npz", x=load_file(entry.files["pool"])["inputs"].numpy(), y=labels.numpy())
    levels = np.repeat([10, 120, 140], [20, 10, 10]).astype(np.uint8)  # the middle one is above the mean of all
    np.savez(folder / "bright.npz", x=np.tile(levels[:, None, None, None], (1, 1, 4, 4)), y=levels // 130)
    return folder


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a module that lies in the current directory."""
    name = f"strange_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_a_checkpoint_and_its_normalization_are_found(place: Path, entry: ZooEntry) -> None:
    opened = open_checkpoint("auto", entry.files["weights"], place / "digits.npz", per_class=20)
    assert opened.arch == "cnn" and opened.arch_options == {"width": 32}
    assert torch.bincount(opened.given_labels).tolist() == [20] * 10 and opened.inputs.dtype == torch.float32
    assert opened.normalization.startswith("data (mean 0.3") and "none" in opened.normalization
    assert opened.class_names == tuple("0123456789")
    assert float((answers(opened.model, opened.inputs).argmax(1) == opened.given_labels).float().mean()) > 0.97
    assert "found by its weights" in opened.provenance["network"]
    assert opened.stored is not None and torch.equal(opened.scaling(opened.stored), opened.inputs)
    assert str(place) not in " ".join(opened.provenance.values())


def test_the_samples_are_drawn_by_the_seed(place: Path, entry: ZooEntry) -> None:
    openings = [
        open_checkpoint(
            "cnn", entry.files["weights"], place / "digits.npz", per_class=5, seed=seed, normalization="0.305/0.376"
        )
        for seed in (0, 0, 1)
    ]
    assert torch.equal(openings[0].inputs, openings[1].inputs) and not torch.equal(
        openings[0].inputs, openings[2].inputs
    )
    assert openings[0].normalization == "0.305/0.376, as asked for"
    assert torch.allclose(openings[0].inputs, (openings[0].stored.float() / 255 - 0.305) / 0.376, atol=1e-5)  # type: ignore[union-attr]


def test_the_normalization_that_answers_right_is_taken(place: Path, code: str) -> None:
    opened = open_factory(f"{code}:Bright", place / "bright.npz")
    assert opened.normalization.startswith("half: 100% of 32 samples right")
    assert all(text in opened.normalization for text in ("none 31%", "data 72%", "bytes 31%"))
    assert opened.arch == "" and opened.title == f"{code}:Bright"
    for name in NORMALIZATIONS:
        if name not in ("auto", "imagenet"):
            assert open_factory(f"{code}:Bright", place / "bright.npz", normalization=name).inputs.shape == (
                40,
                1,
                4,
                4,
            )


def test_a_module_of_the_users_with_weights(place: Path, code: str, tmp_path: Path) -> None:
    model = nn.Sequential(OrderedDict(flat=nn.Flatten(), fc=nn.Linear(64, 8), act=nn.ReLU(), out=nn.Linear(8, 10)))
    state = model.state_dict()
    save_file({f"net.{name}": value for name, value in state.items()}, tmp_path / "w.safetensors")
    opened = open_factory(
        f"{code}:small", place / "digits.npz", weights=tmp_path / "w.safetensors", normalization="none"
    )
    assert torch.allclose(answers(opened.model, opened.inputs), model(opened.inputs), atol=1e-6)
    assert not opened.model.training and "w.safetensors" in opened.provenance["weights"]

    save_file(
        {"fc.weight": torch.zeros(3, 3), "fc.bias": state["fc.bias"], "x": torch.zeros(1)}, tmp_path / "no.safetensors"
    )
    with pytest.raises(NmfdiagError) as error:
        open_factory(f"{code}:small", place / "digits.npz", weights=tmp_path / "no.safetensors")
    assert "they lack 2 of its 4 tensors ('out.weight', 'out.bias'), it lacks 1 of theirs ('x')" in str(error.value)
    assert "fc.weight: (3, 3) here, (8, 64) in the network" in str(error.value)
    save_file(state | {"fc.bias": torch.full((8,), torch.nan)}, tmp_path / "nan.safetensors")
    with pytest.raises(NmfdiagError, match=r"hold NaN or infinite values, in fc\.bias"):
        open_factory(f"{code}:small", place / "digits.npz", weights=tmp_path / "nan.safetensors")
    with pytest.raises(NmfdiagError, match="must return logits"):
        open_factory(f"{code}:Word", place / "digits.npz")


def test_an_exported_program(place: Path, tmp_path: Path) -> None:
    model = build("cnn", (1, 8, 8), 10, width=4).eval()
    program = torch.export.export(model, (torch.zeros(2, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(NmfdiagError, match="--trust"):
        open_exported(tmp_path / "net.pt2", place / "digits.npz")
    opened = open_exported(tmp_path / "net.pt2", place / "digits.npz", trust=True, per_class=3, normalization="half")
    assert torch.allclose(answers(opened.model, opened.inputs), model(opened.inputs), atol=1e-5)
    assert [layer.name for layer in SplitNetwork(opened.model, opened.inputs[:2]).layers][:2]
    assert opened.provenance["network"].startswith("exported, net.pt2, sha256 ")
    np.savez(tmp_path / "large.npz", x=np.zeros((20, 12, 10, 3), np.uint8), y=np.arange(20) % 10)
    assert open_exported(tmp_path / "net.pt2", tmp_path / "large.npz", trust=True).inputs.shape == (20, 1, 8, 8)


def test_recorded_activations_give_the_curve_of_the_network(entry: ZooEntry, tmp_path: Path) -> None:
    model, pool = entry.load_model(), entry.load_pool()
    cut = SplitNetwork(model, pool.inputs[:2]).cut("conv3_3", pool.inputs)
    head = model.get_submodule("classifier")
    arrays: dict[str, Any] = {
        "activations": cut.activation.numpy(), "labels": pool.given_labels.numpy(),
        "weight": head.weight.detach().numpy(), "bias": head.bias.detach().numpy(),
    }  # fmt: skip
    np.savez(tmp_path / "conv3_3.npz", **arrays)
    opened = open_activations(tmp_path / "conv3_3.npz")
    of_one = opened.given_labels == 2
    curves = [
        compression_curve(network, layer, inputs[of_one], opened.given_labels[of_one], method="pca")
        for network, layer, inputs in ((model, "conv3_3", pool.inputs), (opened.model, "activations", opened.inputs))
    ]
    assert np.allclose(curves[0].accuracy, curves[1].accuracy, atol=0.011)
    assert curves[1].baseline_accuracy > 0.97
    assert (
        opened.title == "conv3_3" and opened.arch == "activations" and opened.arch_options == {"places": 1, "bias": 1}
    )

    vectors = arrays | {"activations": cut.activation.mean((2, 3)).numpy()}
    np.savez(tmp_path / "fc.npz", **{k: v for k, v in vectors.items() if k != "bias"})
    flat = open_activations(tmp_path / "fc.npz")
    expected = torch.from_numpy(vectors["activations"]) @ head.weight.T
    assert torch.allclose(answers(flat.model, flat.inputs), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"activations": -np.ones((4, 3))}, r"negative values \(down to -1\): record them after the ReLU"),
        ({"activations": np.full((4, 3), np.inf)}, "activations holds values that are not finite"),
        ({"activations": np.ones((4, 3, 2))}, r"must be \(n, c\) or \(n, c, h, w\), .*got \(4, 3, 2\), \(4,\)"),
        ({"activations": np.ones((0, 3)), "labels": np.zeros(0, int)}, r"got \(0, 3\)"),
        ({"weight": np.ones((2, 4))}, r"got \(4, 3\), \(4,\), \(2, 4\) and no bias"),
        ({"weight": np.float32(3)}, r"got \(4, 3\), \(4,\), \(\) and no bias"),
        ({"bias": np.ones(3)}, r"and \(3,\)"),
        ({"labels": np.array([0, 1, 2, 1])}, r"Labels must lie in 0 \.\. 1, got 0 \.\. 2"),
        ({"labels": np.ones(4)}, "Labels must be whole numbers"),
        ({"labels": None}, "has no array called labels or y"),
    ],
)
def test_activations_that_are_none(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    arrays = {"activations": np.ones((4, 3)), "labels": np.array([0, 1, 0, 1]), "weight": np.ones((2, 3))} | changed
    np.savez(tmp_path / "a.npz", **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(NmfdiagError, match=message):
        open_activations(tmp_path / "a.npz")


def test_vectors(tmp_path: Path) -> None:
    model = build("mlp", (6, 1, 1), 3, width=4, depth=2)
    torch.save(model.state_dict(), tmp_path / "w.pt")
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "v.npz", x=rng.normal(size=(30, 6)) * 9, y=np.arange(30) % 3)
    opened = open_checkpoint("mlp", tmp_path / "w.pt", tmp_path / "v.npz", normalization="data")
    assert opened.inputs.shape == (30, 6)
    assert torch.allclose(opened.inputs.std(0), torch.ones(6), atol=0.05)


def a_set(names: tuple[str, ...], shape: tuple[int, ...] = (1, 2, 2)) -> Dataset:
    labels = torch.arange(2 * len(names)) % len(names)
    return Dataset("own", "train", torch.full((len(labels), *shape), 9, dtype=torch.uint8), labels, names)


def test_which_output_a_label_is() -> None:
    labels, names = as_outputs(a_set(("b", "a", "a")), 3)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2] and len(set(names)) == 3
    output_names = tuple(f"kind {i}" for i in range(20))
    labels, names = as_outputs(a_set(("kind 7", "Kind_3")), 20, output_names)
    assert labels.tolist() == [7, 3, 7, 3] and names == output_names
    labels, names = as_outputs(a_set(("4", "11")), 20, output_names)
    assert labels.tolist() == [4, 11, 4, 11] and names == output_names
    labels, names = as_outputs(a_set(("4", "11")), 12)
    assert labels.tolist() == [4, 11, 4, 11] and names == tuple(map(str, range(12)))
    labels, names = as_outputs(a_set(("x", "y")), 3)
    assert labels.tolist() == [0, 1, 0, 1] and names == ("x", "y", "2")
    with pytest.raises(NmfdiagError, match=r"own has 3 classes \(labels up to 2\), the network has 2 outputs"):
        as_outputs(a_set(("a", "b", "c")), 2)


def test_grey_and_colour_stand_for_each_other() -> None:
    grey, note = in_channels(a_set(("a", "b")), 3)
    assert grey.inputs.shape == (4, 3, 2, 2) and "three channels" in note
    coloured = Dataset(
        "own", "train", torch.tensor([255, 0, 10], dtype=torch.uint8).view(1, 3, 1, 1), torch.zeros(1), ("a",)
    )
    back, note = in_channels(coloured, 1)
    assert back.inputs.dtype == torch.uint8 and back.inputs.flatten().tolist() == [77] and note
    for channels in (None, 1, 4):
        same, note = in_channels(a_set(("a", "b")), channels)
        assert same.inputs.shape == (4, 1, 2, 2) and not note


def test_a_network_for_colours_takes_grey_images_of_another_size(place: Path, code: str, tmp_path: Path) -> None:
    state = build("cnn", (3, 16, 16), 10, width=4).state_dict()
    torch.save(state, tmp_path / "w.pt")
    opened = open_checkpoint("cnn", tmp_path / "w.pt", place / "digits.npz", size=16, per_class=2, normalization="none")
    assert opened.inputs.shape == (20, 3, 16, 16)
    assert opened.provenance["images"].startswith("grey") and "3x16x16" in opened.provenance["samples"]


def test_what_is_refused(place: Path, entry: ZooEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = entry.files["weights"]
    with pytest.raises(NmfdiagError, match="Every class needs at least 2 samples, got per_class=1"):
        open_checkpoint("cnn", weights, place / "digits.npz", per_class=1)
    with pytest.raises(NmfdiagError, match="Unknown data set 'nowhere'"):
        open_checkpoint("cnn", weights, "nowhere")
    with pytest.raises(NmfdiagError, match="Unknown normalisation 'sometimes': accepted are auto, none"):
        open_checkpoint("cnn", weights, place / "digits.npz", normalization="sometimes")
    with pytest.raises(NmfdiagError, match=r"'imagenet' has 3 channels, the inputs have 1 \(shape \(1, 8, 8\)\)"):
        open_checkpoint("cnn", weights, place / "digits.npz", normalization="imagenet")
    save_file({"x": torch.zeros(2)}, tmp_path / "strange.safetensors")
    with pytest.raises(NmfdiagError, match=r"fit no known architecture; .*--arch, or .*--model"):
        open_checkpoint("auto", tmp_path / "strange.safetensors", place / "digits.npz")
    np.savez(tmp_path / "more.npz", x=np.zeros((24, 1, 8, 8), np.uint8), y=np.arange(24) % 12)
    with pytest.raises(NmfdiagError, match=r"has 12 classes \(labels up to 11\), the network has 10 outputs"):
        open_checkpoint("cnn", weights, tmp_path / "more.npz")
    monkeypatch.setattr(open_network, "MAX_BYTES", 20_000)
    with pytest.raises(NmfdiagError, match=r"500 samples of 10 classes take 0\.0 GiB in memory, .*--per-class 7 fits"):
        open_checkpoint("cnn", weights, place / "digits.npz")


SHAPES = """
from torch import nn

conv1d = lambda: nn.Sequential(nn.Conv1d(8, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 2))
conv2d = lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
conv3d = lambda: nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
tokens = lambda: nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.ReLU(), nn.Linear(24, 2))
"""


@pytest.mark.parametrize(("name", "shape", "dtype", "expected"), [
    ("conv1d", (8, 8), np.float32, (8, 8)), ("conv2d", (8, 8), np.uint8, (1, 8, 8)), ("conv2d", (8, 8, 1), np.float64, (1, 8, 8)),
    ("conv3d", (1, 4, 4, 4), np.float32, (1, 4, 4, 4)), ("tokens", (6,), np.int32, (6,)), ("tokens", (6,), np.float32, (6,)),
])  # fmt: skip
def test_arrays_of_any_number_of_axes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    shape: tuple[int, ...],
    dtype: type,
    expected: tuple[int, ...],
) -> None:
    module = f"shapes_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(SHAPES)
    monkeypatch.syspath_prepend(str(tmp_path))
    x = np.random.default_rng(0).integers(0, 9, (6, *shape)).astype(dtype)
    np.savez(tmp_path / "x.npz", x=x, y=np.arange(6) % 2)
    opened = open_factory(f"{module}:{name}", tmp_path / "x.npz", normalization="none")
    assert opened.inputs.shape == (6, *expected)
    assert opened.inputs.dtype == (torch.int64 if name == "tokens" else torch.float32)
    if name == "tokens":
        assert np.array_equal(opened.inputs, x)
        with pytest.raises(NmfdiagError, match="takes whole numbers as they are"):
            open_factory(f"{module}:{name}", tmp_path / "x.npz", normalization="half")


def test_a_note_advises_no_normalisation_that_was_used_or_tried(place: Path, code: str, tmp_path: Path) -> None:
    stored = np.load(place / "bright.npz")
    np.savez(tmp_path / "x.npz", x=stored["x"].astype(np.float32), y=stored["y"])
    for data in (place / "bright.npz", tmp_path / "x.npz"):
        assert open_factory(f"{code}:Bright", data).alternatives == {}
        for name in ("none", "half", "data", "0/255"):
            opened = open_factory(f"{code}:Bright", data, normalization=name)
            assert opened.stored is not None and opened.alternatives
            assert not any(torch.allclose(way(opened.stored), opened.inputs) for way in opened.alternatives.values())


def test_other_weights_of_a_checkpoint_are_named_and_can_be_chosen(
    place: Path, entry: ZooEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_in_process(monkeypatch)
    state = entry.load_model().state_dict()
    averaged = {f"module.{name}": value / 2 for name, value in state.items()}
    torch.save({"model": state, "model_ema": averaged, "optimizer": {"exp_avg": state}}, tmp_path / "w.pth")
    openings = [
        open_checkpoint("cnn", tmp_path / "w.pth", place / "digits.npz", per_class=2, weights_key=key)
        for key in ("", "model_ema")
    ]
    assert openings[0].other_weights == ("model_ema",) and openings[1].other_weights == ("model",)
    assert "also holds model_ema (--weights-key)" in openings[0].provenance["weights"]
    assert "those called model_ema" in openings[1].provenance["weights"]
    for opened, half in zip(openings, (1, 2), strict=True):
        assert torch.equal(opened.model.state_dict()["classifier.bias"] * half, state["classifier.bias"])
    with pytest.raises(NmfdiagError, match="no set of weights called 'ema': there are 'model', 'model_ema'"):
        open_checkpoint("cnn", tmp_path / "w.pth", place / "digits.npz", weights_key="ema")
