"""Batch norm whose stored statistics lag behind a network's weights: notice it, and re-estimate them on a copy.

A batch norm keeps an exponential average of its inputs' mean and variance. Where a training has few steps, or stops at the first fit, that average is of
weights that are long gone: the network is right with its batches' own statistics, as in training, and wrong in evaluation mode.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nmfdiag.data.probe import stratified_subset
from nmfdiag.data.samples import as_inputs
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.evaluation import evaluating, plainly
from nmfdiag.networks.outputs import agreeing_logits, candidates, named_logits
from nmfdiag.networks.wrappers import unwrapped

LEAST_GAIN = 0.02
"""Accuracy that re-estimation must add: a reference network has fitted 98 % of its labels, so that no fitted one can gain as much."""
CHANCE = 0.01
"""Largest probability of as many samples put right, among those whose answer becomes right or wrong, if both were equally likely."""
MOST_SAMPLES, FEWEST_SAMPLES, MOST_VALUES = 1000, 100, 3000 * 32 * 32 * 3
"""Samples that accuracies are compared on at most, and at least where there are as many, and numbers in their inputs at most."""
LARGEST_BATCH, SMALLEST_BATCH, BATCH_VALUES = 512, 32, 512 * 32 * 32 * 3
"""Samples of a batch at most and at least, and numbers in their inputs at most. Up to :data:`LARGEST_BATCH` small samples are one batch."""
REMEDY = "model = nmfdiag.re_estimate_batch_norm(model, inputs)"
SEED = 0

Pick = Callable[[Any], Tensor]
"""Finds the logits (n, classes) in a network's output."""


@dataclass(frozen=True)
class BatchNormLag:
    """What a network's accuracy on its training samples owes to the statistics of its batch norms.

    Attributes:
        evaluation: Accuracy on the given labels in evaluation mode.
        batch: The same with each batch's own statistics, as batch norm computes in training mode; all else is in evaluation mode.
        re_estimated: The same in evaluation mode of a copy whose statistics were re-estimated on the samples.
        p_value: Probability of that gain by chance (sign test over samples, one-sided).
        n_samples: Samples that the accuracies are of.
        n_classes: Their classes.
        n_outputs: Classes that the network tells apart.
    """

    evaluation: float
    batch: float
    re_estimated: float
    p_value: float
    n_samples: int
    n_classes: int
    n_outputs: int

    @property
    def lags(self) -> bool:
        """Whether re-estimation makes the network clearly better: by :data:`LEAST_GAIN` or more, and not by chance (:data:`CHANCE`)."""
        return self.re_estimated - self.evaluation >= LEAST_GAIN and self.p_value < CHANCE

    def is_explained_by(self, accuracy: float) -> bool:
        """Return whether an accuracy of the network as it is, on samples that are prepared in another way, is about that of the copy."""
        return accuracy >= self.re_estimated - LEAST_GAIN

    @property
    def text(self) -> str:
        """The three accuracies in a sentence, and what to know of them."""
        in_part = f" With samples of all {self.n_outputs:,} classes, not of {self.n_classes:,}, they would be others."
        return (
            f"Batch norm's stored statistics don't fit: of {self.n_samples:,} samples the network gets {self.evaluation:.1%} right in evaluation mode, "
            f"{self.batch:.1%} with batch norm in training mode, and {self.re_estimated:.1%} once mean and variance are re-estimated from the samples. "
            "As a rule they lag behind the weights; samples that are not prepared as in training look the same."
            f"{in_part * (self.n_classes < self.n_outputs)}"
        )


def re_estimate_batch_norm(model: nn.Module, inputs: Any) -> nn.Module:
    """Return a copy of a network whose batch norms' running mean and variance are those of the given samples.

    Each is the mean and the unbiased variance of all values that reach the layer, not an exponential average. They are computed in batches as large as
    memory allows (512 small images), each normalised by its own statistics as in training, in random order; dropout and everything else is in evaluation
    mode. Nothing else of the copy differs: ``momentum``, ``num_batches_tracked``, modes and weights are the network's. Layers that no sample
    reaches keep their statistics. Batch norm by ``torch.nn.functional.batch_norm`` or in TorchScript is out of reach.

    Args:
        model: The network; it is left as it was. The copy is without what ``torch.compile`` and data parallelism put around it.
        inputs: Training samples (n, ...) prepared as in training, 2 or more and of all classes, in any form that
            :func:`nmfdiag.data.samples.as_samples` takes; labels in them are ignored.

    Raises:
        NmfdiagError: If the network has no batch norm with stored statistics, can't be copied or can't take the samples.
    """
    network = unwrapped(model)
    samples = as_inputs(inputs, network)
    if not batch_norms(network):
        raise NmfdiagError(
            f"{type(network).__name__} has no batch norm with stored statistics (nn.BatchNorm1d, 2d, 3d or nn.SyncBatchNorm) to re-estimate. "
            "Batch norm by torch.nn.functional.batch_norm or in TorchScript is out of reach."
        )
    if len(samples) < 2:
        raise NmfdiagError(f"Statistics need at least 2 samples, got {len(samples)}.")
    return _re_estimated(network, samples, _shuffled(torch.arange(len(samples))))[0]


