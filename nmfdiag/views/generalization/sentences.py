"""Sentences of the page *Generalisation*, with the figures that carry them."""

from collections.abc import Sequence
from dataclasses import replace

from nmfdiag.evidence.records import RECORDS_FOLDER, NetworkRecord
from nmfdiag.measures.methods import METHODS, PAPER_METHODS
from nmfdiag.measures.stats.correlation import Correlation, Difference
from nmfdiag.text import join, plural, signed, span
from nmfdiag.views.generalization.tables import COMPARED, FITS, OTHERS, PAPER, STATISTICS, Selection, Verdict
from nmfdiag.views.help_text import help_text
from nmfdiag.zoo.experiments import GENERALIZATION, PRIMARY

COMMAND = "nmfdiag record generalization"
NOTHING = f"""
No network of this experiment is recorded here yet. It trains {len(GENERALIZATION)} small networks and measures each; it can be stopped at any
time and goes on where it was. Run in a terminal: `{COMMAND} --out {RECORDS_FOLDER}`"""


def how_to_read() -> str:
    """Return the page's text on how to read it."""
    return help_text("generalization", primary=PRIMARY.text)


def title_answer(selection: Selection) -> str:
    """Return the first line: whether AuC predicts the gap among networks of equal noise, the case in practice, with NMF's r."""
    within = replace(selection, compared=COMPARED[2]).verdict().by_method["nmf"]
    if within.r is None:
        nmf = selection.verdict().by_method["nmf"]
        if nmf.r is None:
            return f"It can't be said: {_undefined(nmf)} ({plural(nmf.n, 'network')})."
        return f"Over {plural(nmf.n, 'network')} r is {signed(nmf.r)}; too few of them share data set and p for more."
    noise = "among networks trained on equally noisy labels"
    if not within.clear:
        return f"Not clearly {noise}: r = {signed(within.r)}."
    if within.r < 0:
        return f"Yes, also {noise}: the lower the AuC, the larger the gap (r = {signed(within.r)})."
    return f"No, {noise} it is the other way round: the higher the AuC, the larger the gap (r = {signed(within.r)})."


def overall_text(verdict: Verdict) -> str:
    """Return r of each method over the networks on the plot; empty where it is undefined."""
    nmf = verdict.by_method["nmf"]
    return "" if nmf.r is None else f"On the plot, over {plural(nmf.n, 'network')}, r is {_all_intervals(verdict)}."


def paper_text(verdict: Verdict) -> str:
    """Return the comparison with the paper's coefficients, method by method, and with their order."""
    parts = []
    for method, r in PAPER.items():
        correlation = verdict.by_method[method]
        if correlation.low is None or correlation.high is None:
            continue
        place = "inside" if correlation.low <= r <= correlation.high else "below" if r < correlation.low else "above"
        parts.append(f"{signed(r)} for {METHODS[method].phrase} ({place} our interval)")
    if not parts:
        return ""
    strongest, paper_strongest = verdict.strongest, min(PAPER, key=PAPER.__getitem__)
    comparison = f"here it is {METHODS[strongest].phrase}" if strongest else "here none is negative"
    if strongest == paper_strongest:
        comparison = "so it is here"
    order = f"In the paper {METHODS[paper_strongest].phrase} is the strongest; {comparison}."
    return f"The paper (figure 5) reports, on {len(GENERALIZATION)} networks of its own, {join(parts)}. {order}"


def lead_text(verdict: Verdict) -> str:
    """Return whether NMF is clearly ahead of the others, by paired differences."""
    leads = {method: lead for method, lead in verdict.leads.items() if lead.value is not None}
    parts = [f"from {METHODS[method].phrase}'s {_difference_text(lead)}" for method, lead in leads.items()]
    return f"NMF's r differs {join(parts)}." if parts else ""


def definitions_text(verdicts: Sequence[Verdict]) -> list[str]:
    """Return, for each statistic, in how many declared definitions NMF is the strongest, and in how many clearly."""
    return [_count_sentence([v for v in verdicts if v.statistic == statistic]) for statistic in STATISTICS]


