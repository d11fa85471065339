"""Recipes of the zoo's networks: two runs of one recipe give the same network up to rounding."""

from dataclasses import asdict, dataclass, field
from typing import Any

from nmfdiag.errors import NmfdiagError

FITTED = 0.98
"""Training accuracy on the given labels from which a network counts as fitted. Below 1: an epoch's running accuracy lags behind."""
LABEL_NOISES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SEEDS = (0, 1)


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run depends on.

    Attributes:
        dataset: Name in :data:`nmfdiag.data.datasets.DATASETS`.
        arch: Name in :data:`nmfdiag.networks.architectures.ARCHITECTURES`, or torchvision's.
        label_noise: Share p of the training labels that are redrawn at random.
        seed: Seeds the subset, the label noise, the initial weights and the order of the batches.
        n_train: Training samples, taken evenly over the classes; of a network that was added and not trained here as its owner says, 0 where unknown.
        arch_options: Sizes of the architecture.
        batch_size: Samples per step.
        learning_rate: Adam's, constant until the network fits.
        fitted_at: Running training accuracy on the given labels at which the cool-down begins.
        cool_down: Epochs of linear decay to zero after that, the same for every p: networks that stop at their first
            fit are left in different states and can't be compared.
        max_epochs: Training ends here, fitted or not.
        precision: ``"float32"``, or ``"bfloat16"``: products in bfloat16 (autocast), weights and everything else in float32.
        weight_decay: AdamW's, decoupled from the gradient.
        shift: Augmentation: pixels by which each training image is moved at most, either way, redrawn in every step.
        recalibrated: Whether batch norm's averages are recomputed from all training samples after each epoch. Where an epoch has few
            steps the running ones lag behind the weights by many epochs, and so would every measurement.
    """

    dataset: str
    arch: str
    label_noise: float
    seed: int
    n_train: int
    arch_options: dict[str, int] = field(default_factory=dict)
    batch_size: int = 64
    learning_rate: float = 2e-3
    fitted_at: float = FITTED
    cool_down: int = 5
    max_epochs: int = 200
    precision: str = "float32"
    weight_decay: float = 0.0
    shift: int = 0
    recalibrated: bool = False

    @property
    def name(self) -> str:
        """The entry's name: ``fashion_mnist-cnn-p0.4-s0``."""
        return entry_name(self.dataset, self.arch, self.label_noise, self.seed)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def entry_name(dataset: str, arch: str, label_noise: float, seed: int) -> str:
    """Return the name of the zoo network of these four choices."""
    return f"{dataset}-{arch}-p{label_noise:g}-s{seed}"


_FAMILIES: tuple[dict[str, Any], ...] = (
    {"dataset": "digits", "arch": "mlp", "n_train": 1200, "arch_options": {"width": 128, "depth": 5}},
    {"dataset": "digits", "arch": "cnn", "n_train": 1200, "arch_options": {"width": 32}},
    {"dataset": "fashion_mnist", "arch": "mlp", "n_train": 3000, "arch_options": {"width": 256, "depth": 5}},
    {"dataset": "fashion_mnist", "arch": "cnn", "n_train": 4000, "arch_options": {"width": 16}},
    {
        "dataset": "cifar10", "arch": "cnn", "n_train": 10000, "arch_options": {"width": 32}, "batch_size": 128,
        "precision": "bfloat16", "label_noises": (*LABEL_NOISES, 0.9),
    },
    {
        "dataset": "cifar10", "arch": "resnet", "n_train": 10000, "arch_options": {"width": 16}, "batch_size": 128,
        "precision": "bfloat16", "label_noises": (0.0, 0.6, 1.0),
    },
    {
        "dataset": "spoken_digits", "arch": "audio_cnn", "n_train": 2000, "arch_options": {"width": 16},
        "precision": "bfloat16", "label_noises": (0.0, 0.5, 1.0),
    },
)  # fmt: skip


def _family(label_noises: tuple[float, ...] = LABEL_NOISES, **options: Any) -> list[Recipe]:
    return [Recipe(label_noise=p, seed=seed, **options) for seed in SEEDS for p in sorted(label_noises)]


RECIPES: dict[str, Recipe] = {recipe.name: recipe for family in _FAMILIES for recipe in _family(**family)}


def recipe(name: str) -> Recipe:
    """Look a recipe up by the name of its network.

    Raises:
        NmfdiagError: If no recipe has that name.
    """
    if name not in RECIPES:
        families = sorted({f"{r.dataset}-{r.arch}" for r in RECIPES.values()})
        raise NmfdiagError(
            f"No zoo network is called {name!r}: names are DATASET-ARCH-pP-sSEED with {', '.join(families)}, "
            f"p in {sorted({r.label_noise for r in RECIPES.values()})} and seed in {SEEDS}."
        )
    return RECIPES[name]
