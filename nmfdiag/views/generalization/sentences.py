"""What the generalisation experiment says, in plain sentences with the figures that carry them."""

from collections.abc import Sequence
from dataclasses import replace

from nmfdiag.evidence.records import RECORDS_FOLDER, NetworkRecord
from nmfdiag.measures.methods import METHODS, PAPER_METHODS
from nmfdiag.measures.stats.correlation import Correlation, Difference
from nmfdiag.text import join, signed
from nmfdiag.views.generalization.tables import (
    COMPARED,
    FITS,
    OTHERS,
    PAPER,
    STATISTICS,
    Selection,
    Verdict,
)
from nmfdiag.views.help_text import help_text
from nmfdiag.zoo.experiments import GENERALIZATION, PRIMARY

COMMAND = "nmfdiag record generalization"
NOTHING = f"""
No network of this experiment is recorded here yet. It trains {len(GENERALIZATION)} small networks and measures each; it can be stopped at any
time and goes on where it was. Run in a terminal: `{COMMAND} --out {RECORDS_FOLDER}`"""


def how_to_read() -> str:
    """Return the page's text on how to read it."""
    return help_text("generalization", primary=PRIMARY.words)


def title_answer(verdict: Verdict) -> str:
    """The first line: whether AuC foretells the error, with r of each method."""
    nmf = verdict.by_method["nmf"]
    if nmf.r is None:
        return f"It can't be said: {_undefined(nmf)} ({nmf.n} networks)."
    if not nmf.clear:
        start = "Not clearly"
    elif nmf.r < 0:
        less = ", but less closely than in the paper" if nmf.low is not None and PAPER["nmf"] < nmf.low else ""
        start = f"Yes{less}: the lower the AuC, the larger the error"
    else:
        start = "No, it is the other way round: the higher the AuC, the larger the error"
    return f"{start}. Pearson's r over {nmf.n} networks, with 95 % intervals: {_each(verdict)}."


def paper_words(verdict: Verdict) -> str:
    """How this compares with the paper's figures, method by method, and in their order."""
    parts = []
    for method, r in PAPER.items():
        of = verdict.by_method[method]
        if of.low is None or of.high is None:
            continue
        place = "inside" if of.low <= r <= of.high else "below" if r < of.low else "above"
        parts.append(f"{signed(r)} for {METHODS[method].phrase} ({place} our interval)")
    ours, theirs = verdict.strongest, min(PAPER, key=PAPER.__getitem__)
    here = (
        "here none is negative"
        if ours is None
        else "so it is here"
        if ours == theirs
        else f"here it is {METHODS[ours].phrase}"
    )
    order = f" In the paper {METHODS[theirs].phrase} is the strongest; {here}."
    return (
        f"The paper (figure 5) reports, on {len(GENERALIZATION)} networks of its own, {join(parts)}.{order}"
        if parts
        else ""
    )


def lead_words(verdict: Verdict) -> str:
    """Whether NMF is clearly ahead of the others, by the paired differences."""
    parts = [f"from {METHODS[m].phrase}'s {_lead(lead)}" for m, lead in verdict.leads.items() if lead.value is not None]
    return f"NMF's r differs {join(parts)}." if parts else ""


def definitions_words(found: Sequence[Verdict]) -> list[str]:
    """For each statistic: in how many of the declared definitions NMF is the strongest, and clearly so."""
    return [_counted([v for v in found if v.statistic == statistic]) for statistic in STATISTICS]


def fit_words(selection: Selection) -> str:
    """How many networks did not learn their labels, and r without them; empty where all did."""
    fitted = selection.fitted
    missing = len(selection.records) - len(fitted.records)
    if not missing:
        return ""
    levels = sorted({r.recipe.fitted_at for r in selection.records})
    words = (
        f"{missing} of these {len(selection.records)} networks did not fit their given labels within their epochs (training "
        f"accuracy below {join(f'{level:g}' for level in levels)})."
    )
    without = fitted.verdict()
    nmf = without.by_method["nmf"]
    return words if nmf.r is None else f"{words} Without them, over {nmf.n}: {_each(without)}."