def batch_norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """Return the batch norms of a network that have stored statistics, by path."""
    return {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None and module.running_var is not None
    }


def batch_norm_lag(model: nn.Module, inputs: Tensor, labels: Tensor, pick: Pick | None = None) -> BatchNormLag | None:
    """Compare a network's accuracy in evaluation mode with that after its batch norms are re-estimated, on up to 1,000 samples.

    Args:
        model: The network; it is left as it was.
        inputs: Training samples (n, ...) as the network takes them.
        labels: Their given labels (n,), on the CPU.
        pick: Finds the logits in the network's output; default by name, else by the labels.

    Returns:
        The accuracies; None where there is nothing to gain: no batch norm with stored statistics, or more than ``1 - LEAST_GAIN`` right already.

    Raises:
        NmfdiagError: If the network can't be copied, or can't take the samples.
    """
    return compared_copy(unwrapped(model), inputs, labels, pick)[0]


def batch_norm_remark(model: nn.Module, inputs: Tensor, labels: Tensor, pick: Pick, otherwise: float = 0.0) -> str:
    """Return a remark where the statistics lag; nothing where they don't, or where that can't be checked.

    Args:
        model: As for :func:`batch_norm_lag`, like the next three.
        inputs: Samples (n, ...).
        labels: Their given labels (n,).
        pick: Finds the logits.
        otherwise: Accuracy with the samples normalised otherwise. A network that does about as well then does not lag.
    """
    try:
        lag = batch_norm_lag(model, inputs, labels, pick)
    except NmfdiagError:
        return ""
    if lag is None or not lag.lags or lag.is_explained_by(otherwise):
        return ""
    return f"{lag.text} To mend that: {REMEDY}"


