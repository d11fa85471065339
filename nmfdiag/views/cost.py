"""What a measurement will take, said beside the button that starts it."""

from collections.abc import Sequence
from math import prod
from typing import Any

from nmfdiag.text import estimated_time, plural
from nmfdiag.views.provenance import unit_of
from nmfdiag.zoo.registry import ZooEntry, lookup

SECONDS = {
    "nmf": (0.1, 0.3, 0.6), "signed": (0.1, 0.3, 0.6), "pca": (0.03, 0.1, 0.25), "random": (0.12, 0.45, 1.5),
    "supports": (0.15, 1.2, 1.2), "points": (0.3, 1.0, 2.0), "networks": (3.0, 4.0, 12.0),
}  # fmt: skip
"""Seconds on one core of a curve by its method (20 samples, full grid), a support, a timed point and the labels of a network: in a network of fully connected layers, in one
of small inputs, and in one of larger inputs. Measured on the networks of the zoo."""
SMALL_INPUT = 1000
"""Most numbers of a small input."""
SAMPLES, COARSE = 20, 0.45
"""Samples that a curve was measured with; the time of the coarse grid as a share of that of the full one."""


def cost_text(requests: Sequence[Any]) -> str:
    """Return how many results are missing and about how long they take; without the time for a user's own network, which nobody has timed."""
    count = plural(len(requests), unit_of(requests).removesuffix("s"))
    networks = {request.entry: lookup(request.entry) for request in requests}
    if any(network.called for network in networks.values()):
        return f"{count}; how long depends on your network. You can stop at any time."
    seconds = sum(_seconds(request, networks[request.entry]) for request in requests)
    return f"{count}, {estimated_time(seconds)} on an idle core. You can stop at any time."


def _seconds(request: Any, network: ZooEntry) -> float:
    size = 0 if network.recipe.arch == "mlp" else 1 if prod(network.input_shape) <= SMALL_INPUT else 2
    if request.unit != "curves":
        return SECONDS[request.unit][size]
    grid = COARSE if request.grid == "coarse" else 1
    return SECONDS[request.method][size] * grid * request.per_class / SAMPLES
