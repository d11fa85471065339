"""Experiments on several networks each, declared before they are run: the networks, and the measure that counts as the answer.

Their results are recorded in ``evidence/data/``; ``nmfdiag record NAME`` runs one again, and continues where it was stopped.
"""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.zoo.recipes import LABEL_NOISES, Recipe

LAYER_SETS = ("all layers", "first third", "middle third", "last third")
AXES = ("linear", "log")
BATCHES = ("single", "multi")


@dataclass(frozen=True)
class Definition:
    """A definition of "the AuC of a network": the mean over a set of layers, over one rank axis, on one kind of batch."""

    layers: str = "all layers"
    axis: str = "linear"
    batch: str = "single"

    @property
    def text(self) -> str:
        kind = "single-class batches" if self.batch == "single" else "multi-class batches"
        return f"mean over {self.layers}, {'log k' if self.axis == 'log' else 'linear k'}, {kind}"

    def members(self, layers: list[str]) -> list[str]:
        """Return the layers that count."""
        if self.layers == LAYER_SETS[0]:
            return layers
        third = LAYER_SETS.index(self.layers) - 1
        n = len(layers)
        return layers[third * n // 3 : (third + 1) * n // 3]


PRIMARY = Definition()
"""The definition behind the answer, fixed before the networks were trained; the others are shown beside it."""

DEFINITIONS = tuple(Definition(*parts) for parts in product(LAYER_SETS, AXES, BATCHES))

# An orthogonal array of strength two: in any two columns, each pair of levels occurs twice.
_ORTHOGONAL = ("0000000", "0001111", "0110011", "0111100", "1010101", "1011010", "1100110", "1101001")
_FACTORS: dict[str, dict[str, tuple[Any, Any]]] = {
    "digits": {
        "width": (12, 24), "convs": (1, 2), "n_train": (600, 1200), "weight_decay": (0.0, 0.1),
        "batch_size": (32, 128), "learning_rate": (1e-3, 4e-3), "shift": (0, 1),
    },
    "fashion_mnist": {
        "width": (8, 16), "convs": (1, 2), "n_train": (500, 1000), "weight_decay": (0.0, 0.1),
        "batch_size": (32, 128), "learning_rate": (1e-3, 4e-3), "shift": (0, 2),
    },
}  # fmt: skip


def _varied(dataset: str, row: str, label_noise: float, seed: int) -> Recipe:
    level = {name: levels[int(bit)] for (name, levels), bit in zip(_FACTORS[dataset].items(), row, strict=True)}
    sizes = {name: level.pop(name) for name in ("width", "convs")}
    return Recipe(dataset, "cnn", label_noise, seed, arch_options=sizes, max_epochs=1000, precision="bfloat16", **level)


GENERALIZATION: dict[str, Recipe] = {
    f"g{i:02}": recipe
    for i, recipe in enumerate(
        _varied(dataset, row, p, seed)
        for dataset in _FACTORS
        for seed, row in enumerate(_ORTHOGONAL)
        for p in LABEL_NOISES
    )
}
"""The 96 networks of figure 5: two data sets, six levels of label noise, eight combinations of seven more factors."""

_CIFAR = Recipe(
    "cifar10", "cnn", 0.0, 0, 10000, {"width": 32}, batch_size=128, precision="bfloat16", max_epochs=60
)  # fmt: skip
_FASHION = Recipe("fashion_mnist", "mlp", 0.0, 0, 3000, {"width": 256, "depth": 5}, max_epochs=60)

EARLY_STOPPING: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in [
        *(replace(_CIFAR, label_noise=p, seed=seed) for seed in range(3) for p in (0.0, 0.4)),
        *(replace(_FASHION, label_noise=p, seed=seed) for seed in range(3) for p in (0.0, 0.4)),
    ]
}
"""Training runs of figure 6."""

FEW_SHOT_SEEDS = 10
_FEW_SHOT_SETTINGS: dict[str, tuple[str, str, dict[str, int], int]] = {
    "digits-cnn": ("digits", "cnn", {"width": 16}, 20),
    "digits-mlp5": ("digits", "mlp", {"width": 128, "depth": 5}, 20),
    "digits-mlp2": ("digits", "mlp", {"width": 128, "depth": 2}, 4),
    "mnist-cnn": ("mnist", "cnn", {"width": 8}, 20),
}

FEW_SHOT: dict[str, Recipe] = {
    f"{name}-s{seed}": Recipe(
        dataset, arch, 0.0, seed, 20, sizes, batch_size=batch, learning_rate=1e-2, fitted_at=2.0, cool_down=1,
        max_epochs=60, recalibrated=True,
    )
    for name, (dataset, arch, sizes, batch) in _FEW_SHOT_SETTINGS.items()
    for seed in range(FEW_SHOT_SEEDS)
}  # fmt: skip
"""Training runs on twenty samples (figure 9); MNIST is the paper's and comes through torchvision. ``fitted_at`` is never reached, so
that all runs have the same number of epochs. With a tenth of the learning rate, test accuracy does not fall after its peak and
stopping could win nothing: the rate was chosen on seeds 100 to 102, by test accuracy alone."""

DATA_SIZE: dict[str, Recipe] = {
    f"n{n}-p{p:g}-s{seed}": replace(_CIFAR, n_train=n, label_noise=p, seed=seed, max_epochs=200)
    for seed in range(2)
    for n in (1000, 2000, 5000)
    for p in (0.0, 1.0)
}
"""Our question beside figure 2c: does the depth of memorisation depend on the amount to memorise? The zoo's networks
of 10,000 images complete the series."""

EXPERIMENTS: dict[str, dict[str, Recipe]] = {
    "generalization": GENERALIZATION,
    "data-size": DATA_SIZE,
    "early-stopping": EARLY_STOPPING,
    "few-shot": FEW_SHOT,
}


def experiment(name: str) -> dict[str, Recipe]:
    """Look an experiment up by name.

    Raises:
        NmfdiagError: If the name is unknown.
    """
    if name not in EXPERIMENTS:
        raise NmfdiagError(f"Unknown experiment {name!r}: accepted are {', '.join(EXPERIMENTS)}.")
    return EXPERIMENTS[name]
