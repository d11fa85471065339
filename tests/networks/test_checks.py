"""A graph is held against the network's own code by every logit that may win, however large others are."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.measures.compression import compression_curve
from nmfdiag.networks.split import _close

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
LAST = torch.arange(6) >= 4
MASKS: dict[str, Callable[[Tensor], Tensor]] = {
    "large": lambda y: y.masked_fill(LAST, -1e9),
    "lowest": lambda y: y.masked_fill(LAST, torch.finfo(y.dtype).min),
    "added": lambda y: y - 1e7 * LAST,
    "most classes": lambda y: y.masked_fill(torch.arange(6) >= 2, -1e9),
    "by sample": lambda y: y.masked_fill(y < y.topk(3, 1).values[:, -1:], -1e9),
    "constant": lambda y: torch.cat([y[:, :4], torch.full((len(y), 1), -1e5)], 1),
}


class Masked(nn.Module):
    """A ReLU in place of what a view reads afterwards, which no graph has; and a mask."""

    def __init__(self, mask: Callable[[Tensor], Tensor]):
        super().__init__()
        self.a, self.b, self.mask = nn.Linear(6, 16), nn.Linear(16, 6), mask

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        view = h.view(-1, 4, 4)
        F.relu_(h)
        return self.mask(self.b(view.flatten(1)))


@pytest.mark.parametrize("name", MASKS)
def test_masked_classes_do_not_hide_a_wrong_graph(name: str) -> None:
    torch.manual_seed(0)
    model = Masked(MASKS[name]).eval()
    with torch.no_grad():
        activation = torch.relu(model.a(X))
        labels = model(X).argmax(1)
        U, S, V = torch.linalg.svd(activation.double(), full_matrices=False)
        expected = []
        for k in (1, 3):
            approximation = ((U[:, :k] * S[:k]) @ V[:k]).float()
            expected.append(float((model.mask(model.b(approximation)).argmax(1) == labels).double().mean()))
    assert max(expected) < 1.0
    assert compression_curve(model, "relu_", X, labels, method="pca", ranks=[1, 3]).accuracy == expected


def test_what_counts_as_the_same_logits() -> None:
    logits = torch.tensor([[3.0, 1.0, -2.0, -1e9], [0.5, 4.0, 1.0, -1e9], [-1.0, 2.0, 6.0, -1e9]])
    for same in (logits.clone(), logits * (1 + 1e-6), torch.cat([logits[:, :3] + 1e-5, logits[:, 3:]], 1)):
        assert _close(same, logits)
    for row in range(3):
        for column in range(3):
            other = logits.clone()
            other[row, column] += 0.1
            assert not _close(other, logits)
            assert not _close(other.masked_fill(LAST[1:5], -torch.inf), logits.masked_fill(LAST[1:5], -torch.inf))
            assert not _close(other[row : row + 1], logits[row : row + 1])
    tie = torch.tensor([[1.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    assert _close(tie + 1e-6, tie) and not _close(tie + torch.tensor([0.0, 0.01, 0.0]), tie)
    assert not _close(torch.full_like(logits, torch.nan), logits) and _close(logits * torch.nan, logits * torch.nan)
