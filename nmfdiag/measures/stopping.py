"""When to stop training: rules that pick an epoch from a measured series, and what stopping there costs (figures 6 and 9).

Notation: a series has one value an epoch, None where there is none; epochs count from 1. Of equal values the earliest counts.
A rule *keeps* the weights of one epoch and is *decided* at a later one: until then training has to go on. What a rule costs is
taken within a run, so that a mean over seeds is one of paired differences.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from nmfdiag.measures.stats.summary import Spread, spread

Series = Sequence[float | None]

PATIENCE = 5
CLOSE = 2
"""Up to so many epochs are "next to" the test loss's minimum."""
FITTED = 0.98
EQUAL = 1e-9
"""Values that differ by less are one value: a mean over layers of a saturated AuC is 1 up to rounding."""


@dataclass(frozen=True)
class Stop:
    """The epoch whose weights are kept, and the one at the end of which that was known."""

    kept: int
    decided: int


@dataclass(frozen=True)
class Outcome:
    """What stopping gave in one run; accuracies are shares of the test samples.

    Attributes:
        kept: Epoch whose weights are kept.
        decided: Epoch at whose end that was known.
        from_minimum: Epochs from the least test loss to the kept one; negative if it was too early.
        test_accuracy: Of the kept weights.
        test_loss: Of the kept weights.
        regret: Test accuracy lost against the best epoch.
        loss_regret: Test loss above the least.
        gain: Test accuracy won against training to the end.
        loss_gain: Test loss saved against training to the end.
        accuracy_when_decided: Test accuracy of the weights at that later epoch: what is left if none were put aside.
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
        title: What it is called on the page.
        stop: From the series to the epoch; None where the series has none.
        measure: What the series is: ``"nmf"``, ``"random"``, ``"nmf on fitted"``, or ``""`` for a column of the training log.
        value: Which value of it, or the column.
        sees: Which samples it needs.
        online: Whether it can run while training does.
    """

    title: str
    stop: Callable[[Series], Stop | None]
    measure: str
    value: str
    sees: str = "training"
    online: bool = False


def layer_mean(by_layer: Sequence[Series]) -> list[float | None]:
    """The mean over layers, epoch by epoch; None where one of them has no value, since another set of layers compares badly."""
    means: list[float | None] = []
    for values in zip(*by_layer, strict=True):
        known = [value for value in values if value is not None]
        means.append(sum(known) / len(known) if known and len(known) == len(values) else None)
    return means


def smoothed(series: Series, window: int) -> list[float | None]:
    """Centred mean over an odd number of epochs, for the eye: it looks ahead, so no rule is given it.

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
    """Keep the epoch of the highest value, known once training has ended.

    >>> maximum([0.2, 0.5, None, 0.5, 0.1])
    Stop(kept=2, decided=5)
    """
    best = None
    for epoch, value in enumerate(series, 1):
        if value is not None and (best is None or value > best[0] + EQUAL):
            best = (value, epoch)
    return None if best is None else Stop(best[1], len(series))


def minimum(series: Series) -> Stop | None:
    """Keep the epoch of the lowest value, known once training has ended."""
    return maximum([None if value is None else -value for value in series])


def first_peak(series: Series, patience: int = PATIENCE) -> Stop | None:
    """Stop as soon as ``patience`` epochs have brought no higher value, and keep the epoch of the highest so far.

    It looks at nothing that comes later, so it can run while training does. If it never stops, training goes to its end.

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
    """In how many epochs the series has its highest value: where there are many, a peak says when it saturates, no more."""
    known = [value for value in series if value is not None]
    return sum(value >= max(known) - EQUAL for value in known)


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
"""All that are shown, whatever they give. The last three are baselines; the oracle can't be had without test samples."""

BASELINES = ("train", "end", "oracle")
PRIMARY = {"early-stopping": "auc", "few-shot": "k1"}
"""Of each experiment, the rule that the answer is about, over all layers, declared before its runs; the others stand beside it."""


def outcome(stop: Stop, test_loss: Sequence[float], test_accuracy: Sequence[float]) -> Outcome:
    """What a stop gave in a run of these test losses and accuracies, one an epoch."""
    at, least = stop.kept - 1, min(test_loss)
    return Outcome(
        kept=stop.kept,
        decided=stop.decided,
        from_minimum=stop.kept - (test_loss.index(least) + 1),
        test_accuracy=test_accuracy[at],
        test_loss=test_loss[at],
        regret=max(test_accuracy) - test_accuracy[at],
        loss_regret=test_loss[at] - least,
        gain=test_accuracy[at] - test_accuracy[-1],
        loss_gain=test_loss[-1] - test_loss[at],
        accuracy_when_decided=test_accuracy[stop.decided - 1],
    )


def over_seeds(outcomes: Sequence[Outcome]) -> dict[str, Spread]:
    """Mean and spread over runs of each value of an :class:`Outcome`; at least one run."""
    return {f.name: spread([getattr(each, f.name) for each in outcomes]) for f in fields(Outcome)}


def mean_series(series: Sequence[Series]) -> list[Spread | None]:
    """Mean and spread over runs, epoch by epoch, as far as the shortest run goes; None where a run has no value."""
    found: list[Spread | None] = []
    for values in zip(*series, strict=False):
        known = [value for value in values if value is not None]
        found.append(spread(known) if len(known) == len(values) else None)
    return found
