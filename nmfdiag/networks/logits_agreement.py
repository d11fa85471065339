"""Tell whether two ways to compute logits give the same, up to rounding."""

import torch
from torch import Tensor

REPRODUCES = {torch.float16: 5e-3, torch.bfloat16: 3e-2}
"""How near logits must come to the network's own, by their type; for others it is this:"""
REPRODUCES_FLOAT = 1e-4


def same_logits(got: Tensor, expected: Tensor) -> bool:
    """Whether logits (n, classes) are those expected, each up to a small share of its distance from the sample's best one."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return False
    same = (got == expected) | (got.isnan() & expected.isnan())
    if bool(same.all()):
        return True
    got, expected, same = (torch.atleast_2d(value).flatten(1) for value in (got, expected, same))
    comparable = got.isfinite() & expected.isfinite()
    return bool((same | (comparable & ((got.double() - expected.double()).abs() <= _allowed(expected)))).all())


def _allowed(expected: Tensor) -> Tensor:
    """How far each logit (n, classes) may be off: a masked class, or one that never changes, allows no other one more."""
    values = expected.double()
    changing = values[:, (values != values[:1]).any(0)]
    competing = values if changing.shape[1] < 2 else changing
    finite = competing.masked_fill(~competing.isfinite(), -torch.inf)
    best = finite.topk(min(2, finite.shape[1]), dim=1).values
    distances = (values - best[:, :1]).abs().nan_to_num(posinf=0.0)
    near = REPRODUCES.get(expected.dtype, REPRODUCES_FLOAT)
    rounding = 32 * torch.finfo(expected.dtype).eps
    usual_gap, usual_size = _upper_median(best[:, 0] - best[:, -1]), _upper_median(best.abs())
    return near * distances.clamp(min=usual_gap) + rounding * values.abs().nan_to_num(posinf=0.0).clamp(min=usual_size)


def _upper_median(values: Tensor) -> float:
    ordered = values[values.isfinite()].sort().values
    return float(ordered[len(ordered) // 2]) if len(ordered) else 0.0
