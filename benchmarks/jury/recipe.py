"""The jury: small networks as users train them, on which verdicts are judged. Declared before any of them was trained.

Seven data sets, nine architectures (``architectures.py``), 120 to 10,000 training samples, seven shares of wrong labels and seven styles of training:
142 networks, one a line of :data:`TABLE`. None is of the zoo, and no threshold of the package was chosen on them before.

**Halves.** A pair of data set and architecture belongs to one half only, by the parity of their places in :data:`DATA` and :data:`ARCHITECTURES`.
Thresholds are chosen on ``"development"``; ``"judged"`` is judged once. Each half has all data sets, all architectures, all values of p and all styles.

**Label errors.** For p < 1 exactly ``round(p n)`` labels are wrong: *uniform*, another class at random; *pair flip*, the next class; *look-alike*, drawn from
out-of-fold predictions of a small network trained on the right labels, where it is least sure. For p = 1 every label is drawn from all classes at random, so that
1 of K is right by chance. Above p = .4 errors are uniform, since a class's wrong labels would otherwise outnumber its right ones with one other class; two classes
(breast cancer) have no p = .6 for that reason, and their *uniform* is *pair flip*. Networks with
p = 1 are neither augmented nor under-fitted nor stopped early: they would learn nothing.

**Training** (:data:`STYLES`) is a plain loop at a constant rate. A third of the networks has p <= .05; their sizes and styles spread the test error. Some networks don't
fit their labels within :attr:`Data.max_epochs` (random labels, dropout, augmentation), and batch norm lags in some: users have such networks, too.

**Order** (:func:`networks`): cheap data sets first, the halves in turn, so that a run that is cut short is balanced.

Weights are not shipped. ``train.py OUT`` makes them again, ``open_network.py`` opens them.
"""

import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass

HALVES = ("development", "judged")
CLEAN, UNIFORM, PAIR_FLIP, LOOK_ALIKE = KINDS = ("clean", "uniform", "pair_flip", "look_alike")
SHARES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0)
"""Values of p."""
ARCHITECTURES = ("mlp", "cnn", "residual", "depthwise", "no_norm", "group_norm", "conv1d", "gelu", "resnet18")


@dataclass(frozen=True)
class Data:
    """A data set of the jury.

    Attributes:
        pool: Samples that networks are drawn from, evenly over the classes.
        max_epochs: Epochs after which training stops, whether the labels are fitted or not.
        tier: Place in the order: 0 is cheapest.
        n_test: Test samples at most, evenly over the classes.
        is_table: Whether it is one of scikit-learn's tables.
        is_mirrored: Whether augmentation mirrors.
    """

    pool: int
    max_epochs: int
    tier: int
    n_test: int = 2000
    is_table: bool = False
    is_mirrored: bool = False


DATA = {
    "digits": Data(1_200, 100, 0),
    "fashion_mnist": Data(10_000, 50, 1, is_mirrored=True),
    "mnist": Data(10_000, 50, 1),
    "spoken_digits": Data(2_700, 50, 1),
    "wine": Data(120, 150, 0, is_table=True),
    "breast_cancer": Data(400, 150, 0, is_table=True),
    "cifar10": Data(4_000, 25, 2, is_mirrored=True),
}


@dataclass(frozen=True)
class Style:
    """A way to train; every one at a constant learning rate.

    Attributes:
        epochs: Number of epochs; None to train until the labels are fitted.
        further_epochs: Epochs after that.
        is_augmented: Whether images are moved by up to an eighth of their side (and mirrored where that changes no class); spectrograms move in time.
        dropout: Probability; see ``architectures.build``.
        weight_decay: Of stochastic gradient descent with momentum; 0 for Adam without.
        patience: Epochs without a higher accuracy on held-out samples, whose labels have the same errors, after which the best epoch is restored.
    """

    epochs: int | None = None
    further_epochs: int = 0
    is_augmented: bool = False
    dropout: float = 0.0
    weight_decay: float = 0.0
    patience: int | None = None


