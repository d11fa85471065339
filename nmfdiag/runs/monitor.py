"""Watch a training run from inside its loop: measure after each epoch, write it down, say when to stop, and disturb nothing."""

import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from nmfdiag import __version__
from nmfdiag.data import check_labels, single_class_batches
from nmfdiag.data.samples import as_samples
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.stopping import PATIENCE, first_peak
from nmfdiag.measures.watching import LEADING, Watch
from nmfdiag.networks.wrapping import unwrapped
from nmfdiag.runs.records import RUN_FILE, append
from nmfdiag.zoo.recipes import Recipe

logger = logging.getLogger(__name__)

MEASURES = ("relative", "auc", "first")
OVERHEAD = 0.05
Writer = Callable[[dict[str, float], int], None]
"""Told ``{"nmfdiag/nmf/conv3_1": 0.87, ...}`` and the epoch; :mod:`nmfdiag.runs.adapters` has those of TensorBoard and W&B."""


class MemorizationMonitor:
    """Measures single-class NMF AuC of a network after each epoch of its training, without a validation set.

    ```python
    monitor = MemorizationMonitor(x_train[:500], y_train[:500], folder="runs/first")
    for epoch in range(1, 101):
        train_one_epoch(model)
        monitor.on_epoch_end(model, epoch)
    ```

    What it measures never reaches the training: the network's mode, gradients, buffers and every random state are left as they
    were, and an error while measuring is logged, not raised.

    Args:
        probe_inputs: **Training** samples (n, ...), as the network takes them; the same ones are looked at each time.
        probe_labels: The labels (n,) that they are trained with, noisy or not; None where ``probe_inputs`` bring them.
        layers: Names of the layers to look at; default all.
        per_class: Samples a class at most.
        folder: Where the run is written, as ``run.jsonl``; None keeps it in memory.
        name: What the run is called; default the folder's name.
        measure: What :attr:`should_stop` goes by: ``"relative"`` (AuC over the batch's uncompressed accuracy, mean over layers),
            ``"auc"``, or ``"first"`` (accuracy at k = 1).
        patience: So many looks without a higher value raise the alarm.
        overhead: Share of the training time that looking may take at most: epochs are left out where it would take more.
        methods: ``"nmf"``, ``"signed"`` (signed NMF, our extension to activations that can be negative), and ``"random"`` for the
            baseline; default is NMF, signed where ``activations`` is ``"all"``, and the baseline.
        writers: Each is told the values of every look; one that fails is logged and asked again at the next.
        seed: Seeds the choice of samples and the first start.
        recipe: What is trained, if it is a network of the zoo: the dashboard takes its colour from it.
        activations: Which layers the network has: ``"relu"``: those of ReLUs; ``"all"``: those of GELU, SiLU and their like too, as
            in transformers. Default is ``"all"`` where ``"signed"`` is among the methods, else ``"relu"``.

    Attributes:
        history: One dictionary an epoch: what was passed in, and ``curves`` as :class:`nmfdiag.runs.records.Run` has them.
        alarm: Why training should stop, in a sentence; empty while it should go on.

    Raises:
        NmfdiagError: If the probe samples are no batch, no class has two of them, or an option is unknown. Later calls raise nothing.

    References:
        Collins et al. 2018, figure 6.
    """

    def __init__(
        self,
        probe_inputs: Tensor,
        probe_labels: Tensor | None = None,
        *,
        layers: Sequence[str] | None = None,
        per_class: int = 10,
        folder: str | Path | None = None,
        name: str = "",
        measure: str = MEASURES[0],
        patience: int = PATIENCE,
        overhead: float = OVERHEAD,
        methods: Sequence[str] | None = None,
        writers: Sequence[Writer] = (),
        seed: int = 0,
        recipe: Recipe | None = None,
        activations: str | None = None,
    ):
        if measure not in MEASURES:
            raise NmfdiagError(f"Unknown measure {measure!r}: accepted are {', '.join(MEASURES)}.")
        if patience < 1 or overhead <= 0:
            raise NmfdiagError(f"patience and overhead must be positive, got {patience} and {overhead}.")
        inputs, labels = as_samples(probe_inputs, probe_labels, role="probe", at_least=0)
        labels = check_labels(labels, int(labels.max()) + 1 if len(labels) else 1)
        chosen = single_class_batches(inputs, labels, size=per_class, seed=seed)
        self._batches = [(batch.inputs.detach().clone(), batch.given_labels) for batch in chosen]
        self._watch = Watch(self._batches, layers=layers, methods=methods, seed=seed, activations=activations)
        self.measure, self.patience, self.overhead = measure, patience, overhead
        self.writers = tuple(writers)
        self.history: list[dict[str, Any]] = []
        self.alarm = ""
        self._since, self._trained, self._cost = time.perf_counter(), 0.0, 0.0
        self._path = Path(folder) / RUN_FILE if folder is not None else None
        if self._path is not None:
            self._begin(self._path, name or Path(folder or "").name, per_class, recipe)

    def on_epoch_end(self, model: nn.Module, epoch: int, **logs: float) -> dict[str, Any]:
        """Look at the network, write the epoch's line, and update :attr:`should_stop`.

        Args:
            model: The network in training; a compiled or data-parallel one is unwrapped.
            epoch: Its number.
            **logs: Values to keep beside, such as ``train_loss`` and ``test_loss``.

        Returns:
            The epoch's line.
        """
        self._trained += time.perf_counter() - self._since
        line: dict[str, Any] = {"epoch": epoch, **_numbers(logs), "curves": {}}
        try:
            if self._affordable():
                began = time.perf_counter()
                line["curves"] = self._look(unwrapped(model))
                line["seconds"] = round(time.perf_counter() - began, 4)
                self._cost, self._trained = line["seconds"], 0.0
        except Exception:
            logger.exception("nmfdiag could not measure epoch %s; training goes on.", epoch)
        self.history.append(line)
        try:
            self._tell(line)
        except Exception:
            logger.exception("nmfdiag could not write epoch %s; training goes on.", epoch)
        for writer in self.writers if line["curves"] else ():
            try:
                writer(_flat(line["curves"]), epoch)
            except Exception:
                logger.exception("A writer of nmfdiag failed on epoch %s; training goes on.", epoch)
        self._since = time.perf_counter()
        return line

    def finish(self, **result: float) -> None:
        """Write that training has ended, and what came of it: the dashboard then no longer waits for the next epoch."""
        try:
            if self._path is not None:
                append(
                    self._path, {"result": {"epochs": len(self.history), **{k: float(v) for k, v in result.items()}}}
                )
        except Exception:
            logger.exception("nmfdiag could not write the end of the run.")

    @property
    def method(self) -> str:
        """The method that :attr:`should_stop` goes by: NMF, or signed NMF of a network whose layers are all its activations."""
        leading = LEADING[self._watch.activations]
        return next((m for m in (leading, *LEADING.values()) if m in self._watch.methods), leading)

    @property
    def should_stop(self) -> bool:
        """Whether the measure has not risen for ``patience`` looks; a later rise withdraws it."""
        return bool(self.alarm)

    @property
    def best_epoch(self) -> int | None:
        """The epoch at which the measure was highest so far: the weights to keep."""
        seen = self._seen()
        return max(seen, key=lambda pair: pair[1])[0] if seen else None

    def _affordable(self) -> bool:
        return not self._cost or self._cost <= self.overhead * self._trained

    def _look(self, model: nn.Module) -> dict[str, Any]:
        parameter = next(model.parameters(), None)
        device = torch.device("cpu") if parameter is None else parameter.device
        if self._batches[0][0].device != device:
            self._batches = [(x.to(device), y) for x, y in self._batches]
            self._watch.batches = self._batches
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            return self._watch.look(model)

    def _seen(self) -> list[tuple[int, float]]:
        """Epochs that were looked at, and the measure's mean over layers."""
        found = []
        for line in self.history:
            curves = line["curves"].get(self.method, {})
            values = [of[self.measure] for of in curves.values() if self.measure in of]
            if values:
                found.append((int(line["epoch"]), fmean(values)))
        return found

    def _tell(self, line: dict[str, Any]) -> None:
        seen = self._seen()
        if line["curves"] and seen:
            since = _looks_since_best([value for _, value in seen])
            self.alarm = ""
            if since >= self.patience:
                self.alarm = (
                    f"The {self.measure} AuC has not risen for {since} looks since epoch {self.best_epoch}: training should have "
                    f"stopped there."
                )
        if self._path is not None:
            append(self._path, line | {"should_stop": self.should_stop})

    def _begin(self, path: Path, name: str, per_class: int, recipe: Recipe | None) -> None:
        if path.exists():
            path.rename(path.with_name(f"run-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"))
        probe = {
            "measures": list(self._watch.methods), "per_class": per_class, "classes": len(self._batches), "patience": self.patience,
            "measure": self.measure, "overhead": self.overhead, "method": self.method,
        }  # fmt: skip
        provenance = {
            "nmfdiag": __version__, "torch": torch.__version__, "processor": platform.processor() or platform.machine(),
            "date": time.strftime("%Y-%m-%d %H:%M"),
        }  # fmt: skip
        known = recipe and recipe.to_dict()
        append(path, {"name": name, "experiment": "monitor", "recipe": known, "probe": probe, "provenance": provenance})


def _looks_since_best(values: Sequence[float]) -> int:
    stop = first_peak(values, patience=len(values))
    return len(values) - stop.kept if stop else 0


def _numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Those logged values that are single numbers."""
    found = {}
    for name, value in logs.items():
        with suppress(TypeError, ValueError, RuntimeError):
            found[name] = float(value)
    return found


def _flat(curves: dict[str, Any]) -> dict[str, float]:
    return {f"nmfdiag/{m}/{layer}": of["auc"] for m, layers in curves.items() for layer, of in layers.items()}
