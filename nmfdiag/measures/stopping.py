"""Rules that pick an epoch at which to stop training from a measured series, and the cost of stopping there (figures 6 and 9).

Notation: a series has one value per epoch, None if missing; epochs count from 1. Of equal values the earliest counts. A rule
*keeps* the weights of one epoch and is *decided* at a later one, up to which training has to run. Costs are taken within a
run, so that a mean over seeds is a mean of paired differences.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.zoo.recipes import FITTED

Series = Sequence[float | None]

PATIENCE = 5
"""Epochs without a higher value after which a first peak is decided."""
CLOSE_EPOCHS = 2
"""Largest distance that counts as "next to" the test loss's minimum, in epochs."""
EQUAL = 1e-9
"""Least difference of unequal values: a mean over layers of a saturated AuC is 1 up to rounding."""


Curves = Literal["nmf", "signed", "random", "nmf on fitted"]
"""Keys of an epoch's curves in a run: a method on all probe samples, or NMF on those that the network gets right."""
Value = Literal["auc", "auc_log", "sem", "relative", "first", "baseline"]
"""Keys of a layer's values in a run: AuC over linear and logarithmic k (mean over classes), the standard error of the former, AuC over
the batch's uncompressed accuracy, accuracy at k = 1, and the uncompressed accuracy."""
ALARM_VALUES: tuple[Value, ...] = ("relative", "auc", "first")
"""Values that an alarm can use, the default first."""


@dataclass(frozen=True)
class Standing:
    """A run so far, as the alarm judges it after each epoch; a later rise withdraws the alarm.

    Attributes:
        values: The measured value by epoch, in order; epochs that were not measured are absent.
        patience: Measurements without a higher value that raise the alarm.

    >>> standing = Standing({1: 0.5, 2: 0.9, 4: 0.8, 5: 0.7}, patience=2)
    >>> standing.best, standing.since, standing.stop
    (2, 2, 2)
    """

    values: dict[int, float]
    patience: int

    @property
    def best(self) -> int | None:
        """The epoch with the highest value."""
        stop = maximum(list(self.values.values()))
        return list(self.values)[stop.kept - 1] if stop else None

    @property
    def since(self) -> int:
        """Measurements since then."""
        stop = maximum(list(self.values.values()))
        return len(self.values) - stop.kept if stop else 0

    @property
    def stop(self) -> int | None:
        """The epoch at which training should have stopped; None while it should go on."""
        return self.best if self.since >= self.patience else None


@dataclass(frozen=True)
class Stop:
    """The epoch whose weights are kept, and the one at whose end the rule was decided."""

    kept: int
    decided: int


@dataclass(frozen=True)
class Outcome:
    """The result of stopping in one run; accuracies are shares of the test samples.

    Attributes:
        kept: Epoch whose weights are kept.
        decided: Epoch at whose end the rule was decided.
        from_minimum: Epochs from the least test loss to the kept one; negative if it was too early.
        test_accuracy: Test accuracy of the kept weights.
        test_loss: Test loss of the kept weights.
        regret: Test accuracy lost against the best epoch.
        loss_regret: Test loss above the least.
        gain: Test accuracy won against training to the end.
        loss_gain: Test loss saved against training to the end.
        accuracy_when_decided: Test accuracy of the weights at the deciding epoch, which remain if none were saved.
    """

    kept: int
    decided: int
    from_minimum: int
    test_accuracy: float
    test_loss: float
    regret: float
    loss_regret: float
    gain: float
    loss_gain: float
    accuracy_when_decided: float


@dataclass(frozen=True)
class Rule:
    """One way to pick an epoch.

    Attributes:
        title: Its name on the page.
        stop: Function from the series to the epoch; None if the series has none.
        measure: Curves that the series is of, one of :data:`Curves`, or ``""`` for a column of the training log.
        value: Value of the curves, one of :data:`Value`, or the column.
        sees: Samples that it needs.
        online: Whether it can run during training.
    """

    title: str
    stop: Callable[[Series], Stop | None]
    measure: str
    value: str
    sees: str = "training"
    online: bool = False


def layer_mean(by_layer: Sequence[Series]) -> list[float | None]:
    """Return the mean over layers, epoch by epoch; None if a layer has no value, since sets of layers must not change."""
    means: list[float | None] = []
    for values in zip(*by_layer, strict=True):
        present = [value for value in values if value is not None]
        means.append(sum(present) / len(present) if present and len(present) == len(values) else None)
    return means


