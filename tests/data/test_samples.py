"""Samples and labels in every form are accepted, or refused in one sentence."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nmfdiag
from nmfdiag.data.samples import as_inputs, as_samples
from nmfdiag.errors import NmfdiagError

X = torch.rand(12, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 3
ONE_HOT = torch.eye(3)[Y]


class Pairs:
    """Read by index, as a Dataset of another library."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> dict[str, object]:
        return {"image": X[i].numpy(), "label": int(Y[i])}


FORMS = {
    "tensor": X, "numpy": X.numpy(), "float64": X.double().numpy(), "other byte order": X.numpy().astype(">f4"), "half": X.half(),
    "list": X.tolist(), "list of tensors": list(X), "list of arrays": list(X.numpy()), "frame": pd.DataFrame(X.numpy()),
    "reversed": X.numpy()[::-1][::-1], "objects": X.numpy().astype(object), "Dataset": TensorDataset(X),
    "DataLoader": DataLoader(TensorDataset(X), 5), "pairs": TensorDataset(X, Y),
}  # fmt: skip
LABELS = {
    "tensor": Y, "uint8": Y.byte(), "uint16": Y.numpy().astype(np.uint16), "uint64": Y.numpy().astype(np.uint64), "list": Y.tolist(),
    "objects": np.array(Y.tolist(), object), "series": pd.Series(Y.numpy()), "nullable": pd.Series(Y.tolist(), dtype="Int64"),
    "categories": pd.Series(Y.tolist()).astype("category"), "one-hot": ONE_HOT, "one-hot ints": ONE_HOT.long().numpy(),
    "one-hot booleans": ONE_HOT.bool().numpy(), "list of tensors": list(Y), "one-hot list": ONE_HOT.tolist(),
}  # fmt: skip
REFUSED = {
    "text": ([str(int(c)) for c in Y], "are text .*names.index"),
    "categories of text": (pd.Series(["a", "b", "c"] * 4).astype("category"), "are text"),
    "soft": (torch.full((12, 3), 1 / 3), "probabilities of classes"),
    "several classes": (torch.ones(12, 3), "none or several classes"),
    "a column": (Y[:, None], "a column.*labels\\[:, 0\\]"),
    "NaN": (Y.float().where(Y > 0, torch.nan), "NaN in 4 of 12"),
    "floats": (Y.float(), "whole numbers"),
    "None": (None, "labels are None"),
    "some None": ([None, *Y.tolist()[1:]], r"None or NA\) in 1 of 12"),
    "NA": (pd.Series([*Y.tolist()[:-1], None], dtype="Int64"), "NaN in 1 of 12"),
    "masked": (np.ma.masked_equal(Y.numpy(), 1), "masked"),
    "dates": (np.zeros(12, "datetime64[s]"), "datetime64"),
    "too few": (Y[:3], "12 inputs but 3 labels"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_inputs_of_every_form_are_one_tensor(form: str) -> None:
    x, y = as_samples(FORMS[form], Y, nn.Linear(5, 3))
    assert x.dtype == torch.float32 and y.dtype == torch.int64
    assert torch.allclose(x, X, atol=1e-3 if form == "half" else 0)


@pytest.mark.parametrize("form", LABELS)
def test_labels_of_every_form_are_class_numbers(form: str) -> None:
    assert torch.equal(as_samples(X, LABELS[form])[1], Y)


@pytest.mark.parametrize("kind", REFUSED)
def test_labels_that_are_no_classes_are_refused(kind: str) -> None:
    labels, message = REFUSED[kind]
    with pytest.raises(NmfdiagError, match=message):
        as_samples(X, labels)


@pytest.mark.parametrize("source", [Pairs(), TensorDataset(X, Y), (X, Y), list(zip(X, Y, strict=True)), {"x": X, "y": Y},
                                    DataLoader(TensorDataset(X, Y), 5), DataLoader(TensorDataset(X, ONE_HOT), 5), DataLoader(Pairs(), 4)])  # type: ignore[arg-type]  # fmt: skip
def test_samples_that_bring_their_labels(source: object) -> None:
    x, y = as_samples(source)
    assert torch.equal(x, X) and torch.equal(y, Y)


def test_a_loader_that_shuffles_keeps_samples_and_labels_together_and_no_random_state_moves() -> None:
    loader = DataLoader(TensorDataset(X, Y), 5, shuffle=True)
    states = torch.get_rng_state(), random.getstate()
    x, y = as_samples(loader)
    assert sorted(zip(x[:, 0].tolist(), y.tolist(), strict=True)) == sorted(
        zip(X[:, 0].tolist(), Y.tolist(), strict=True)
    )
    assert torch.equal(torch.get_rng_state(), states[0]) and random.getstate() == states[1]
    for shuffled in (loader, DataLoader(TensorDataset(X), 5, shuffle=True)):
        with pytest.raises(NmfdiagError, match="labels can't be matched with samples"):
            as_samples(shuffled, Y)


@pytest.mark.parametrize(("inputs", "message"), [
    ((X, X), "a tuple of 2"), ([X, X], "2 parts of 12 each"), ({"x": X}, "dictionary"), ("x.npz", "text or a path"), (None, "None"),
    (X.to_sparse(), "sparse"), (X.where(X > 0.1, torch.nan), "NaN or infinite"), ([[1.0], [1.0, 2.0]], "not an array"),
    ([Image.new("L", (2, 2))] * 12, "pictures of Pillow"), (torch.tensor(3.0), "one number"), (np.array(["a"] * 12), "text"),
    ([X[0], X[1, :3]], "different shapes"), (DataLoader(TensorDataset(X, Y, Y), 5), "of 3 parts"),
])  # fmt: skip
def test_inputs_that_are_no_samples_are_refused(inputs: object, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        as_samples(inputs, Y)


def test_inputs_are_never_changed_and_half_precision_is_left_to_the_network() -> None:
    x = np.ones((4, 5), np.float32)
    x.setflags(write=False)
    as_samples(x, [0, 1, 0, 1])
    assert as_inputs(X, nn.Linear(5, 3).half()).dtype == torch.float32
    assert as_inputs(X, nn.Linear(5, 3).double()).dtype == torch.float64
    assert as_inputs((X * 255).byte(), nn.Linear(5, 3)).dtype == torch.uint8


def network(n_outputs: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, n_outputs))


DOORS = {
    "relu_layers": lambda x, y: nmfdiag.relu_layers(network(), x),
    "compression_curve": lambda x, y: nmfdiag.compression_curve(network(), "1", x, y, method="pca", ranks=[1]),
    "ablation_curve": lambda x, y: nmfdiag.ablation_curve(network(), "1", x, y, method="pca", ranks=[1]),
    "layer_profile": lambda x, y: nmfdiag.layer_profile(network(), x, y, methods=("pca",)),
    "MemorizationMonitor": lambda x, y: nmfdiag.MemorizationMonitor(x, y),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_takes_and_refuses_alike(door: str) -> None:
    for x, y in (
        (X.double().numpy(), ONE_HOT.numpy()),
        (DataLoader(TensorDataset(X, Y), 5), None),
        (pd.DataFrame(X.numpy()), Y.tolist()),
    ):
        DOORS[door](x, y)
    with pytest.raises(NmfdiagError, match="a tuple of 2"):
        DOORS[door]((X, X), Y)
    if door != "relu_layers":
        with pytest.raises(NmfdiagError, match="are text"):
            DOORS[door](X, ["a", "b", "c"] * 4)


def test_labels_counted_from_one_are_not_shifted_in_silence() -> None:
    for measure in (
        nmfdiag.layer_profile,
        lambda *arguments: nmfdiag.compression_curve(arguments[0], "1", *arguments[1:], method="pca"),
    ):
        with pytest.raises(NmfdiagError, match=r"0 \.\. 2, got 1 \.\. 3\. They seem to be counted from 1.*labels - 1"):
            measure(network(), X, Y + 1)


@pytest.mark.parametrize(("model", "inputs", "message"), [
    (network(), (X * 255).byte(), "whole numbers.*inputs.float\\(\\) / 255"),
    (nn.Conv2d(3, 4, 3), torch.rand(2, 8, 9, 3), "permute\\(0, 3, 1, 2\\)"),
    (nn.Conv2d(3, 4, 3), torch.rand(2, 1, 8, 8), "grey, and it takes colour"),
    (nn.Conv2d(1, 4, 3), torch.rand(5, 8, 8), "an axis of channels"),
    (nn.Linear(64, 4), torch.rand(2, 1, 8, 8), "flatten\\(1\\)"),
    (nn.Embedding(5, 4), torch.ones(2, 3), "inputs.long"),
])  # fmt: skip
def test_a_network_that_takes_something_else_says_what(model: nn.Module, inputs: torch.Tensor, message: str) -> None:
    with pytest.raises(NmfdiagError, match=f"can't take inputs of shape .*{message}"):
        nmfdiag.relu_layers(nn.Sequential(model, nn.ReLU()), inputs)