STYLES = {
    "first_fit": Style(),
    "over_trained": Style(further_epochs=20),
    "augmented": Style(epochs=25, is_augmented=True),
    "weight_decay": Style(further_epochs=5, weight_decay=2e-3),
    "dropout": Style(epochs=25, dropout=0.4),
    "early_stopped": Style(patience=3),
    "under_fitted": Style(epochs=3),
}
RESNET_EPOCHS = 15
FITTED = 0.99
"""Accuracy over an epoch, in training mode, from which the labels count as fitted."""


@dataclass(frozen=True)
class JuryNetwork:
    """One network of the jury; ``p`` is the share of wrong labels (for 1, of random ones), ``training`` one of :data:`STYLES`."""

    dataset: str
    arch: str
    n: int
    kind: str
    p: float
    training: str

    @property
    def name(self) -> str:
        """Name of its files: ``digits-mlp-n600-uniform-0.6-first_fit``."""
        errors = self.kind if self.kind == CLEAN else f"{self.kind}-{self.p:g}"
        return f"{self.dataset}-{self.arch}-n{self.n}-{errors}-{self.training}"

    @property
    def half(self) -> str:
        """``"development"`` or ``"judged"``."""
        return HALVES[(list(DATA).index(self.dataset) + ARCHITECTURES.index(self.arch)) % 2]

    @property
    def seed(self) -> int:
        """Seed of subset, errors, weights and order; it follows from the name."""
        return zlib.crc32(self.name.encode()) % 2**31

    @property
    def style(self) -> Style:
        """Its way of training."""
        return STYLES[self.training]

    @property
    def batch_size(self) -> int:
        """Samples of a step."""
        return 32 if self.n <= 600 and self.arch != "resnet18" else 64

    @property
    def max_epochs(self) -> int:
        """Epochs at most: of its style if that has a number, else of its data set; few for ResNet-18, a hundred times as large as the others."""
        epochs = self.style.epochs or DATA[self.dataset].max_epochs
        return min(epochs, RESNET_EPOCHS) if self.arch == "resnet18" else epochs


