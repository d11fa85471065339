"""The registry of architectures: a new one is a record; kinds by name, by a run, and by curves agree on the zoo's."""

import argparse
from collections import OrderedDict
from dataclasses import replace
from math import prod

import pytest
import torch
from planted_references import SHAPE, curve
from torch import nn

from nmfdiag.commands.network_options import add_network_options
from nmfdiag.diagnosis.comparability import kind_of_curves
from nmfdiag.diagnosis.references import references
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.architectures import (
    ARCHITECTURES,
    FULLY_CONNECTED,
    Architecture,
    Shape,
    build,
    kind_of_architecture,
)
from nmfdiag.networks.checkpoints.match import nearest_architectures, network_for, options_for
from nmfdiag.networks.survey import kind_of_model
from nmfdiag.views.your_network import architectures, subject
from nmfdiag.zoo.recipes import Recipe
from nmfdiag.zoo.registry import lookup


def make_toy(input_shape: Shape, n_classes: int, width: int = 4) -> nn.Module:
    layers = {"flatten": nn.Flatten(), "fc": nn.Linear(prod(input_shape), width), "relu": nn.ReLU()}
    return nn.Sequential(OrderedDict(layers, classifier=nn.Linear(width, n_classes)))


def test_a_new_architecture_is_one_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a toy, which is then built, recognised by its weights, offered and named like the zoo's architectures."""
    toy = Architecture(
        "toy", "toy network", make_toy, FULLY_CONNECTED, options_of=lambda state: {"width": len(state["fc.bias"])},
        input_shape_of=lambda state: (state["fc.weight"].shape[1], 1, 1), takes_vectors=True,
    )  # fmt: skip
    monkeypatch.setitem(ARCHITECTURES, "toy", toy)
    model = build("toy", (6, 1, 1), 3, width=5)
    assert nearest_architectures(model.state_dict())[0] == ("toy", 1.0)
    assert options_for("toy", model.state_dict()) == {"width": 5}
    network, n_outputs = network_for("toy", model.state_dict(), (6,))
    assert n_outputs == 3 and torch.equal(network(torch.ones(1, 6)), model(torch.ones(1, 6)))
    assert architectures()["toy"] == "toy network (ours)"  # on the page
    parser = argparse.ArgumentParser()
    add_network_options(parser)
    assert ", toy or one of torchvision's" in " ".join(parser.format_help().split())
    with pytest.raises(NmfdiagError, match=r"accepted are cnn, .*, toy and torchvision's"):
        build("toi")
    reference = replace(references(FULLY_CONNECTED)[0], arch="toy")
    assert reference.kind == FULLY_CONNECTED and reference.family.endswith(" toy")
    recipe = Recipe("digits", "toy", label_noise=0.0, seed=0, n_train=100)
    assert "toy" in subject(replace(lookup("digits-mlp-p0-s0"), recipe=recipe), {})


@pytest.mark.parametrize(
    ("arch", "shape", "kind"),
    [
        ("mlp", (1, 8, 8), "fully-connected"),
        ("cnn", (1, 16, 16), "convolutional"),
        ("audio_cnn", (1, 32, 32), "convolutional"),
        ("resnet", (3, 16, 16), "residual"),
    ],
)
def test_name_and_model_agree(arch: str, shape: tuple[int, int, int], kind: str) -> None:
    assert kind_of_architecture(arch) == kind_of_model(build(arch, shape, 10), torch.rand(2, *shape)) == kind


class Branching(nn.Module):
    """Adds two branches where its samples are negative, and keeps what it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.calls = nn.Conv1d(1, 1, 1), nn.Conv1d(1, 1, 1), 0
        self.kept: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.kept = torch.rand(()) + self.a(x)
        return self.kept if x.sum() > 0 else self.a(x).add_(self.b(x))


def test_a_networks_own_code_tells_its_sums_and_nothing_of_it_stays() -> None:
    model, before = Branching().train(), torch.get_rng_state()
    assert kind_of_model(model, -torch.ones(4, 1, 3)) == "residual"
    assert kind_of_model(model, torch.ones(4, 1, 3)) == "convolutional"
    assert model.calls == 0 and model.kept is None and model.training and torch.equal(torch.get_rng_state(), before)


def test_sums_attention_and_unknown_names() -> None:
    none = torch.rand(2, 1)
    assert kind_of_model(nn.TransformerEncoderLayer(8, 2), none) == kind_of_model(nn.LSTM(2, 2), none) == "other"
    assert kind_of_model(nn.ReLU(), none) == "other" and kind_of_architecture("mine:net") == ""
    assert kind_of_architecture("wide_resnet50_2") == "residual" and kind_of_architecture("vgg11") == "convolutional"


def test_curves_show_places() -> None:
    dense = curve(0.9, shape=SHAPE["fc"])
    assert kind_of_curves([dense]) == "fully-connected" and kind_of_curves([dense, curve(0.9)]) == "convolutional"
