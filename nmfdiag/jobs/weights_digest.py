"""The hash of a network's weights."""

import hashlib
from typing import Any

import torch
from torch import Tensor, nn


def weights_digest(model: nn.Module) -> str:
    """Compute the SHA-256 of the names and values in a network's state dict."""
    weights = hashlib.sha256()
    for name, value in model.state_dict().items():
        weights.update(name.encode())
        for part in _dense_tensors(value):
            weights.update(part.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return weights.hexdigest()


def _dense_tensors(entry: Any) -> list[Tensor]:
    """Return the dense tensors of a state dict's entry: two for a sparse one, none for a non-tensor or one without values."""
    if not isinstance(entry, torch.Tensor) or entry.is_meta:
        return []
    entry = entry.detach()
    if entry.layout is not torch.strided:
        sparse = entry.to_sparse_coo().coalesce()
        return [sparse.indices(), sparse.values()]
    if entry.is_quantized:
        entry = entry.int_repr()
    return [entry.resolve_conj().resolve_neg()]
