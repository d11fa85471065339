"""The NMF ratio: a sample's error in its own class over that in the best other one, beside the score."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.metrics import roc_auc_score
from torch import nn

import nmfdiag
from nmfdiag.measures.suspects import nmf_ratio
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import lookup


def test_the_error_is_that_of_non_negative_least_squares() -> None:
    random = torch.Generator().manual_seed(0)
    activations = torch.rand(5, 3, 12, generator=random) * (torch.rand(5, 3, 12, generator=random) > 0.4)
    activations[4] = 0
    components = torch.rand(2, 8, 12, generator=random)
    errors = nmf_ratio._squared_errors(activations, components)
    for i in range(4):
        for c in range(2):
            residuals = [nnls(components[c].T.double().numpy(), row.double().numpy())[1] for row in activations[i]]
            expected = np.sum(np.square(residuals)) / float(activations[i].square().sum())
            assert float(errors[i, c]) == pytest.approx(expected, rel=0.02)
    assert errors[4].tolist() == [1, 1]
    ratio = nmf_ratio._ratio(torch.tensor([[4.0, 1, 2], [1, 4, 9], [1, 1, 1]]), torch.tensor([0, 0, -1]))
    assert ratio.tolist() == [2, 0.5, 1]


def test_it_finds_wrong_labels_and_is_no_part_of_the_score(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = lookup("digits-mlp-p0.2-s0")
    pool, model = entry.load_pool(), entry.load_model()
    wrong = (pool.given_labels != pool.true_labels).numpy()
    result = nmfdiag.suspects(model, pool.inputs, pool.given_labels, nmf_ratio=True)
    ratio = result.components["nmf_ratio"]
    assert roc_auc_score(wrong, ratio) > 0.96 and ratio.min() > 0 and ratio.max() <= 1
    split = SplitNetwork(model, pool.inputs[:2], "all")

    def ratios_of_two_layers() -> tuple[np.ndarray | None, list[str]]:
        return nmf_ratio.nmf_ratios(split, pool.inputs, pool.given_labels, ("fc1", "fc2"), lambda share, step: None)

    at_once, _ = ratios_of_two_layers()
    monkeypatch.setattr(nmf_ratio, "MOST_BYTES", 1)
    in_groups, remarks = ratios_of_two_layers()
    assert in_groups is not None and at_once is not None and np.array_equal(in_groups, at_once) and not remarks
    assert not np.array_equal(in_groups, ratio), "one of one layer"
    monkeypatch.setattr(nmf_ratio, "MOST_SOLUTIONS", 1000)
    left_out = nmfdiag.suspects(model, pool.inputs, pool.given_labels, nmf_ratio=True)
    assert "nmf_ratio" not in left_out.components and any("too many" in remark for remark in left_out.remarks)
    assert np.array_equal(left_out.score, result.score)


def test_layers_that_nmf_can_not_take_are_named() -> None:
    torch.manual_seed(0)
    labels = torch.cat([torch.arange(90) % 3, torch.tensor([3])])  # one sample of the last class
    inputs = torch.randn(91, 6) + labels[:, None]
    narrow = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, 4))
    result = nmfdiag.suspects(narrow, inputs, labels, layers=["1", "3"], nmf_ratio=True)
    assert any("leaves out 1:" in remark for remark in result.remarks)
    assert np.isfinite(result.components["nmf_ratio"]).all()
    signed = nn.Sequential(nn.Linear(6, 20), nn.GELU(), nn.Linear(20, 4))
    result = nmfdiag.suspects(signed, inputs, labels, nmf_ratio=True)
    assert "nmf_ratio" not in result.components and any("NMF ratio leaves out" in remark for remark in result.remarks)
