"""Records of reference networks with planted AuC, and profiles of networks to compare with them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve
from nmfdiag.zoo.recipes import entry_name

LAYERS = ("conv1", "conv2", "conv3", "conv4")
FAMILIES = {"digits": 0.01, "fashion_mnist": 0.0, "cifar10": -0.01}
SHAPE = {"conv": (200, 16), "fc": (20, 16)}


def falling_auc(p: float) -> float:
    return 0.95 - 0.15 * p


def write_records(
    folder: Path,
    *,
    arch: str = "cnn",
    level: Callable[[float], float] = falling_auc,
    families: dict[str, float] = FAMILIES,
    levels: Sequence[float] = (0.0, 0.4, 1.0),
) -> Path:
    """Write two networks (seeds 0 and 1, which differ by 0.004) of each data set and level.

    AuC rises by 0.01 a layer around the level, and is the same over log k.
    """
    (folder / "curves").mkdir(parents=True, exist_ok=True)
    for dataset, offset in families.items():
        for p in levels:
            for seed in range(2):
                rows = [
                    {
                        "layer": layer, "class": c, "draw": 0, "method": "nmf", "operation": "compress",
                        "auc": level(p) + offset + 0.004 * seed + 0.01 * (i - 1.5) + 0.001 * (c - 1),
                        "auc_log": level(p) + offset + 0.004 * seed + 0.01 * (i - 1.5), "best": 1.0,
                        "mean_row": 0.1, "baseline": 1.0, "error": 0.1, "raw_error": 1.0,
                    }
                    for i, layer in enumerate(LAYERS)
                    for c in range(3)
                ]  # fmt: skip
                name = entry_name(dataset, arch, p, seed)
                pd.DataFrame(rows).to_csv(folder / "curves" / f"{name}.csv.gz", index=False)
    return folder


def curve(auc: float, layer: str = "conv1", **fields: object) -> CompressionCurve:
    """Return a flat curve with this AuC, on powers of two."""
    ranks = [1, 2, 4, 8, 16]
    values = {
        "layer": layer, "method": "nmf", "ranks": ranks, "accuracy": [auc] * 5, "relative_error": [0.1] * 5,
        "absolute_error": [0.1] * 5, "converged": [True] * 5, "baseline_accuracy": 1.0, "zero_accuracy": 0.0,
        "mean_accuracy": 0.0, "full_rank": 16, "shape": SHAPE["conv"], "n_samples": 20,
    }  # fmt: skip
    return CompressionCurve(**(values | fields))  # type: ignore[arg-type]


def profile(
    level: float, *, n_classes: int = 10, layers: Sequence[str] = LAYERS, n_draws: int = 1, **fields: object
) -> LayerProfile:
    """Return the profile of a network with this mean AuC, and classes and draws around it."""
    rng = np.random.default_rng(0)
    curves = [
        ProfileCurve(i, c, curve(level + 0.01 * (i - (len(layers) - 1) / 2) + noise, layer, **fields), draw)
        for draw in range(n_draws)
        for i, layer in enumerate(layers)
        for c, noise in enumerate(_centred(rng, n_classes))
    ]
    return LayerProfile(tuple(layers), tuple(curves), {}, network_layers=tuple(layers))


def _centred(rng: np.random.Generator, n: int) -> list[float]:
    noise = rng.normal(0, 0.002, n)
    return list(noise - noise.mean())
