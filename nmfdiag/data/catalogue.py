"""The data sets known by name."""

from collections.abc import Callable
from dataclasses import dataclass

from nmfdiag.data import sources
from nmfdiag.data.arrays import Arrays
from nmfdiag.data.sources import CIFAR10_NAMES, DIGIT_NAMES, FASHION_NAMES, Wanted


@dataclass(frozen=True)
class DatasetInfo:
    """One data set: what it is, where it comes from, and the function that reads it.

    ``input_shape`` is (c, h, w); ``embedded`` says that a dependency ships it, so that it is always there.
    """

    name: str
    title: str
    input_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    source: str
    licence: str
    embedded: bool
    loader: Callable[[Wanted], Arrays]

    @property
    def n_classes(self) -> int:
        return len(self.class_names)


DATASETS: dict[str, DatasetInfo] = {
    info.name: info
    for info in (
        DatasetInfo(
            name="digits",
            title="Digits",
            input_shape=(1, 8, 8),
            class_names=DIGIT_NAMES,
            source="1,797 handwritten digits of the UCI repository, shipped with scikit-learn",
            licence="CC BY 4.0",
            embedded=True,
            loader=sources.digits,
        ),
        DatasetInfo(
            name="mnist",
            title="MNIST",
            input_shape=(1, 28, 28),
            class_names=DIGIT_NAMES,
            source="60,000 + 10,000 handwritten digits (Y. LeCun, C. Cortes, C. Burges), through torchvision",
            licence="not stated by its authors",
            embedded=False,
            loader=sources.mnist,
        ),
        DatasetInfo(
            name="fashion_mnist",
            title="Fashion-MNIST",
            input_shape=(1, 28, 28),
            class_names=FASHION_NAMES,
            source="60,000 + 10,000 pictures of clothing (Zalando Research), through torchvision",
            licence="MIT",
            embedded=False,
            loader=sources.fashion_mnist,
        ),
        DatasetInfo(
            name="cifar10",
            title="CIFAR-10",
            input_shape=(3, 32, 32),
            class_names=CIFAR10_NAMES,
            source="50,000 + 10,000 photographs (A. Krizhevsky), through torchvision or as a folder of images",
            licence="not stated by its authors",
            embedded=False,
            loader=sources.cifar10,
        ),
        DatasetInfo(
            name="svhn",
            title="SVHN",
            input_shape=(3, 32, 32),
            class_names=DIGIT_NAMES,
            source="73,257 + 26,032 house numbers (Y. Netzer et al.), through torchvision",
            licence="for non-commercial use",
            embedded=False,
            loader=sources.svhn,
        ),
        DatasetInfo(
            name="spoken_digits",
            title="Spoken digits",
            input_shape=(1, 64, 64),
            class_names=DIGIT_NAMES,
            source="2,700 + 300 recordings (Free Spoken Digit Dataset), as log-mel spectrograms",
            licence="CC BY-SA 4.0",
            embedded=False,
            loader=sources.spoken_digits,
        ),
    )
}
