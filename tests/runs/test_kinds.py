"""Kinds of networks: by name, by modules and graph, and by their curves; the three agree on the zoo's architectures."""

import pytest
import torch
from planted_references import SHAPE, curve
from torch import nn

from nmfdiag.networks.architectures import build
from nmfdiag.runs.kinds import kind_of_architecture, kind_of_curves, kind_of_model


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
    with torch.device("meta"):
        model = build(arch, shape, 10)
    assert kind_of_architecture(arch) == kind_of_model(model) == kind


class Branching(nn.Module):
    """Adds two branches, in a way that torch.fx can or can't trace."""

    def __init__(self, traceable: bool):
        super().__init__()
        self.a, self.b, self.traceable = nn.Conv1d(1, 1, 1), nn.Conv1d(1, 1, 1), traceable

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.traceable and x.sum() > 0:
            return self.a(x)
        return self.a(x).add_(self.b(x))


def test_sums_attention_and_unknown_names() -> None:
    assert kind_of_model(Branching(True)) == "residual" and kind_of_model(Branching(False)) == "convolutional"
    assert kind_of_model(nn.TransformerEncoderLayer(8, 2)) == kind_of_model(nn.LSTM(2, 2)) == "other"
    assert kind_of_model(nn.ReLU()) == "other" and kind_of_architecture("mine:net") == ""
    assert kind_of_architecture("wide_resnet50_2") == "residual" and kind_of_architecture("vgg11") == "convolutional"


def test_curves_show_places() -> None:
    dense = curve(0.9, shape=SHAPE["fc"])
    assert kind_of_curves([dense]) == "fully-connected" and kind_of_curves([dense, curve(0.9)]) == "convolutional"
