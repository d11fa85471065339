"""Sentences of the page *Early stopping*, with the figures that carry them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

from nmfdiag.evidence.records import History
from nmfdiag.measures.stats.correlation import correlation
from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.measures.stopping import CLOSE_EPOCHS, PATIENCE, PRIMARY_RULES, RULES, first_reaching, over_seeds, plateau
from nmfdiag.text import plural, signed
from nmfdiag.views.epochs import ALL, EpochMeasure
from nmfdiag.views.help_text import help_text
from nmfdiag.views.stopping.tables import (
    Setting,
    headroom,
    least_loss_epochs,
    measured_series,
    outcomes,
    rule_series,
    spread_text,
    stop_of,
)
from nmfdiag.zoo.experiments import experiment
from nmfdiag.zoo.recipes import FITTED

SATURATED = 0.1
"""Share of epochs at the highest value from which a series counts as saturated."""
LAG = 0.1
"""Difference of accuracies from which the measured network is not the one that was trained."""
TITLES = {"early-stopping": "early stopping (F6)", "few-shot": "few-shot (F9)"}
SUBJECTS = {"auc": "the mean NMF AuC of all layers", "k1": "the mean k = 1 accuracy of all layers"}


def how_to_read(experiment_name: str) -> str:
    """Return the text on an experiment's figures."""
    return help_text(f"stopping-{experiment_name}", shared=help_text("stopping-shared", patience=PATIENCE))


def headline(setting: Setting) -> str:
    """Return what stopping by the declared rule wins or loses."""
    rule = PRIMARY_RULES[setting.experiment]
    results = outcomes(setting, rule)
    if not results:
        return "The declared rule stops nowhere."
    gain, event = over_seeds(results)["gain"], "is highest" if RULES[rule].stop is RULES["auc"].stop else "first peaks"
    points = replace(gain, mean=100 * abs(gain.mean), sd=100 * gain.sd, sem=100 * gain.sem)
    return (
        f"Stopping where {SUBJECTS[rule]} {event} {'loses' if gain.mean < 0 else 'wins'} {spread_text(points, 1)} points of test accuracy against "
        "training to the end."
    )


def stopping_answer(setting: Setting) -> str:
    """Return where the declared rule stops, how far from the least test loss, at what cost, and what the paper says."""
    rule = PRIMARY_RULES[setting.experiment]
    results = outcomes(setting, rule)
    if not results:
        return f"{SUBJECTS[rule].capitalize()} has no value in some layer at every epoch, so the declared rule stops nowhere."
    means, distances = over_seeds(results), [o.from_minimum for o in results]
    event = "has its maximum" if RULES[rule].stop is RULES["auc"].stop else "has its first peak"
    answer = (
        f"{_capitalised(SUBJECTS[rule])} {event} at epoch {epochs_text(means['kept'])}, the test loss its minimum at epoch "
        f"{epochs_text(spread(least_loss_epochs(setting)))}: {_distance(means['from_minimum'], distances)}. "
        f"Stopping there {_gain(means['gain'])} against training to the end and gives away {_share(means['regret'])} against the best epoch"
    )
    if setting.experiment == "few-shot":
        verdict = _gain_verdict(means["gain"], [o.gain for o in results], spread(headroom(setting)))
    else:
        verdict = _extremum_verdict(distances)
    runs = f"{len(results)} seeds" if len(results) > 1 else "one seed, so no spread"
    return f"{answer} ({runs}). {verdict}"


def drawn_text(setting: Setting, measure: EpochMeasure, layers: str) -> str:
    """Return the same of the measure that is drawn; empty if that is the declared one."""
    if measure.rule == PRIMARY_RULES[setting.experiment] and layers == ALL:
        return ""
    results = outcomes(setting, measure.rule, layers)
    start = f"As drawn, {'mean over all layers' if layers == ALL else layers}: {RULES[measure.rule].title}"
    if not results:
        return f"{start} has no value at any epoch."
    means = over_seeds(results)
    return (
        f"{start}, at epoch {epochs_text(means['kept'])}, {_distance(means['from_minimum'], [o.from_minimum for o in results])}; "
        f"stopping there {_gain(means['gain'])} against training to the end. This is not the declared rule."
    )


def caveats(setting: Setting) -> str:
    """Return what the declared measure follows over the epochs, and whether it saturates or lags behind."""
    rule = RULES[PRIMARY_RULES[setting.experiment]]
    parts = []
    series = [(run, rule_series(run, rule, ALL)) for run in setting.runs]
    with_accuracy = _mean_correlation([(s, measured_series(run, rule.measure, "baseline")) for run, s in series])
    with_loss = _mean_correlation([(s, run.series("test_loss")) for run, s in series])
    if with_accuracy is not None and with_loss is not None:
        parts.append(
            f"What the declared measure follows from epoch to epoch (Pearson's r, mean over runs): {signed(with_accuracy)} with the uncompressed "
            f"accuracy on the same batches, {signed(with_loss)} with the test loss."
        )
    n_highest, n_epochs = fmean(plateau(s) for _, s in series), fmean(len(s) for _, s in series)
    if n_highest >= SATURATED * n_epochs:
        parts.append(
            f"It is at its highest in {n_highest:.0f} of {n_epochs:.0f} epochs (mean over runs): such a peak says when it saturates."
        )
    if (largest := max(_lags(setting), default=0.0)) >= LAG:
        parts.append(
            f"Once training accuracy has reached {FITTED:g}, the network as it is measured, with batch normalisation's running averages, "
            f"still gets up to {largest:.2f} less of the probe batches right: those averages lag behind the weights where an "
            "epoch has few steps, and test loss, test accuracy and measure all carry that."
        )
    return " ".join(parts)


