"""What watched training runs say about stopping, in plain sentences with the figures that carry them."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from nmfdiag.evidence.records import History
from nmfdiag.measures.stats.correlation import correlation
from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.measures.stopping import CLOSE_EPOCHS, PATIENCE, PRIMARY_RULES, RULES, first_reaching, over_seeds, plateau
from nmfdiag.text import signed
from nmfdiag.views.help_text import help_text
from nmfdiag.views.stopping.tables import (
    ALL,
    Setting,
    Shown,
    headroom,
    least_loss,
    outcomes,
    rule_series,
    stop_of,
    values,
)
from nmfdiag.zoo.experiments import experiment
from nmfdiag.zoo.recipes import FITTED

SATURATED = 0.1
"""From this share of epochs at its highest value on, a series is called saturated."""
LAG = 0.1
"""From this difference of accuracies on, what is measured is not the network that was trained."""
TITLES = {"early-stopping": "early stopping (F6)", "few-shot": "few-shot (F9)"}
SUBJECTS = {"auc": "the mean NMF AuC of all layers", "k1": "the mean k = 1 accuracy of all layers"}


def how_to_read(experiment_name: str) -> str:
    """Return the text on an experiment's figures."""
    return help_text(f"stopping-{experiment_name}", shared=help_text("stopping-shared", patience=PATIENCE))


def stopping_answer(setting: Setting) -> str:
    """Where the declared rule stops, how far that is from the least test loss, what it costs, and what the paper says of it."""
    rule = PRIMARY_RULES[setting.experiment]
    given = outcomes(setting, rule)
    if not given:
        return f"{SUBJECTS[rule].capitalize()} has no value in some layer at every epoch, so the declared rule stops nowhere."
    at, n = over_seeds(given), len(given)
    what = "has its maximum" if RULES[rule].stop is RULES["auc"].stop else "has its first peak"
    words = (
        f"{_upper(SUBJECTS[rule])} {what} at epoch {epochs_words(at['kept'])}, the test loss its minimum at epoch "
        f"{epochs_words(spread(least_loss(setting)))}: {_distance(at['from_minimum'], [o.from_minimum for o in given])}. "
        f"Stopping there {_gain(at['gain'])} against training to the end and gives away {share(at['regret'])} against the best epoch"
    )
    verdict = _extremum_verdict([o.from_minimum for o in given])
    if setting.experiment == "few-shot":
        verdict = _gain_verdict(at["gain"], [o.gain for o in given], spread(headroom(setting)))
    runs = f"{n} seeds" if n > 1 else "one seed, so no spread"
    return f"{words} ({runs}). {verdict}"


def drawn_words(setting: Setting, shown: Shown, layers: str) -> str:
    """The same of what is drawn, where that is not the declared rule; else empty."""
    if shown.rule == PRIMARY_RULES[setting.experiment] and layers == ALL:
        return ""
    given = outcomes(setting, shown.rule, layers)
    start = f"As drawn, {_over(layers)}: {RULES[shown.rule].title}"
    if not given:
        return f"{start} has no value at any epoch."
    at = over_seeds(given)
    return (
        f"{start}, at epoch {epochs_words(at['kept'])}, {_distance(at['from_minimum'], [o.from_minimum for o in given])}; "
        f"stopping there {_gain(at['gain'])} against training to the end. This is not the declared rule."
    )


def caveats(setting: Setting) -> str:
    """What the declared measure follows over the epochs, and whether its peak is one."""
    rule = RULES[PRIMARY_RULES[setting.experiment]]
    parts = []
    series = [(run, rule_series(run, rule, ALL)) for run in setting.runs]
    with_accuracy = _mean_r([(s, values(run, rule.measure, "baseline")) for run, s in series])
    with_loss = _mean_r([(s, run.series("test_loss")) for run, s in series])
    if with_accuracy is not None and with_loss is not None:
        parts.append(
            f"What the declared measure follows from epoch to epoch (Pearson's r, mean over runs): {signed(with_accuracy)} with the uncompressed "
            f"accuracy on the same batches, {signed(with_loss)} with the test loss."
        )
    flat = [(plateau(s), len(s)) for _, s in series]
    held, of = (fmean(column) for column in zip(*flat, strict=True))
    if held >= SATURATED * of:
        parts.append(
            f"It is at its highest in {held:.0f} of {of:.0f} epochs (mean over runs): such a peak says when it saturates."
        )
    if (most := max(_lags(setting), default=0.0)) >= LAG:
        parts.append(
            f"Once training accuracy has reached {FITTED:g}, the network as it is measured, with batch normalisation's running averages, "
            f"still gets up to {most:.2f} less of the probe batches right: those averages lag behind the weights where an "
            "epoch has few steps, and test loss, test accuracy and measure all carry that."
        )
    return " ".join(parts)


def _lags(setting: Setting) -> list[float]:
    """How far the uncompressed accuracy on the batches falls behind training accuracy once that has reached its level."""
    found = []
    for run in setting.runs:
        trained, probed = run.series("train_accuracy"), values(run, "nmf", "baseline")
        if reached := first_reaching(trained):
            after = slice(reached.kept, None)  # that epoch's own accuracy is still one from before its last steps
            found += [t - p for t, p in zip(trained[after], probed[after], strict=True) if p is not None]
    return found