def noise_words(selection: Selection) -> str:
    """Whether AuC says more than p: r among networks of one data set and p, and of those alone that fit."""
    within = replace(selection, compared=COMPARED[2])
    verdict, fitted = within.verdict(), within.fitted.verdict()
    nmf = verdict.by_method["nmf"]
    if selection.compared == COMPARED[2] or nmf.r is None:
        return ""
    if not nmf.clear:
        words = "AuC does not clearly foretell the error"
    else:
        words = "AuC still foretells the error" if nmf.r < 0 else "a higher AuC goes with a larger error"
    words = f"Among networks of the same data set and p, {words}: {_each(verdict)}"
    if len(within.fitted.records) < len(within.records) and fitted.by_method["nmf"].r is not None:
        words += f"; among those of them that fit, {fitted.by_method['nmf'].n} networks, {_each(fitted)}"
    return f"{words}."


def combination_words(selection: Selection) -> str:
    """The wider reading of the interval: networks that differ in p alone are not independent."""
    of, combinations = selection.by_combination("nmf"), len(set(selection.combinations))
    if of.low is None or combinations == len(selection.records):
        return ""
    return (
        f"Networks of one combination of settings differ in p alone. Drawing the {combinations} combinations anew in the place "
        f"of networks, NMF has {interval_words(of)}."
    )


def subject(selection: Selection, n_recorded: int) -> str:
    """What the question is asked about, and how much of the experiment is there."""
    chosen = f"{len(selection.records)} networks · {join(dict.fromkeys(r.recipe.dataset for r in selection.records))}"
    levels = sorted({r.recipe.label_noise for r in selection.records})
    words = f"{chosen} · p = {', '.join(f'{p:g}' for p in levels)} · {selection.definition.words}"
    if selection.compared != COMPARED[0]:
        words += f" · {selection.compared}"
    return words if n_recorded >= len(GENERALIZATION) else f"{words} · so far {n_recorded} of {len(GENERALIZATION)}"


def is_declared(selection: Selection, dataset: str, fits: str) -> bool:
    """Whether these choices are those that the answer was declared for."""
    return (selection.definition, selection.compared, fits, dataset) == (PRIMARY, COMPARED[0], FITS[0], "all")


def declared_words(declared: Verdict) -> str:
    """Beside other choices: what the declared one says."""
    return f"These are not the declared choices. Those ({declared.definition.words}, all networks) give: {_each(declared)}."


def network_words(record: NetworkRecord) -> str:
    """How a network was made, in a sentence."""
    recipe = record.recipe
    sizes = [_counted_of(value, *_SIZES.get(name, (name, ""))) for name, value in recipe.arch_options.items()]
    moved = f"images moved by up to {_counted_of(recipe.shift, 'pixel')}" if recipe.shift else "images not moved"
    decay = f"weight decay {recipe.weight_decay:g}" if recipe.weight_decay else "no weight decay"
    noise = f"{recipe.label_noise:.0%} of the labels drawn anew" if recipe.label_noise else "labels as they are"
    return (
        f"A {recipe.arch} with {join(sizes)} ({_counted_of(record.n_parameters, 'parameter')}), trained on "
        f"{recipe.n_train:,} samples of {recipe.dataset}, {noise} (p = {recipe.label_noise:g}). Learning rate "
        f"{recipe.learning_rate:g}, batches of {recipe.batch_size}, {decay}, {moved}, seed {recipe.seed}; "
        f"{_counted_of(record.epochs, 'epoch')} of at most {recipe.max_epochs}"
        f"{'' if record.fits else ', after which it did not fit its labels'}."
    )