def smoothed(series: Series, window: int) -> list[float | None]:
    """Return the centred mean over an odd number of epochs, for display only: it uses later epochs, so no rule may take it.

    Towards the ends the window narrows evenly on both sides, which leaves an extremum where it is.

    >>> smoothed([0.0, 3.0, 0.0, 3.0], 3)
    [0.0, 1.0, 2.0, 3.0]
    """
    out: list[float | None] = []
    for i, value in enumerate(series):
        half = min(window // 2, i, len(series) - 1 - i)
        near = [v for v in series[i - half : i + half + 1] if v is not None]
        out.append(None if value is None else sum(near) / len(near))
    return out


def maximum(series: Series) -> Stop | None:
    """Keep the epoch of the highest value, decided at the end of training.

    >>> maximum([0.2, 0.5, None, 0.5, 0.1])
    Stop(kept=2, decided=5)
    """
    best = None
    for epoch, value in enumerate(series, 1):
        if value is not None and (best is None or value > best[0] + EQUAL):
            best = (value, epoch)
    return None if best is None else Stop(best[1], len(series))


def minimum(series: Series) -> Stop | None:
    """Keep the epoch of the lowest value, decided at the end of training."""
    return maximum([None if value is None else -value for value in series])


def first_peak(series: Series, patience: int = PATIENCE) -> Stop | None:
    """Stop as soon as ``patience`` epochs have brought no higher value, and keep the epoch of the highest so far.

    It uses no later epochs, so it can run during training. If it never stops, training runs to its end.

    >>> first_peak([0.1, 0.4, 0.3, 0.2, 0.9], patience=2)
    Stop(kept=2, decided=4)
    """
    best = None
    for epoch, value in enumerate(series, 1):
        if value is not None and (best is None or value > best[0] + EQUAL):
            best = (value, epoch)
        elif best is not None and epoch - best[1] >= patience:
            return Stop(best[1], epoch)
    return None if best is None else Stop(best[1], len(series))


def first_reaching(series: Series, level: float = FITTED) -> Stop | None:
    """Stop at the first epoch whose value is at least ``level``; None if there is none."""
    return next((Stop(e, e) for e, value in enumerate(series, 1) if value is not None and value >= level), None)


def plateau(series: Series) -> int:
    """Return the number of epochs with the highest value: if there are many, a peak only says when the series saturates."""
    present = [value for value in series if value is not None]
    return sum(value >= max(present) - EQUAL for value in present)


def to_the_end(series: Series) -> Stop | None:
    """Keep the last epoch."""
    return Stop(len(series), len(series)) if series else None


RULES: dict[str, Rule] = {
    "auc": Rule("NMF AuC, maximum", maximum, "nmf", "auc"),
    "auc first peak": Rule("NMF AuC, first peak", first_peak, "nmf", "auc", online=True),
    "relative": Rule("relative NMF AuC, maximum", maximum, "nmf", "relative"),
    "fitted": Rule("NMF AuC on fitted samples, maximum", maximum, "nmf on fitted", "auc"),
    "random": Rule("random ablation AuC, maximum", maximum, "random", "auc"),
    "k1": Rule("k = 1 accuracy, first peak", first_peak, "nmf", "first", online=True),
    "k1 maximum": Rule("k = 1 accuracy, maximum", maximum, "nmf", "first"),
    "train": Rule(f"training accuracy first ≥ {FITTED:g}", first_reaching, "", "train_accuracy", online=True),
    "end": Rule("train to the end", to_the_end, "", "train_accuracy", "none", online=True),
    "oracle": Rule("test loss, minimum (oracle)", minimum, "", "test_loss", "test"),
}
"""All rules that are shown, whatever their results. The last three are baselines; the oracle needs test samples."""

BASELINES = ("train", "end", "oracle")
PRIMARY_RULES = {"early-stopping": "auc", "few-shot": "k1"}
"""The main rule of each experiment, over all layers, declared before its runs; the others are shown beside it."""


def outcome(stop: Stop, test_loss: Sequence[float], test_accuracy: Sequence[float]) -> Outcome:
    """Return the result of a stop in a run with these test losses and accuracies, one per epoch."""
    index, least = stop.kept - 1, min(test_loss)
    return Outcome(
        kept=stop.kept,
        decided=stop.decided,
        from_minimum=stop.kept - (test_loss.index(least) + 1),
        test_accuracy=test_accuracy[index],
        test_loss=test_loss[index],
        regret=max(test_accuracy) - test_accuracy[index],
        loss_regret=test_loss[index] - least,
        gain=test_accuracy[index] - test_accuracy[-1],
        loss_gain=test_loss[-1] - test_loss[index],
        accuracy_when_decided=test_accuracy[stop.decided - 1],
    )


def over_seeds(outcomes: Sequence[Outcome]) -> dict[str, Spread]:
    """Return mean and spread over runs of each value of an :class:`Outcome`; at least one run."""
    return {f.name: spread([getattr(run, f.name) for run in outcomes]) for f in fields(Outcome)}


def mean_series(series: Sequence[Series]) -> list[Spread | None]:
    """Return mean and spread over runs, epoch by epoch, up to the length of the shortest run; None where a run has no value."""
    spreads: list[Spread | None] = []
    for values in zip(*series, strict=False):
        present = [value for value in values if value is not None]
        spreads.append(spread(present) if len(present) == len(values) else None)
    return spreads