def _lags(setting: Setting) -> list[float]:
    """Return by how much accuracy on the uncompressed batches falls behind training accuracy, once that counts as fitted."""
    lags = []
    for run in setting.runs:
        train_accuracy, batch_accuracy = run.series("train_accuracy"), measured_series(run, "nmf", "baseline")
        if fit := first_reaching(train_accuracy):
            after = slice(fit.kept, None)  # that epoch's own accuracy is still one from before its last steps
            pairs = zip(train_accuracy[after], batch_accuracy[after], strict=True)
            lags += [train - batch for train, batch in pairs if batch is not None]
    return lags


def others_text(settings: Mapping[str, Setting], current: str) -> str:
    """Return the outcome of the declared rule in the other settings of the experiment; empty without any."""
    parts = []
    for title, setting in settings.items():
        results = outcomes(setting, PRIMARY_RULES[setting.experiment])
        if title != current and results:
            means, runs = over_seeds(results), plural(len(results), "run")
            epochs = epochs_text(means["from_minimum"], sign=True)
            parts.append(f"{title}: {epochs} epochs, {_gain(means['gain'])} ({runs})")
    if not parts:
        return ""
    return f"By the declared rule elsewhere, from the least test loss and against the end: {'; '.join(parts)}."


def missing_text(experiment_name: str, histories: Mapping[str, History], setting: Setting | None) -> str:
    """Return which runs are unfinished and left out, how many are declared, and how to record the rest."""
    unfinished = [f"{run.name} (epoch {len(run.epochs)})" for run in histories.values() if not run.finished]
    n_declared, n_finished = len(experiment(experiment_name)), sum(run.finished for run in histories.values())
    command = f"`nmfdiag record {experiment_name}`"
    parts = []
    if setting is None:
        parts.append(f"No finished run of {TITLES[experiment_name]} is recorded. {command} trains and records them.")
    elif n_finished < n_declared:
        parts.append(f"{n_finished} of the {n_declared} declared runs are recorded; {command} goes on with the rest.")
    if unfinished:
        parts.append(f"Not finished, so left out: {', '.join(unfinished)}.")
    return " ".join(parts)


def per_run(setting: Setting, rule: str, layers: str) -> str:
    """Return the epochs from the least test loss to the stop in each run, by seed."""
    stops = [(run, stop_of(run, rule, layers)) for run in setting.runs]
    pairs = zip(stops, least_loss_epochs(setting), strict=True)
    parts = [f"seed {run.recipe.seed}: {_signed_epochs(stop.kept - least)}" for (run, stop), least in pairs if stop]
    return f"Epochs from the least test loss to the stop, run by run: {', '.join(parts)}."


def epochs_text(epochs: Spread, *, sign: bool = False) -> str:
    """Return a mean number of epochs: a whole number for a single run, else one decimal and the standard error.

    >>> epochs_text(Spread(4.0, 0.0, 0.0, 1)), epochs_text(Spread(4.5, 0.7, 0.5, 2), sign=True)
    ('4', '+4.5 ± 0.5')
    """
    return spread_text(epochs, 1, sign=sign).removesuffix(".0" if epochs.n == 1 else "")


def _share(accuracy: Spread) -> str:
    return spread_text(accuracy, 3)


def _gain(gain: Spread) -> str:
    return f"{'loses' if gain.mean < 0 else 'wins'} {_share(replace(gain, mean=abs(gain.mean)))} of test accuracy"


def _distance(mean: Spread, distances: Sequence[int]) -> str:
    if not any(distances):
        return "the same epoch in every run" if len(distances) > 1 else "the same epoch"
    return f"{epochs_text(replace(mean, mean=abs(mean.mean)))} epochs {'too early' if mean.mean < 0 else 'too late'}"


def _extremum_verdict(distances: Sequence[int]) -> str:
    n_close, n = sum(abs(d) <= CLOSE_EPOCHS for d in distances), len(distances)
    count = f"within {CLOSE_EPOCHS} epochs of it in {n_close} of {plural(n, 'run')}"
    if n_close == n:
        return f"As in the paper, the extremum lies next to the least test loss: {count}."
    if n_close > n / 2:
        return f"The extremum lies {count}, which agrees with the paper in part."
    return f"The paper's extremum next to the least test loss is not found here: {count}."


def _gain_verdict(mean: Spread, gains: Sequence[float], limit: Spread) -> str:
    better, worse = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    count = f"better in {better}, worse in {worse} of {plural(len(gains), 'run')}; the best epoch has {_share(limit)} over the end"
    if len(gains) > 2 and mean.mean > 2 * mean.sem:
        return f"As in the paper, it beats training to the end: {count}."
    if len(gains) > 2 and mean.mean < -2 * mean.sem:
        return f"The paper finds that it beats training to the end; here it does not, it is worse: {count}."
    return f"The paper finds that it beats training to the end; here that is not clear: {count}."


def _mean_correlation(pairs: Sequence[tuple[Sequence[float | None], Sequence[float | None]]]) -> float | None:
    """Return the mean of Pearson's r over runs; None where it is defined in none."""
    coefficients = []
    for x, y in pairs:
        points = [(a, b) for a, b in zip(x, y, strict=True) if a is not None and b is not None]
        r = correlation(*zip(*points, strict=True)).r if points else None
        if r is not None:
            coefficients.append(r)
    return fmean(coefficients) if coefficients else None


def _signed_epochs(distance: int) -> str:
    return f"{distance:+d}".replace("-", "−").replace("+0", "0")


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
