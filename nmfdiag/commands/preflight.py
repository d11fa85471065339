"""The pre-flight in a terminal: what would be measured, what it would cost, and whether it would mean anything."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nmfdiag.commands.targets import Target
from nmfdiag.measures.methods import activations_for, leading_method

if TYPE_CHECKING:
    from nmfdiag.measures.preflight.preflight import Preflight

GUESSING = 0.5
SHOWN = 6
"""Layers, reasons and classes listed at most."""


def checked(
    target: Target, *, per_class: int, methods: Sequence[str] | None, layers: Sequence[str] | None = None
) -> tuple["Preflight", list[str]]:
    """Look at a network before it is diagnosed.

    Args:
        target: The network.
        per_class: Samples a batch at most.
        methods: Those that it is to be measured by; default the target's own, and signed NMF where that can measure nothing.
        layers: Only these.

    Returns:
        What was found, and the methods.

    Raises:
        NmfdiagError: As :func:`nmfdiag.measures.preflight.preflight`.
    """
    from nmfdiag.measures.preflight.preflight import preflight

    def look(by: Sequence[str]) -> "Preflight":
        kinds = activations_for(by)
        return preflight(
            target.model, target.inputs, target.labels, per_class=per_class, methods=tuple(by), activations=kinds, layers=layers,
            alternatives=target.alternatives,
        )  # fmt: skip

    chosen = list(methods or [target.method])
    found = look(chosen)
    if methods is None and not found.layers and leading_method("all") not in chosen:
        other = look([leading_method("all")])
        if other.layers:
            return other, [leading_method("all")]
    return found, chosen


def objections(found: "Preflight") -> list[str]:
    """Why a diagnosis would mean nothing; none if it would."""
    reasons = []
    if found.accuracy < GUESSING:
        reasons.append(
            f"A diagnosis would mean nothing: {found.accuracy:.0%} of these samples are answered as they are labelled."
        )
    if not found.layers:
        reasons.append("There is nothing to diagnose: no layer can be measured with these methods.")
    if not found.batches:
        reasons.append("There is nothing to diagnose: no class has two samples.")
    return reasons


def preflight_words(target: Target, found: "Preflight", methods: Sequence[str]) -> str:
    """A few lines for a person."""
    from nmfdiag.text import estimated_size, estimated_time

    sizes = sorted(set(found.batches.values()))
    each = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}" if sizes else "no"
    layers = [f"{layer.name} ({layer.kind}, {layer.width})" for layer in found.layers]
    worst = sorted((share, c) for c, share in found.accuracy_by_class.items() if share < GUESSING)
    names = [f"{target.class_names[c]} ({share:.0%})" for share, c in worst]
    title = (
        f"{target.name}: {len(found.layers)} layers, {len(found.batches)} classes of {each} samples each, by {' and '.join(methods)}, "
        f"{estimated_time(found.seconds)}, {estimated_size(found.bytes)}"
    )
    left_out: dict[str, list[str]] = {}
    for what, why in found.skipped.items():
        left_out.setdefault(why, []).append(what)
    skipped = [f"{_some(what)}: {why}" for why, what in left_out.items()]
    rows = [
        *([("layers", _some(layers))] if layers else []),
        *(("left out", words) for words in skipped[:SHOWN]),
        *([("left out", f"and {len(skipped) - SHOWN} more")] if len(skipped) > SHOWN else []),
        ("accuracy", f"{found.accuracy:.3f} on the given labels"),
        *([("least right", _some(names))] if names else []),
        *target.provenance.items(),
        *(("note", remark) for remark in found.remarks),
    ]
    return "\n".join([title, *(f"  {key:14} {words}" for key, words in rows)])


def _some(words: Sequence[str]) -> str:
    """The first ones, the last one, and how many there are between."""
    if len(words) <= SHOWN:
        return ", ".join(words)
    return f"{', '.join(words[: SHOWN - 1])}, ... {words[-1]} ({len(words)})"
