"""Sentences, tables and settings of the page *Support*."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from nmfdiag.jobs.requests import MULTI_CLASS, SupportRequest
from nmfdiag.measures.support.cover import SupportCover
from nmfdiag.plots.theme import LineName, noise_name
from nmfdiag.text import join, label_text, percent, plural
from nmfdiag.views.selection import MULTI, Choice
from nmfdiag.zoo.registry import known_noise

PARTS = {"all": 1.0, "90 %": 0.9, "half": 0.5}
"""Option of the page -> share of the support that the rectangles by layer cover."""

Covers = Mapping[SupportRequest, SupportCover]


def bounds_text(cover: SupportCover) -> str:
    """Return ``44 to 62 rectangles``, or why there is nothing to count."""
    if cover.dead:
        return "dead, no channel is positive"
    if cover.linear:
        return "linear, all rows share one support"
    low, high = cover.lower_bound, cover.upper_bound
    if low == high:
        return plural(low, "rectangle")
    return f"{low} to {high} rectangles"


def answer_of(covers: Mapping[float, SupportCover], layer: str, batch: str) -> str:
    """Return whether one layer needs more rectangles at the most noisy network than at the least noisy one.

    Args:
        covers: For each p, the layer's cover; at least one.
        layer: The layer.
        batch: The batch as text.
    """
    low, high = min(covers), max(covers)
    start = f"At {layer}, {batch}"
    if low == high:
        limit = _limit_sentence([covers[low]])
        return f"{start}: {bounds_text(covers[low])} with {label_text(low)}.{limit and f' {limit}'}"
    clean, noisy = covers[low], covers[high]
    if any(cover.dead or cover.linear for cover in (clean, noisy)):
        return f"{start}: with {label_text(low)} {bounds_text(clean)}; with {label_text(high)} {bounds_text(noisy)}."
    if limit := _limit_sentence([clean, noisy]):
        return f"No difference: {layer} needs all that is possible with both. {limit}"
    if clean.lower_bound <= noisy.upper_bound and noisy.lower_bound <= clean.upper_bound:
        return f"No difference: the bounds overlap, {batch} takes about as many rectangles with {label_text(low)} as with {label_text(high)}."
    fewer, further = (low, high) if clean.upper_bound < noisy.lower_bound else (high, low)
    return (
        f"{start} takes at least {covers[further].lower_bound} rectangles with {label_text(further)}, at most "
        f"{covers[fewer].upper_bound} with {label_text(fewer)}."
    )


def halves_text(covers: Mapping[float, SupportCover], line_name: LineName = noise_name) -> str:
    """Return how many rectangles cover half of each support; empty where there is none to cover."""
    parts = [f"{c.rectangles_for(0.5)} ({line_name(p)})" for p, c in covers.items() if not (c.dead or c.linear)]
    return f"Half of the support takes at most {join(parts)}." if parts else ""


def channels_text(covers: Mapping[float, SupportCover], line_name: LineName = noise_name) -> str:
    """Return distinct rows, dead and always-on channels of every network."""
    parts = []
    for p, c in covers.items():
        part = f"{line_name(p)}: {plural(c.n_distinct_rows, 'distinct support')} in {c.n_rows:,} rows"
        if not c.dead:
            part += f" ({'all' if c.whole else len(c.support)} shown)"
        parts.append(
            f"{part}, {percent(c.density)} positive; of {c.n_channels} channels {c.n_dead} dead, {c.n_always_on} always on"
        )
    return " · ".join(parts)


def batch_name(choice: Choice) -> str:
    """Return ``one class`` or ``a multi-class batch``."""
    return "a multi-class batch" if choice.batch == MULTI else "one class"


def support_table(results: Covers, choice: Choice) -> pd.DataFrame:
    """Return the counts of both plots by layer and p."""
    rows = [
        {
            "network": request.entry,
            "p": known_noise(choice.label_noise(request)),  # type: ignore[arg-type]
            "layer": request.layer,
            "class": str(MULTI) if request.class_idx == MULTI_CLASS else request.class_idx,
            "at least": c.lower_bound,
            "at most": c.upper_bound,
            "fooling set": len(c.fooling_set),
            "for 90 %": c.rectangles_for(0.9),
            "for half": c.rectangles_for(0.5),
            "rows": c.n_rows,
            "distinct": c.n_distinct_rows,
            "rows shown": len(c.support),
            "channels": c.n_channels,
            "dead": c.n_dead,
            "always on": c.n_always_on,
            "share positive": c.density,
        }
        for request, c in results.items()
    ]
    order = {layer: i for i, layer in enumerate(choice.layers)}
    return pd.DataFrame(rows).sort_values(["p", "layer"], key=lambda column: column.map(lambda v: order.get(v, v)))


def entry_table(covers: Mapping[float, SupportCover], layer: str) -> pd.DataFrame:
    """Return the entries of the pictures: which are positive, their first rectangle, and the fooling set."""
    from nmfdiag.measures.support.cover import rectangle_of

    rows = []
    for p, c in covers.items():
        first, dots = rectangle_of(c), set(c.fooling_set)
        rows += [
            {
                "p": known_noise(p), "layer": layer, "row": int(i), "times": c.times[i], "channel": c.channels[j],
                "positive": bool(first[i, j]), "rectangle": int(first[i, j]), "fooling_set": (i, j) in dots,
            }
            for i, j in np.ndindex(first.shape)
        ]  # fmt: skip
    return pd.DataFrame(rows)


def support_settings(choice: Choice, results: Covers) -> dict[str, str]:
    """Return everything that the results depend on, as text."""
    request, cover = next(iter(results.items()))
    seconds = sorted(float(c.provenance.get("seconds", 0)) for c in results.values())
    return {
        "networks": ", ".join(n.name for n in choice.networks),
        "weights and probe batches (sha256)": ", ".join(n.digest[:12] for n in choice.networks),
        "batch": choice.batch_text,
        "seed of batch, sample and search": str(request.seed),
        "at most": f"{request.rows} distinct rows and {request.channels} channels of a layer, drawn at random",
        "positive": "greater than zero after the ReLU",
        "order": "spectral co-clustering (scikit-learn), or by the rectangles of the greedy cover",
        "lower bound": "fooling set, greedy and local search; antichains of rows or channels where higher",
        "upper bound": "greedy set cover by maximal rectangles, improved by covering parts again",
        "seconds a layer": f"{seconds[0]:.2g} to {seconds[-1]:.2g}",
        "device and threads": f"{cover.provenance.get('device')}, {cover.provenance.get('threads')}",
        "versions": ", ".join(
            f"{package} {cover.provenance.get(package)}" for package in ("nmfdiag", "torch", "numpy", "scikit-learn")
        ),
    }


def _limit_sentence(covers: Sequence[SupportCover]) -> str:
    """Return a remark where all need one rectangle per row or channel, so that the number only reflects the size; else empty."""
    shapes = {cover.matrix.shape for cover in covers}
    if any(cover.lower_bound < min(cover.matrix.shape) for cover in covers) or len({min(s) for s in shapes}) > 1:
        return ""
    rows, channels = min(shapes)
    return f"That is the most that {f'{rows} rows' if rows <= channels else f'{channels} channels'} can need."
