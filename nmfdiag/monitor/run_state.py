"""Whether a monitored training memorises, decided here from what its monitor wrote.

Memorising means what it means everywhere: of the given labels, :data:`~nmfdiag.measures.memorised.MEMORISED` or more are predicted only because the network was
trained on them. From top to bottom:

1. **Test accuracy**, where the loop logs one: accuracy on training samples less that on test samples. Where p is known, the latter is what equally noisy test labels would give, and
   this rule decides alone. Where it is unknown, labels of the training may be noisier than those of the test samples, so that the difference is a lower bound: it decides once it is large enough.
2. **AuC**: the network has :data:`FITTED_SHARE` of the probe's given labels right, at a relative NMF AuC (mean over layers, median of the last three measurements) of :data:`LOW_AUC` at most. Of 164
   recorded networks that fit their labels, all 105 with so low an AuC memorise, and so do 43 of the other 59, all perceptrons with noisy labels among them: a high AuC says nothing.
3. **Not yet**: the network gets too few labels right to have memorised that share beyond chance; or less than :data:`RISE` more than in its first :data:`FIRST_PASSES` passes over the data, in
   which labels are hardly memorised (34 of 35 epochs of the recorded runs); or rule 1 finds no such difference, and never were test samples :data:`NOISY` better than
   training samples, the mark of wrong training labels.
4. Otherwise it **can't be told**: which is so, without a test accuracy, at four fifths of the recorded epochs.

Rules 2 and 3 need :data:`FEWEST_MEASUREMENTS` measurements. :func:`nmfdiag.evidence.records.run_state_counts` has how often they are right.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import median

from nmfdiag.measures.memorised import MEMORISED
from nmfdiag.measures.suspects.noise_rate import NOISY
from nmfdiag.monitor.run_logs import EpochValues, label_noise_of, log_names, logged_values
from nmfdiag.monitor.run_reader import Run, layer_means

MEMORISING, NOT_YET, TOO_FEW, UNKNOWN = CODES = "memorising", "not_yet", "too_few", "unknown"
"""Codes of a state."""
FITTED_SHARE = 0.9
"""Share of the probe's given labels from which on they count as fitted: before that, AuC is low for want of it."""
LOW_AUC = 0.9
"""Relative AuC, mean over layers, from which downwards a network that fits its labels memorises."""
FIRST_PASSES, RISE = 2, 0.05
FEWEST_MEASUREMENTS = 2
FEWEST_LAYERS, FEWEST_SAMPLES = 3, 10
"""Layers, and samples a class, of the recorded networks at least."""
TEST_NAMES = ("test", "val", "eval")
"""Parts of the names under which loops log an accuracy on samples that they don't train on."""


@dataclass(frozen=True)
class RunState:
    """The state of a run.

    Attributes:
        code: One of :data:`CODES`.
        since: First epoch from which on every epoch says so; only of ``"memorising"``.
        is_exact: Whether it did not begin earlier: p is known, and the epoch before says otherwise.
        n_measured: Epochs with a measurement.
        reason: Why, in a sentence.
    """

    code: str
    since: int | None
    n_measured: int
    reason: str
    is_exact: bool = False


def run_state(run: Run) -> RunState:
    """Return the state of a run at its last epoch."""
    n_measured = sum(bool(line["curves"]) for line in run.epochs)
    by_test, is_known = _by_test_accuracy(run), label_noise_of(run) is not None
    if by_test is not None and (is_known or by_test[0] == MEMORISING):
        code, since, reason = by_test
    else:
        code, since, reason = _by_auc(run)
        if by_test is not None and code != MEMORISING:
            code, since, reason = by_test
    shares = memorised_shares(run)
    return RunState(
        code, since, n_measured, reason, is_known and since is not None and (since - 1 in shares or since <= 1)
    )


def test_accuracies(run: Run) -> EpochValues:
    """Return the logged accuracy on samples that the loop does not train on, by epoch; empty without any."""
    return _accuracies(run, TEST_NAMES)


def memorised_shares(run: Run) -> EpochValues:
    """Return the share of given labels that are predicted beyond what equally labelled test samples give, by epoch; empty without a logged test accuracy.

    Where p is unknown, test labels are taken to be as noisy as those of the training.
    """
    test, training = test_accuracies(run), _accuracies(run, ("train",)) or _baselines(run)
    p, n_classes = label_noise_of(run) or 0.0, _n_classes(run)
    chance = p / n_classes if n_classes else 0.0
    return {epoch: training[epoch] - ((1 - p) * test[epoch] + chance) for epoch in test if epoch in training}


def judged(runs: Iterable[Run]) -> dict[str, tuple[int, int]]:
    """Return at how many epochs of recorded runs a state by rules 2 to 4 is right, and how many have it; one that can't be told is right at none.

    The runs' p and test accuracies say the truth.
    """
    counts = {code: [0, 0] for code in (MEMORISING, NOT_YET, UNKNOWN)}
    for run in runs:
        shares = memorised_shares(run)
        for n, line in enumerate(run.epochs, 1):
            share, (code, _, _) = shares.get(int(line["epoch"])), _by_auc(replace(run, epochs=run.epochs[:n]))
            if line["curves"] and share is not None and code in counts:
                counts[code][0] += code == (MEMORISING if share >= MEMORISED else NOT_YET)
                counts[code][1] += 1
    return {code: (n_right, n) for code, (n_right, n) in counts.items()}


