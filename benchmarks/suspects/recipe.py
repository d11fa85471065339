"""Networks of the suspects benchmark: data sets, label errors, training. Declared before any of them was measured."""

from dataclasses import dataclass

CLEAN = "clean"
KINDS = ("uniform", "pair_flip", "look_alike")
"""Kinds of label errors: another class at random; the next class; a class that a network trained on other, right labels confuses it with."""
SHARES = (0.1, 0.2, 0.4)
"""Shares of wrong labels, exact."""
FOLDS = 5


@dataclass(frozen=True)
class Data:
    """A data set's samples and the network trained on them.

    Attributes:
        arch: Architecture of the zoo.
        width: Its width.
        n_train: Training samples, evenly over the classes.
        epochs: Epochs of training, one cycle of the learning rate.
        learning_rate: AdamW's highest.
        precision: Of products.
        seeds: Seeds of subset, errors and training.
    """

    arch: str
    width: int
    n_train: int
    epochs: int
    learning_rate: float = 4e-3
    precision: str = "bfloat16"
    seeds: tuple[int, ...] = (0, 1)
    batch_size: int = 64


DATA = {
    "cifar10": Data("cnn", 16, 10_000, 24),
    "fashion_mnist": Data("cnn", 16, 4_000, 20, seeds=(0,)),
    "digits": Data("cnn", 32, 1_200, 30, precision="float32", seeds=(0,)),
    "spoken_digits": Data("audio_cnn", 16, 2_000, 20, seeds=(0,)),
}
AUGMENTED = ("cifar10", "fashion_mnist")
"""Data sets whose networks are trained a second time with augmentation: moved by up to 4 pixels (3 for Fashion-MNIST) and mirrored."""
CROSS_VALIDATED = (("cifar10", "look_alike", 0.2), ("cifar10", "look_alike", 0.4))
"""Settings on which cleanlab runs, with :data:`FOLDS` further trainings (seed 0, without augmentation)."""


@dataclass(frozen=True)
class Setting:
    """One network of the benchmark."""

    dataset: str
    kind: str
    share: float
    seed: int
    augmented: bool

    @property
    def name(self) -> str:
        """Name of its files: ``cifar10-look_alike-0.2-s0-augmented``."""
        errors = self.kind if self.kind == CLEAN else f"{self.kind}-{self.share:g}"
        return f"{self.dataset}-{errors}-s{self.seed}{'-augmented' if self.augmented else ''}"


def settings() -> list[Setting]:
    """Return all networks, those first that say most about people's errors."""
    grid = [
        Setting(dataset, kind, share, seed, augmented)
        for dataset, data in DATA.items()
        for seed in data.seeds
        for augmented in ((False, True) if dataset in AUGMENTED else (False,))
        for kind, share in ((CLEAN, 0.0), *((kind, share) for kind in KINDS for share in SHARES))
    ]

    def urgency(setting: Setting) -> tuple[int, ...]:
        return (
            tuple(DATA).index(setting.dataset) > 0,
            setting.seed,
            setting.share == min(SHARES),
            setting.kind != "look_alike",
            setting.augmented,
            setting.kind == "pair_flip",
        )

    return sorted(grid, key=urgency)