TABLE = """
digits mlp 300 clean 0 early_stopped
digits mlp 1200 clean 0 under_fitted
digits mlp 1200 look_alike 0.05 weight_decay
digits mlp 600 uniform 0.6 first_fit
digits cnn 600 clean 0 weight_decay
digits cnn 1200 clean 0 first_fit
digits cnn 1200 pair_flip 0.2 weight_decay
digits cnn 600 uniform 1 over_trained
digits residual 600 clean 0 over_trained
digits residual 600 pair_flip 0.1 over_trained
digits residual 300 uniform 0.2 first_fit
digits residual 1200 look_alike 0.4 first_fit
digits depthwise 300 clean 0 under_fitted
digits depthwise 1200 uniform 0.05 augmented
digits depthwise 300 pair_flip 0.2 first_fit
digits depthwise 600 look_alike 0.4 under_fitted
digits no_norm 300 uniform 0.05 early_stopped
digits no_norm 300 look_alike 0.1 over_trained
digits no_norm 600 look_alike 0.2 dropout
digits no_norm 1200 uniform 0.6 over_trained
digits group_norm 1200 pair_flip 0.05 weight_decay
digits group_norm 1200 uniform 0.1 first_fit
digits group_norm 600 pair_flip 0.4 dropout
digits group_norm 300 uniform 0.6 augmented
digits conv1d 300 clean 0 weight_decay
digits conv1d 300 look_alike 0.1 augmented
digits conv1d 600 pair_flip 0.4 under_fitted
digits conv1d 1200 uniform 1 weight_decay
digits gelu 1200 clean 0 augmented
digits gelu 300 look_alike 0.2 first_fit
digits gelu 300 uniform 0.6 dropout
digits gelu 600 uniform 1 first_fit
fashion_mnist mlp 10000 clean 0 first_fit
fashion_mnist mlp 600 look_alike 0.1 weight_decay
fashion_mnist mlp 2000 uniform 0.4 first_fit
fashion_mnist mlp 10000 uniform 0.4 augmented
fashion_mnist cnn 1000 clean 0 under_fitted
fashion_mnist cnn 1000 pair_flip 0.1 weight_decay
fashion_mnist cnn 300 pair_flip 0.4 augmented
fashion_mnist cnn 300 uniform 0.6 weight_decay
fashion_mnist residual 1500 clean 0 over_trained
fashion_mnist residual 1500 uniform 0.05 augmented
fashion_mnist residual 1000 pair_flip 0.2 dropout
fashion_mnist residual 300 uniform 0.4 early_stopped
fashion_mnist depthwise 600 uniform 0.05 early_stopped
fashion_mnist depthwise 600 uniform 0.1 under_fitted
fashion_mnist depthwise 1500 pair_flip 0.4 first_fit
fashion_mnist depthwise 300 uniform 0.6 first_fit
fashion_mnist no_norm 600 look_alike 0.05 first_fit
fashion_mnist no_norm 1000 uniform 0.1 over_trained
fashion_mnist no_norm 300 uniform 0.6 first_fit
fashion_mnist no_norm 1000 uniform 0.6 augmented
fashion_mnist group_norm 600 pair_flip 0.05 early_stopped
fashion_mnist group_norm 1000 uniform 0.2 augmented
fashion_mnist group_norm 1000 look_alike 0.2 first_fit
fashion_mnist group_norm 1500 uniform 0.2 dropout
fashion_mnist gelu 300 clean 0 first_fit
fashion_mnist gelu 600 uniform 0.4 augmented
fashion_mnist gelu 1500 uniform 0.6 weight_decay
fashion_mnist gelu 1500 uniform 1 dropout
fashion_mnist resnet18 300 pair_flip 0.05 augmented
fashion_mnist resnet18 300 pair_flip 0.1 over_trained
mnist mlp 10000 clean 0 first_fit
mnist mlp 2000 look_alike 0.4 early_stopped
mnist mlp 2000 uniform 1 weight_decay
mnist cnn 300 clean 0 early_stopped
mnist cnn 1000 uniform 0.05 early_stopped
mnist cnn 600 pair_flip 0.1 under_fitted
mnist residual 300 clean 0 under_fitted
mnist residual 1000 pair_flip 0.05 first_fit
mnist residual 300 uniform 0.6 first_fit
mnist depthwise 1500 clean 0 augmented
mnist depthwise 1500 clean 0 dropout
mnist depthwise 1500 uniform 0.6 early_stopped
mnist no_norm 300 look_alike 0.05 first_fit
mnist no_norm 600 uniform 0.4 augmented
mnist no_norm 600 uniform 0.6 first_fit
mnist group_norm 600 pair_flip 0.1 dropout
mnist group_norm 1000 uniform 0.6 first_fit
mnist group_norm 300 uniform 1 weight_decay
mnist conv1d 10000 clean 0 first_fit
mnist conv1d 1000 pair_flip 0.2 weight_decay
mnist conv1d 1000 uniform 1 dropout
mnist gelu 600 clean 0 under_fitted
mnist gelu 300 look_alike 0.1 augmented
mnist gelu 1000 look_alike 0.4 dropout
mnist resnet18 300 pair_flip 0.2 under_fitted
mnist resnet18 300 look_alike 0.4 over_trained
spoken_digits mlp 600 uniform 0.2 over_trained
spoken_digits mlp 1500 uniform 0.4 early_stopped
spoken_digits mlp 1000 uniform 1 over_trained
spoken_digits cnn 1000 clean 0 early_stopped
spoken_digits cnn 1500 pair_flip 0.05 over_trained
spoken_digits cnn 600 uniform 0.6 early_stopped
spoken_digits residual 600 look_alike 0.2 dropout
spoken_digits residual 1000 pair_flip 0.4 dropout
spoken_digits residual 1500 uniform 0.6 early_stopped
spoken_digits depthwise 1500 uniform 0.6 dropout
spoken_digits depthwise 600 uniform 1 over_trained
spoken_digits depthwise 1000 uniform 1 first_fit
spoken_digits conv1d 600 clean 0 under_fitted
spoken_digits conv1d 1500 uniform 0.6 over_trained
spoken_digits conv1d 1000 uniform 1 first_fit
spoken_digits gelu 1000 uniform 0.1 augmented
spoken_digits gelu 600 uniform 0.2 augmented
spoken_digits gelu 1500 pair_flip 0.2 first_fit
wine mlp 120 clean 0 over_trained
wine mlp 120 clean 0 weight_decay
wine mlp 120 pair_flip 0.1 weight_decay
wine conv1d 120 clean 0 dropout
wine conv1d 120 uniform 0.1 dropout
wine conv1d 120 look_alike 0.4 first_fit
wine gelu 120 clean 0 dropout
wine gelu 120 pair_flip 0.4 first_fit
wine gelu 120 uniform 0.6 first_fit
breast_cancer mlp 400 clean 0 weight_decay
breast_cancer mlp 400 uniform 0.1 first_fit
breast_cancer mlp 400 look_alike 0.2 first_fit
breast_cancer mlp 300 uniform 1 over_trained
breast_cancer conv1d 300 look_alike 0.2 early_stopped
breast_cancer conv1d 300 uniform 0.2 first_fit
breast_cancer conv1d 300 look_alike 0.4 first_fit
breast_cancer conv1d 400 uniform 1 weight_decay
breast_cancer gelu 300 clean 0 early_stopped
breast_cancer gelu 300 look_alike 0.1 over_trained
breast_cancer gelu 400 look_alike 0.2 dropout
breast_cancer gelu 400 uniform 1 over_trained
cifar10 mlp 2000 clean 0 dropout
cifar10 mlp 3000 uniform 0.4 first_fit
cifar10 cnn 2000 clean 0 over_trained
cifar10 cnn 2000 look_alike 0.1 over_trained
cifar10 residual 3000 clean 0 augmented
cifar10 residual 2000 uniform 0.6 early_stopped
cifar10 depthwise 2000 look_alike 0.05 early_stopped
cifar10 depthwise 3000 look_alike 0.4 early_stopped
cifar10 no_norm 3000 clean 0 over_trained
cifar10 no_norm 2000 pair_flip 0.4 augmented
cifar10 group_norm 2000 clean 0 weight_decay
cifar10 group_norm 3000 clean 0 over_trained
cifar10 gelu 3000 uniform 0.2 under_fitted
cifar10 gelu 3000 uniform 0.6 weight_decay
cifar10 resnet18 2000 pair_flip 0.2 under_fitted
"""
"""Data set, architecture, n, kind of errors, p, style of training."""


def networks() -> list[JuryNetwork]:
    """Return all networks in the order of training: within a tier one network of each pair, then a second, the halves in turn; p is mixed by the seeds."""
    members = []
    for line in TABLE.strip().splitlines():
        dataset, arch, n, kind, p, training = line.split()
        members.append(JuryNetwork(dataset, arch, int(n), kind, float(p), training))
    members.sort(key=lambda network: network.seed)
    n_of_pair: Counter[tuple[str, str]] = Counter()
    by_half: dict[tuple[int, str], list[tuple[int, JuryNetwork]]] = defaultdict(list)
    for network in members:
        pair = network.dataset, network.arch
        by_half[DATA[network.dataset].tier, network.half].append((n_of_pair[pair], network))
        n_of_pair[pair] += 1
    ordered: list[tuple[int, float, str, JuryNetwork]] = []
    for (tier, half), turns in by_half.items():
        turns.sort(key=lambda turn: turn[0])
        ordered += [(tier, place / len(turns), half, network) for place, (_, network) in enumerate(turns)]
    return [network for *_, network in sorted(ordered, key=lambda entry: entry[:3])]
