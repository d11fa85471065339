"""The training set behind the samples at hand: how many of it they are, and how many parameters the network has for each of its samples."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.text import join

MOST_PARAMETERS = 10_000
"""Parameters per training sample above which AuC is not compared: a round number between 5,794, where a network trained on random labels was still found memorising, and
23,138, where one looked clean; one data set and one seed (``benchmarks/foreign/results/parameters.csv``)."""
CLEAN_LOOKING = 23_000
"""Parameters per training sample of that clean-looking network, rounded: what the sentence names."""
MOST_NAMED = 10
"""Classes that the sentence on the samples names at most."""
OUTSIDE = "Outside what this measure can judge"
"""Beginning of the sentence that takes the place of a comparison by AuC."""


@dataclass(frozen=True)
class TrainingSet:
    """The training set of a network.

    Attributes:
        n_samples: Samples of it that were looked at; None where their labels were not.
        size: Number of all its samples; None where it is not known.
        n_parameters: Parameters of the network; None where they are not known.
        selected_classes: Names of the classes of the samples, where these were selected by class; empty where they were not.
    """

    n_samples: int | None = None
    size: int | None = None
    n_parameters: int | None = None
    selected_classes: tuple[str, ...] = ()

    @property
    def extent(self) -> str:
        """How many of its samples were looked at, and which samples the answers are about; empty where that is not known."""
        if self.n_samples is None:
            return ""
        if self.selected_classes:
            n_classes = len(self.selected_classes)
            classes = f"{n_classes} of its classes" if n_classes > MOST_NAMED else f"class {self.selected_classes[0]}"
            if 1 < n_classes <= MOST_NAMED:
                classes = f"classes {join(self.selected_classes)}"
            subject = "these classes" if n_classes > 1 else "this class"
            return f"Judged by {self.n_samples:,} of its training samples, from {classes} alone: the answers are about {subject}."
        if self.size is None:
            return f"Judged by {self.n_samples:,} of its training samples; how many it was trained on was not given."
        if self.size <= self.n_samples:
            return f"Judged by all of its {self.size:,} training samples."
        return (
            f"Judged by {self.n_samples:,} of its {self.size:,} training samples: shares of labels and their intervals are about all {self.size:,}, "
            f"if the {self.n_samples:,} were drawn from them at random."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON record."""
        return {"samples": self.n_samples, "size": self.size, "parameters": self.n_parameters}

    @property
    def objection(self) -> str:
        """Why AuC can't tell whether the network memorises; empty where it can, or the numbers are not known."""
        if not self.size or not self.n_parameters or self.n_parameters <= MOST_PARAMETERS * self.size:
            return ""
        return (
            f"{OUTSIDE}: the network has {self.n_parameters / self.size:,.0f} parameters for each of its {self.size:,} training samples. In our tests, "
            f"networks with {CLEAN_LOOKING:,} or more could look clean although their labels were random."
        )


def check_train_size(train_size: int | None, n_samples: int) -> int | None:
    """Return the size of a training set of which there are ``n_samples`` at hand.

    Raises:
        NmfdiagError: If it is not a whole number, or below that number.
    """
    if train_size is None:
        return None
    if isinstance(train_size, bool) or not isinstance(train_size, Integral) or train_size < n_samples:
        raise NmfdiagError(
            f"train_size is {train_size!r}; expected a whole number of at least {n_samples:,}, the number of samples given."
        )
    return int(train_size)