def accuracy_words(record: NetworkRecord, selection: Selection) -> str:
    """A network's accuracies and its AuCs under the definition."""
    areas = join(f"{METHODS[m].phrase} {record.area(m, selection.definition):.3f}" for m in PAPER_METHODS)
    return (
        f"Training accuracy {record.train_accuracy:.3f}, test accuracy {record.test_accuracy:.3f}, generalisation error "
        f"{signed(record.generalization_error)}. AuC ({selection.definition.words}): {areas}."
    )


def settings(selection: Selection, n_recorded: int) -> dict[str, str]:
    """Everything that the figures depend on, in words."""
    made = [record.provenance for record in selection.records]
    dates = sorted({str(p.get("date")) for p in made})
    return {
        "networks": f"{len(selection.records)} chosen, {n_recorded} recorded, {len(GENERALIZATION)} declared",
        "definition of AuC": selection.definition.words,
        "declared as primary": PRIMARY.words,
        "samples a class": join(dict.fromkeys(str(p.get("per_class")) for p in made)),
        "intervals": "95 %, bootstrap over networks, percentiles",
        "recorded": dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}",
        "versions": "; ".join(dict.fromkeys(f"nmfdiag {p.get('nmfdiag')}, torch {p.get('torch')}" for p in made)),
        "processor": join(dict.fromkeys(str(p.get("processor")) for p in made)),
        "training and measuring": f"{sum(float(p.get('seconds', 0)) for p in made) / 60:,.0f} minutes",
        "command": COMMAND,
    }


def interval_words(of: Correlation) -> str:
    """``−0.82 (−0.90 to −0.71)``, or why there is none."""
    if of.r is None:
        return f"undefined, {_undefined(of)}"
    ends = f" ({signed(of.low)} to {signed(of.high)})" if of.low is not None and of.high is not None else ""
    return f"{signed(of.r)}{ends}"


_SIZES = {"width": ("channel", " in the first block"), "convs": ("convolution", " a block")}


def _counted(found: Sequence[Verdict]) -> str:
    name = STATISTICS[found[0].statistic]
    usable = [v for v in found if all(of.r is not None for of in v.by_method.values())]
    if not usable:
        return f"By {name} nothing can be said of the definitions."
    first = {m: sum(v.strongest == m for v in usable) for m in PAPER_METHODS}
    rest = [f"{METHODS[m].phrase} in {first[m]}" for m in OTHERS]
    if none := sum(v.strongest is None for v in usable):
        rest.append(f"none is negative in {none}")
    words = f"By {name}, NMF is the strongest (most negative) in {first['nmf']} of {len(usable)} declared definitions, {join(rest)}"
    ahead = {m: sum(v.leads[m].clear and _negative(v.leads[m]) for v in usable) for m in OTHERS}
    behind = {m: sum(v.leads[m].clear and not _negative(v.leads[m]) for v in usable) for m in OTHERS}
    clear = join(f"that of {METHODS[m].phrase} in {ahead[m]} (clearly above in {behind[m]})" for m in OTHERS)
    return f"{words}; its coefficient is clearly below {clear}."


def _each(verdict: Verdict) -> str:
    return join(f"{METHODS[m].phrase} {interval_words(of)}" for m, of in verdict.by_method.items())


def _negative(lead: Difference) -> bool:
    return lead.value is not None and lead.value < 0


def _lead(lead: Difference) -> str:
    value = f"by {signed(lead.value or 0)}"
    if lead.low is None or lead.high is None:
        return value
    clear = f"clearly {'more' if _negative(lead) else 'less'} negative" if lead.clear else "not clear"
    return f"{value} ({signed(lead.low)} to {signed(lead.high)}: {clear})"


def _undefined(of: Correlation) -> str:
    words = of.reason.replace("x and y", "AuC and error").replace("x or y", "AuC or error").replace("pairs", "networks")
    return words.replace("x is", "AuC is").replace("y is", "the error is")


def _counted_of(n: int, what: str, where: str = "") -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}{where}"
