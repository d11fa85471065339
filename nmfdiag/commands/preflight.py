"""The pre-flight check in a terminal: what would be measured, at what cost, and whether the result would mean anything."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nmfdiag.commands.target import Target
from nmfdiag.measures.methods import activations_for, leading_method

if TYPE_CHECKING:
    from nmfdiag.jobs.own_results import OwnResults
    from nmfdiag.measures.preflight.network_check import Preflight

LEAST_ACCURACY = 0.5
"""Accuracy on the given labels below which a network, or a class, counts as guessed."""
MOST_LISTED = 6
"""Layers, reasons and classes listed at most."""


def check_network(
    target: Target,
    *,
    per_class: int,
    methods: Sequence[str] | None,
    layers: Sequence[str] | None = None,
    n_draws: int = 1,
    results: "OwnResults | None" = None,
) -> tuple["Preflight", list[str]]:
    """Check a network before it is diagnosed.

    Args:
        target: The network.
        per_class: Samples per batch at most.
        methods: Methods of the diagnosis; default the target's own, or signed NMF if that can measure no layer.
        layers: Layers to check; default all.
        n_draws: Number of times that the diagnosis draws each batch.
        results: Cached results of this network; default none.

    Returns:
        The result and the methods.

    Raises:
        NmfdiagError: As :func:`nmfdiag.measures.preflight.network_check`.
    """
    from nmfdiag.measures.preflight.network_check import preflight

    def check(methods: Sequence[str]) -> "Preflight":
        return (results.preflight if results else preflight)(
            target.model, target.inputs, target.labels, per_class=per_class, methods=tuple(methods),
            activations=activations_for(methods), layers=layers, n_draws=n_draws, alternatives=target.alternatives,
        )  # fmt: skip

    result, used, fallback = check(methods or [target.method]), list(methods or [target.method]), leading_method("all")
    if methods is None and not result.layers and fallback not in used:
        fallback_result = check([fallback])
        if fallback_result.layers:
            return fallback_result, [fallback]
    return result, used


def objections(preflight: "Preflight") -> list[str]:
    """Return the reasons why a diagnosis would mean nothing; none if it would mean something."""
    reasons = []
    if preflight.accuracy < LEAST_ACCURACY:
        reasons.append(
            f"A diagnosis would mean nothing: {preflight.accuracy:.0%} of these samples are answered as they are labelled."
        )
    if not preflight.layers:
        reasons.append("There is nothing to diagnose: no layer can be measured with these methods.")
    if not preflight.batches:
        reasons.append("There is nothing to diagnose: no class has two samples.")
    return reasons


def preflight_text(target: Target, preflight: "Preflight", methods: Sequence[str]) -> str:
    """Return the result as a few lines of text."""
    from nmfdiag.text import estimated_range, estimated_size, span

    sizes = sorted(set(preflight.batches.values()))
    size = span(sizes) if sizes else "no"
    layers = [f"{layer.name} ({layer.kind}, {layer.width})" for layer in preflight.layers]
    worst = sorted((share, c) for c, share in preflight.accuracy_by_class.items() if share < LEAST_ACCURACY)
    names = [f"{target.class_names[c]} ({share:.0%})" for share, c in worst]
    title = (
        f"{target.name}: {len(preflight.layers)} layers, {len(preflight.batches)} classes of {size} samples each, by {' and '.join(methods)}, "
        f"{estimated_range(preflight.seconds)}, {estimated_size(preflight.bytes)}"
    )
    left_out: dict[str, list[str]] = {}
    for name, reason in preflight.skipped.items():
        left_out.setdefault(reason, []).append(name)
    skipped = [f"{_shortened(skipped_names)}: {reason}" for reason, skipped_names in left_out.items()]
    rows = [
        *([("layers", _shortened(layers))] if layers else []),
        *(("left out", value) for value in skipped[:MOST_LISTED]),
        *([("left out", f"and {len(skipped) - MOST_LISTED} more")] if len(skipped) > MOST_LISTED else []),
        ("accuracy", f"{preflight.accuracy:.3f} on the given labels"),
        *([("least right", _shortened(names))] if names else []),
        *target.provenance.items(),
        *(("note", remark) for remark in preflight.remarks),
    ]
    return "\n".join([title, *(f"  {key:14} {value}" for key, value in rows)])


def _shortened(texts: Sequence[str]) -> str:
    """Return the first texts, the last one, and their number."""
    if len(texts) <= MOST_LISTED:
        return ", ".join(texts)
    return f"{', '.join(texts[: MOST_LISTED - 1])}, ... {texts[-1]} ({len(texts)})"