def fit_text(selection: Selection) -> str:
    """Return how many networks did not fit their labels, and r without them; empty if all did."""
    fitted = selection.fitted
    missing = len(selection.records) - len(fitted.records)
    if not missing:
        return ""
    levels = sorted({r.recipe.fitted_at for r in selection.records})
    sentence = (
        f"{missing} of these {len(selection.records)} networks did not fit their given labels within their epochs (training "
        f"accuracy below {join(f'{level:g}' for level in levels)})."
    )
    without = fitted.verdict()
    nmf = without.by_method["nmf"]
    return sentence if nmf.r is None else f"{sentence} Without them, over {nmf.n}: {_all_intervals(without)}."


def noise_text(selection: Selection) -> str:
    """Return whether AuC says more than p: r within data set and p, over all networks and over those that fit."""
    within = replace(selection, compared=COMPARED[2])
    verdict, fitted = within.verdict(), within.fitted.verdict()
    nmf = verdict.by_method["nmf"]
    if selection.compared == COMPARED[2] or nmf.r is None:
        return ""
    if not nmf.clear:
        finding = "AuC does not clearly predict the gap"
    else:
        finding = "AuC still predicts the gap" if nmf.r < 0 else "a higher AuC goes with a larger gap"
    finding = f"Among networks of the same data set and p, {finding}: {_all_intervals(verdict)}"
    if len(within.fitted.records) < len(within.records) and fitted.by_method["nmf"].r is not None:
        finding += f"; among those of them that fit, {fitted.by_method['nmf'].n} networks, {_all_intervals(fitted)}"
    return f"{finding}."


def combination_text(selection: Selection) -> str:
    """Return the interval with networks that differ in p alone drawn together, since they are not independent."""
    correlation, combinations = selection.by_combination("nmf"), len(set(selection.combinations))
    if correlation.low is None or combinations == len(selection.records):
        return ""
    return f"Resampling the {combinations} settings instead of the networks gives {interval_text(correlation)} for NMF."


def subject(selection: Selection, n_recorded: int) -> str:
    """Return the selection as text, and how much of the experiment is recorded."""
    networks = f"{len(selection.records)} networks · {join(dict.fromkeys(r.recipe.dataset for r in selection.records))}"
    levels = sorted({r.recipe.label_noise for r in selection.records})
    text = f"{networks} · p = {', '.join(f'{p:g}' for p in levels)} · {selection.definition.text}"
    if selection.compared != COMPARED[0]:
        text += f" · {selection.compared}"
    return text if n_recorded >= len(GENERALIZATION) else f"{text} · so far {n_recorded} of {len(GENERALIZATION)}"


def is_declared(selection: Selection, dataset: str, fits: str) -> bool:
    """Return whether these are the choices that the answer was declared for."""
    return (selection.definition, selection.compared, fits, dataset) == (PRIMARY, COMPARED[0], FITS[0], "all")


def declared_text(declared: Verdict) -> str:
    """Return the declared answer, to stand beside that of other choices."""
    return f"These are not the declared choices. Those ({declared.definition.text}, all networks) give: {_all_intervals(declared)}."


def network_text(record: NetworkRecord) -> str:
    """Return how a network was trained, in a sentence."""
    recipe = record.recipe
    sizes = []
    for name, value in recipe.arch_options.items():
        noun, suffix = _SIZES.get(name, (name, ""))
        sizes.append(f"{plural(value, noun)}{suffix}")
    moved = f"images moved by up to {plural(recipe.shift, 'pixel')}" if recipe.shift else "images not moved"
    decay = f"weight decay {recipe.weight_decay:g}" if recipe.weight_decay else "no weight decay"
    noise = (
        f"{recipe.label_noise:.0%} of the labels replaced by random ones"
        if recipe.label_noise
        else "labels as they are"
    )
    return (
        f"A {recipe.arch} with {join(sizes)} ({plural(record.n_parameters, 'parameter')}), trained on "
        f"{recipe.n_train:,} samples of {recipe.dataset}, {noise} (p = {recipe.label_noise:g}). Learning rate "
        f"{recipe.learning_rate:g}, batches of {recipe.batch_size}, {decay}, {moved}, seed {recipe.seed}; "
        f"{plural(record.epochs, 'epoch')} of at most {recipe.max_epochs}"
        f"{'' if record.fits else ', after which it did not fit its labels'}."
    )