def _by_test_accuracy(run: Run) -> tuple[str, int | None, str] | None:
    """Apply rule 1; None where no test accuracy is logged."""
    shares = memorised_shares(run)
    if not shares:
        return None
    now, points = next(reversed(shares.values())), 100 * next(reversed(shares.values()))
    like = "equally labelled test samples" if label_noise_of(run) else "test samples"
    if now >= MEMORISED:
        since = _since(list(shares), [epoch for epoch, share in shares.items() if share >= MEMORISED])
        return MEMORISING, since, f"{points:.0f} points more of the training samples are right than of {like}."
    test, baselines = test_accuracies(run), _baselines(run)
    excess = {epoch: test[epoch] - baseline for epoch, baseline in baselines.items() if epoch in test}
    worst = max(excess, key=lambda epoch: excess[epoch], default=None)
    if label_noise_of(run) is None and worst is not None and excess[worst] >= NOISY:
        return (
            UNKNOWN,
            None,
            f"At epoch {worst}, {100 * excess[worst]:.0f} points more of the test samples were right than of the training samples: labels of the training look wrong, and test samples "
            "don't show how many of those are memorised.",
        )
    lead = f"only {points:.0f} points more" if points >= 0.5 else "no more"
    return NOT_YET, None, f"{lead.capitalize()} of the training samples are right than of {like}."


def _by_auc(run: Run) -> tuple[str, int | None, str]:
    """Apply rules 2 to 4 without a test accuracy."""
    relative, baselines = layer_means(run.epochs, "nmf", "relative"), _baselines(run)
    n_measured = sum(bool(line["curves"]) for line in run.epochs)
    if n_measured < FEWEST_MEASUREMENTS:
        return TOO_FEW, None, f"{FEWEST_MEASUREMENTS} are needed."
    epoch = next(reversed(baselines), None)
    if epoch is None:
        return UNKNOWN, None, "It measures signed NMF, for which nothing is recorded that this could be judged by."
    if problem := _problem(run):
        return UNKNOWN, None, problem
    fitted = {e: value for e, value in relative.items() if baselines.get(e, 0) >= FITTED_SHARE}
    low = [e for i, e in enumerate(fitted) if median(list(fitted.values())[max(0, i - 2) : i + 1]) <= LOW_AUC]
    baseline, n_classes = baselines[epoch], _n_classes(run)
    right = f"{100 * baseline:.0f} % of the probe's given labels right"
    if epoch in low:
        since = _since(list(fitted), low)
        return MEMORISING, since, f"It gets {right}, at a relative AuC of only {relative[epoch]:.2f}."
    if n_classes and baseline - 1 / n_classes < MEMORISED:
        return NOT_YET, None, f"It gets only {right}."
    early = _early_accuracy(run, baselines)
    if early is not None and baseline - early < RISE:
        return (
            NOT_YET,
            None,
            f"It gets {right}, and got {100 * early:.0f} % in its first {FIRST_PASSES} epochs, too early to memorise.",
        )
    if baseline < FITTED_SHARE:
        return UNKNOWN, None, f"It gets {right}: AuC says nothing below {100 * FITTED_SHARE:.0f} %."
    return (
        UNKNOWN,
        None,
        f"Its relative AuC stays high ({relative[epoch]:.2f}), which networks that generalise have, and perceptrons that memorise.",
    )


def _problem(run: Run) -> str:
    """Return why AuC can't be judged by the records; empty if it can."""
    samples = run.probe.get("per_class")
    if len(run.layers) < FEWEST_LAYERS:
        return f"A mean over layers needs {FEWEST_LAYERS}; {len(run.layers)} measured."
    if not isinstance(samples, int) or samples < FEWEST_SAMPLES:
        return f"AuC is judged with {FEWEST_SAMPLES} samples a class; the probe has fewer."
    return ""


def _since(epochs: list[int], hits: list[int]) -> int:
    """Return the first epoch of the unbroken row of hits that leads up to the last epoch."""
    since = epochs[-1]
    for epoch in reversed(epochs):
        if epoch not in hits:
            break
        since = epoch
    return since


def _baselines(run: Run) -> EpochValues:
    """Return the accuracy on the probe's given labels, by measured epoch."""
    return layer_means(run.epochs, "nmf", "baseline")


def _early_accuracy(run: Run, baselines: EpochValues) -> float | None:
    """Return the highest accuracy in the first passes; None where they were not measured, or the run began later."""
    first = int(run.epochs[0]["epoch"])
    values = [value for epoch, value in baselines.items() if epoch - first < FIRST_PASSES] if first <= 1 else []
    return max(values, default=None)


def _n_classes(run: Run) -> int:
    n_classes = run.probe.get("classes")
    return n_classes if isinstance(n_classes, int) and n_classes > 1 else 0


def _accuracies(run: Run, parts: Iterable[str]) -> EpochValues:
    """Return the first logged accuracy whose name has one of these parts, if its values are shares."""
    candidates = (logged_values(run, name) for name in _names(run, tuple(parts)))
    return next((values for values in candidates if all(0 <= value <= 1 for value in values.values())), {})


def _names(run: Run, parts: tuple[str, ...]) -> Iterator[str]:
    names = log_names([run], "acc")
    return (name for name in names if any(part in name.lower() for part in parts))
