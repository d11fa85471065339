"""A network must return logits; the sentence where it does not."""

import pytest
import torch
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.outputs import logits_of
from nmfdiag.networks.split import relu_layers

LOGITS, MAP, ONE = torch.rand(5, 3), torch.rand(5, 8, 4, 4), torch.rand(5, 1)


@pytest.mark.parametrize(
    "output",
    [LOGITS, (MAP, LOGITS), [torch.tensor(0.3), LOGITS, MAP], {"logits": LOGITS}, {"features": MAP, "answer": LOGITS}],
    ids=["tensor", "features first", "loss first", "named", "found in a dictionary"],
)
def test_the_logits_are_found(output: object) -> None:
    assert torch.equal(logits_of(output), LOGITS)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (MAP, r"a row a sample and two classes or more; got \(5, 8, 4, 4\)\."),
        ({"logits": MAP, "other": LOGITS}, r"got \(5, 8, 4, 4\)\."),  # what it calls logits is what it means
        (ONE, r"got \(5, 1\)\. Of a network with one logit x make one with two"),
        (ONE[:, 0], r"got \(5,\)\. Of a network with one logit"),
        ("cat", "a tensor or a tuple or dict with one; got str"),
    ],
    ids=["map", "named map", "one logit", "one logit, no axis", "words"],
)
def test_what_is_no_logits_is_said(output: object, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message):
        logits_of(output)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_of_another_type_are_named_with_the_cure(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).to(dtype)
    inputs: Tensor = torch.rand(2, 4)
    with pytest.raises(NmfdiagError, match=rf"weights of {dtype} and can't take.*network.float\(\)"):
        relu_layers(model, inputs)


def test_a_network_in_double_precision_is_run_in_it() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double()
    assert relu_layers(model, torch.rand(2, 4)) == ["1"]