def others_words(settings: Mapping[str, Setting], shown: str) -> str:
    """What the declared rule gives in the other settings of the experiment; empty without any."""
    parts = []
    for title, setting in settings.items():
        given = outcomes(setting, PRIMARY_RULES[setting.experiment])
        if title != shown and given:
            at = over_seeds(given)
            n = f"{len(given)} run{'s' * (len(given) > 1)}"
            parts.append(f"{title}: {epochs_words(at['from_minimum'], sign=True)} epochs, {_gain(at['gain'])} ({n})")
    if not parts:
        return ""
    return f"By the declared rule elsewhere, from the least test loss and against the end: {'; '.join(parts)}."


def missing_words(experiment_name: str, histories: Mapping[str, History], setting: Setting | None) -> str:
    """Which runs are unfinished and left out, how many are declared, and how to record the rest."""
    open_runs = [f"{run.name} (epoch {len(run.epochs)})" for run in histories.values() if not run.finished]
    declared, done = len(experiment(experiment_name)), sum(run.finished for run in histories.values())
    command = f"`nmfdiag record {experiment_name}`"
    parts = []
    if setting is None:
        parts.append(f"No finished run of {TITLES[experiment_name]} is recorded. {command} trains and records them.")
    elif done < declared:
        parts.append(f"{done} of the {declared} declared runs are recorded; {command} goes on with the rest.")
    if open_runs:
        parts.append(f"Not finished, so left out: {', '.join(open_runs)}.")
    return " ".join(parts)


def per_run(setting: Setting, rule: str, layers: str) -> str:
    """Epochs from the least test loss in each run, by seed."""
    stops = [(run, stop_of(run, rule, layers)) for run in setting.runs]
    pairs = zip(stops, least_loss(setting), strict=True)
    listed = [f"seed {run.recipe.seed}: {_epochs(stop.kept - least)}" for (run, stop), least in pairs if stop]
    return f"Epochs from the least test loss to the stop, run by run: {', '.join(listed)}."


def epochs_words(at: Spread, *, sign: bool = False) -> str:
    """Epochs with one decimal, and one standard error where there is one."""
    mean = f"{at.mean:{'+' if sign else ''}.1f}".replace("-", "−")
    return f"{mean} ± {at.sem:.1f}" if at.n > 1 else mean.removesuffix(".0")


def share(at: Spread) -> str:
    """An accuracy difference, with one standard error where there is one."""
    return f"{at.mean:.3f} ± {at.sem:.3f}" if at.n > 1 else f"{at.mean:.3f}"


def _gain(at: Spread) -> str:
    size = Spread(abs(at.mean), at.sd, at.sem, at.n)
    return f"{'loses' if at.mean < 0 else 'wins'} {share(size)} of test accuracy"


def _distance(at: Spread, each: Sequence[int]) -> str:
    if not any(each):
        return "the same epoch in every run" if len(each) > 1 else "the same epoch"
    size = Spread(abs(at.mean), at.sd, at.sem, at.n)
    return f"{epochs_words(size)} epochs {'too early' if at.mean < 0 else 'too late'}"


def _extremum_verdict(distances: Sequence[int]) -> str:
    near, n = sum(abs(d) <= CLOSE_EPOCHS for d in distances), len(distances)
    where = f"within {CLOSE_EPOCHS} epochs of it in {near} of {n} run{'s' * (n > 1)}"
    if near == n:
        return f"As in the paper, the extremum lies next to the least test loss: {where}."
    if near > n / 2:
        return f"The extremum lies {where}, which agrees with the paper in part."
    return f"The paper's extremum next to the least test loss is not found here: {where}."


def _gain_verdict(gain: Spread, each: Sequence[float], most: Spread) -> str:
    better, worse = sum(g > 0 for g in each), sum(g < 0 for g in each)
    count = f"better in {better}, worse in {worse} of {len(each)} run{'s' * (len(each) > 1)}"
    possible = f"the best epoch has {share(most)} over the end"
    if len(each) > 2 and gain.mean > 2 * gain.sem:
        return f"As in the paper, it beats training to the end: {count}; {possible}."
    if len(each) > 2 and gain.mean < -2 * gain.sem:
        return f"The paper finds that it beats training to the end; here it does not, it is worse: {count}; {possible}."
    return f"The paper finds that it beats training to the end; here that is not clear: {count}; {possible}."


def _mean_r(pairs: Sequence[tuple[Sequence[float | None], Sequence[float | None]]]) -> float | None:
    found = []
    for x, y in pairs:
        both = [(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None]
        r = correlation(*zip(*both, strict=True)).r if both else None
        if r is not None:
            found.append(r)
    return fmean(found) if found else None


def _over(layers: str) -> str:
    return "mean over all layers" if layers == ALL else layers


def _epochs(distance: int) -> str:
    return f"{distance:+d}".replace("-", "−").replace("+0", "0")


def _upper(words: str) -> str:
    return words[0].upper() + words[1:]