def accuracy_text(record: NetworkRecord, selection: Selection) -> str:
    """Return a network's accuracies and its AuC by each method under the definition."""
    areas = join(f"{METHODS[m].phrase} {record.area(m, selection.definition):.3f}" for m in PAPER_METHODS)
    return (
        f"Training accuracy {record.train_accuracy:.3f}, test accuracy {record.test_accuracy:.3f}, generalisation gap "
        f"{signed(record.generalization_error)}. AuC ({selection.definition.text}): {areas}."
    )


def settings(selection: Selection, n_recorded: int) -> dict[str, str]:
    """Return everything that the figures depend on, as text."""
    provenances = [record.provenance for record in selection.records]
    dates = sorted({str(p.get("date")) for p in provenances})
    return {
        "networks": f"{len(selection.records)} chosen, {n_recorded} recorded, {len(GENERALIZATION)} declared",
        "definition of AuC": selection.definition.text,
        "declared as primary": PRIMARY.text,
        "samples a class": join(dict.fromkeys(str(p.get("per_class")) for p in provenances)),
        "intervals": "95 %, bootstrap over networks, percentiles",
        "recorded": span(dates),
        "versions": "; ".join(
            dict.fromkeys(f"nmfdiag {p.get('nmfdiag')}, torch {p.get('torch')}" for p in provenances)
        ),
        "processor": join(dict.fromkeys(str(p.get("processor")) for p in provenances)),
        "training and measuring": f"{sum(float(p.get('seconds', 0)) for p in provenances) / 60:,.0f} minutes",
        "command": COMMAND,
    }


def interval_text(correlation: Correlation) -> str:
    """Return ``−0.82 (−0.90 to −0.71)``, or why it is undefined."""
    if correlation.r is None:
        return f"undefined, {_undefined(correlation)}"
    if correlation.low is None or correlation.high is None:
        return signed(correlation.r)
    return f"{signed(correlation.r)} ({signed(correlation.low)} to {signed(correlation.high)})"


_SIZES = {"width": ("channel", " in the first block"), "convs": ("convolution", " a block")}


def _count_sentence(verdicts: Sequence[Verdict]) -> str:
    name = STATISTICS[verdicts[0].statistic]
    usable = [v for v in verdicts if all(correlation.r is not None for correlation in v.by_method.values())]
    if not usable:
        return f"By {name} nothing can be said of the definitions."
    first = {m: sum(v.strongest == m for v in usable) for m in PAPER_METHODS}
    counts = [f"{METHODS[m].phrase} in {first[m]}" for m in OTHERS]
    if none := sum(v.strongest is None for v in usable):
        counts.append(f"none is negative in {none}")
    sentence = f"By {name}, NMF is the strongest (most negative) in {first['nmf']} of {len(usable)} declared definitions, {join(counts)}"
    ahead = {m: sum(v.leads[m].clear and _negative(v.leads[m]) for v in usable) for m in OTHERS}
    behind = {m: sum(v.leads[m].clear and not _negative(v.leads[m]) for v in usable) for m in OTHERS}
    clear = join(f"that of {METHODS[m].phrase} in {ahead[m]} (clearly above in {behind[m]})" for m in OTHERS)
    return f"{sentence}; its coefficient is clearly below {clear}."


def _all_intervals(verdict: Verdict) -> str:
    return join(f"{METHODS[m].phrase} {interval_text(correlation)}" for m, correlation in verdict.by_method.items())


def _negative(lead: Difference) -> bool:
    return lead.value is not None and lead.value < 0


def _difference_text(lead: Difference) -> str:
    value = f"by {signed(lead.value or 0)}"
    if lead.low is None or lead.high is None:
        return value
    clear = f"clearly {'more' if _negative(lead) else 'less'} negative" if lead.clear else "not clear"
    return f"{value} ({signed(lead.low)} to {signed(lead.high)}: {clear})"


def _undefined(correlation: Correlation) -> str:
    reason = (
        correlation.reason.replace("x and y", "AuC and gap")
        .replace("x or y", "AuC or gap")
        .replace("pairs", "networks")
    )
    return reason.replace("x is", "AuC is").replace("y is", "the gap is")
