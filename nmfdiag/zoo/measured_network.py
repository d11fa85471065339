"""The network that is measured: a copy with re-estimated batch norm where the statistics of the network itself lag behind its weights."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from nmfdiag.data.normalization import Normalization
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.outputs import logits_of, named_logits
from nmfdiag.networks.wrappers import unwrapped
from nmfdiag.zoo.batch_norm import REMEDY, BatchNormLag, Pick, compared_copy
from nmfdiag.zoo.fit_inputs import compare

Alternatives = Callable[[], tuple[Tensor, Mapping[str, Normalization]]]
"""Returns samples (n, ...), and other normalisations of them, by name."""


def network_to_measure(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    alternatives: Alternatives | None = None,
    logits: str | int | None = None,
) -> tuple[nn.Module, str]:
    """Return a copy with re-estimated statistics where batch norm lags, else the network itself, and a remark where there is something to say.

    The network itself is returned, too, where another normalisation of the samples explains the difference, or where the check fails.

    Args:
        model: The network; it is left as it was.
        inputs: Training samples (n, ...) as the network takes them.
        labels: Their given labels (n,), on the CPU.
        alternatives: Returns samples (n, ...), and other normalisations of them, by name.
        logits: Key or index of the logits in the network's output; default by name, else by the labels.
    """
    pick = None if logits is None else lambda output: named_logits(output, logits).take(output)  # type: ignore[union-attr]
    try:
        lag, network_copy = compared_copy(unwrapped(model), inputs, labels, pick)
        if lag is None or not lag.lags:
            return model, ""
        if better := _normalization_that_fits(model, labels, lag, alternatives, pick):
            return model, better
        if lag.n_samples < len(inputs):
            lag, network_copy = compared_copy(unwrapped(model), inputs, labels, pick, estimated_on_all=True)
    except NmfdiagError as error:
        return model, f"It was not checked whether batch norm's stored statistics lag behind the weights: {error}"
    assert lag is not None
    return network_copy, f"{lag.text} Measured is a re-estimated copy; to have it: {REMEDY}"


def _normalization_that_fits(
    model: nn.Module, labels: Tensor, lag: BatchNormLag, alternatives: Alternatives | None, pick: Pick | None,
) -> str:  # fmt: skip
    """Return the remark on a normalisation with which the network, as it is, does about as well as with re-estimated statistics; empty if none does."""
    samples, normalizations = alternatives() if alternatives else (labels, {})
    if not normalizations:
        return ""
    best, outcomes = compare(model, samples, labels, dict(normalizations), pick or logits_of)
    if not lag.is_explained_by(outcomes[best].accuracy):
        return ""
    return (
        f"The network gets {lag.evaluation:.1%} of these samples right, but {outcomes[best].accuracy:.1%} normalised as {best!r}: give the normalisation "
        "of training."
    )
