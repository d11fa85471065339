"""Kinds of networks: by name, by modules and graph, and by their curves; the three agree on the zoo's architectures."""

import pytest
import torch
from planted_references import SHAPE, curve
from torch import nn

from nmfdiag.diagnosis.comparability import kind_of_curves
from nmfdiag.networks.architectures import build
from nmfdiag.networks.kind import kind_of_architecture, kind_of_model


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
