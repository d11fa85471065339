"""Open a network of the jury that ``train.py`` made, for a script that measures it."""

from pathlib import Path

import numpy as np
import torch
from architectures import build
from recipe import JuryNetwork
from samples import dataset, prepared, record
from torch import Tensor, nn


def opened(folder: Path, network: JuryNetwork) -> tuple[nn.Module, Tensor, Tensor, dict[str, np.ndarray]]:
    """Return a network in evaluation mode, as training left it, its samples as in training, their given labels (n,), and its record.

    Raises:
        FileNotFoundError: If it was not trained.
    """
    saved, pool = record(folder, network), dataset(network.dataset, "train")
    model = build(network.arch, tuple(pool.inputs.shape[1:]), pool.n_classes, network.style.dropout)
    model.load_state_dict(torch.load(folder / f"{network.name}.pth", weights_only=True))
    assert pool.rows is not None
    rows = torch.searchsorted(pool.rows, torch.from_numpy(saved["index"]))
    inputs, _ = prepared(network, rows)
    return model.eval(), inputs, torch.from_numpy(saved["given"]), saved