def compared_copy(
    network: nn.Module, inputs: Tensor, labels: Tensor, pick: Pick | None, *, estimated_on_all: bool = False
) -> tuple[BatchNormLag | None, nn.Module]:
    """Return the comparison of :func:`batch_norm_lag`, and the copy that it is about; the network itself where there is nothing to gain.

    Args:
        network: The network, without wrappers.
        inputs: As for :func:`batch_norm_lag`, like the next two.
        labels: Given labels (n,).
        pick: Finds the logits.
        estimated_on_all: Whether the copy's statistics are of all samples, not of those alone that accuracies are compared on.
    """
    if not batch_norms(network):
        return None, network
    affordable = max(FEWEST_SAMPLES, MOST_VALUES // max(1, inputs[0].numel()))
    rows = _shuffled(stratified_subset(labels, min(len(labels), MOST_SAMPLES, affordable), SEED))
    labels = labels[rows]
    outputs = _run(network, inputs, rows)
    pick = pick or _pick(outputs[0], labels)
    was_right = _is_right(outputs, labels, pick)
    if was_right.float().mean() > 1 - LEAST_GAIN:
        return None, network
    network_copy, outputs = _re_estimated(network, inputs, rows, keep_outputs=True)
    right_by_batch = _is_right(outputs, labels, pick)
    if estimated_on_all:
        network_copy, _ = _re_estimated(network, inputs, _shuffled(torch.arange(len(inputs))))
    is_right = _is_right(_run(network_copy, inputs, rows), labels, pick)
    n_mended, n_changed = int((is_right & ~was_right).sum()), int((is_right ^ was_right).sum())
    by_chance = sum(comb(n_changed, k) for k in range(n_mended, n_changed + 1)) / 2**n_changed
    evaluation, batch, re_estimated = (float(x.float().mean()) for x in (was_right, right_by_batch, is_right))
    n_classes, n_outputs = len(labels.unique()), pick(outputs[0]).shape[1]
    return BatchNormLag(evaluation, batch, re_estimated, by_chance, len(rows), n_classes, n_outputs), network_copy


def _re_estimated(
    network: nn.Module, inputs: Tensor, rows: Tensor, *, keep_outputs: bool = False
) -> tuple[nn.Module, list[Any]]:
    """Return a copy with the statistics of these rows, and where asked for its outputs by batches that were normalised by their own."""
    try:
        with plainly():
            network_copy = copy.deepcopy(network)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a network may hold anything that can't be copied
        raise NmfdiagError(
            f"{type(network).__name__} can't be copied: {type(error).__name__}: {str(error)[:200]}"
        ) from error
    norms = batch_norms(network_copy)
    moments = {path: _Moments() for path in norms}

    def normalise_by_batch(path: str) -> Any:
        return lambda norm, args, kwargs: moments[path].put_batch(norm, (*args, *kwargs.values())[0].detach())

    hooks: dict[nn.Module, Any] = {norm: normalise_by_batch(path) for path, norm in norms.items()}
    outputs = _run(network_copy, inputs, rows, hooks, keep_outputs=keep_outputs)
    with plainly():
        for path, norm in norms.items():
            moments[path].store(norm, path)
    return network_copy, outputs


class _Moments:
    """Mean and squared deviations of all values by channel that reach a batch norm, whatever batches they come in."""

    def __init__(self) -> None:
        self.n = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)

    def put_batch(self, norm: nn.Module, x: Tensor) -> None:
        """Add a batch, and put its statistics in place of the stored ones, so that batch norm in evaluation mode computes as in training mode."""
        n = x.numel() // x.shape[1] if x.numel() else 0
        if not n:
            return
        values = x.float() if x.dtype.itemsize < 4 else x
        variance, mean = torch.var_mean(values, [0, *range(2, x.ndim)], correction=0)
        for name, statistic in (("running_mean", mean), ("running_var", variance)):
            setattr(norm, name, statistic.to(norm.get_buffer(name)))
        variance, mean = variance.cpu().double(), mean.cpu().double()
        distance, total = mean - self.mean, self.n + n
        self.squares = self.squares + variance * n + distance**2 * (self.n * n / total)
        self.mean = self.mean + distance * (n / total)
        self.n = total

    def store(self, norm: nn.Module, path: str) -> None:
        """Put mean and unbiased variance into a batch norm, unless fewer than two values by channel reached it.

        Raises:
            NmfdiagError: If they are not finite.
        """
        if self.n < 2:
            return
        for name, statistic in (("running_mean", self.mean), ("running_var", self.squares / (self.n - 1))):
            stored = statistic.to(norm.get_buffer(name))
            if not bool(stored.isfinite().all()):
                raise NmfdiagError(f"The inputs of {path or 'batch norm'} are not finite, or too large for statistics.")
            setattr(norm, name, stored)


def _run(
    network: nn.Module, inputs: Tensor, rows: Tensor, hooks: Mapping[nn.Module, Any] | None = None, *,
    keep_outputs: bool = True,
) -> list[Any]:  # fmt: skip
    """Return a network's outputs in evaluation mode for rows of the inputs, by batches of at least two."""
    size = min(LARGEST_BATCH, max(SMALLEST_BATCH, BATCH_VALUES // max(1, inputs[0].numel())))
    parameter = next(network.parameters(), inputs)
    outputs = []
    with evaluating(network, inputs):
        handles = [module.register_forward_pre_hook(hook, with_kwargs=True) for module, hook in (hooks or {}).items()]
        try:
            for batch in rows.tensor_split(-(-len(rows) // size)):
                output = network(inputs[batch.to(inputs.device)].to(parameter.device))
                outputs += [output] if keep_outputs else []
        finally:
            for handle in handles:
                handle.remove()
    return outputs


def _shuffled(rows: Tensor) -> Tensor:
    """Return rows in random order, always the same: neighbours are often of one class, whose statistics are not those of all."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(SEED))]


def _pick(output: Any, labels: Tensor) -> Pick:
    """Return the function that finds the logits in the outputs of a network, by the output of its first samples."""
    choice = named_logits(output, None)
    if choice is None:
        usable = candidates(output)
        choice = agreeing_logits(usable, labels[: len(next(iter(usable.values())))])
    return choice.take


def _is_right(outputs: Sequence[Any], labels: Tensor, pick: Pick) -> Tensor:
    """Return which samples (n,) are answered as labelled."""
    logits = torch.cat([pick(output).detach().cpu() for output in outputs])
    if len(logits) != len(labels):
        raise NmfdiagError(
            f"The network must return a row of logits for each sample, got {len(logits)} for {len(labels)} samples."
        )
    return (logits.argmax(1) == labels) & torch.isfinite(logits).all(1)
