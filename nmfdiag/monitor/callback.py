"""Watch a training run from inside its loop: measure after each epoch, record it, say when to stop, and disturb nothing."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from operator import index
from os import getpid
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nmfdiag.data.labels import check_labels
from nmfdiag.data.probe import single_class_batches
from nmfdiag.data.samples import as_samples
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.methods import leading_method
from nmfdiag.measures.stopping import ALARM_VALUES, PATIENCE, Standing
from nmfdiag.measures.suspects.history import TrainingHistory
from nmfdiag.monitor.distributed import Ranks, runnable_alone, without_collectives
from nmfdiag.monitor.epoch_probe import LayerValues, Probe
from nmfdiag.monitor.run_file import RunFile
from nmfdiag.monitor.run_reader import MOST_EPOCHS, current_epochs, layer_means
from nmfdiag.monitor.sample_recorder import SampleRecorder
from nmfdiag.provenance import provenance
from nmfdiag.zoo.recipes import Recipe

logger = logging.getLogger(__name__)

OVERHEAD = 0.05
"""Default of the share of the training time that measuring may take."""
RECORDED = 0.5
"""Part of that share that :meth:`MemorizationMonitor.on_batch` may take; measuring epochs takes the rest."""
OWN_KEYS = ("self", "model", "epoch", "curves", "seconds", "should_stop", "put_aside")
"""Names in a line that logged values don't get: they become ``logged_epoch``, for instance."""
Writer = Callable[[dict[str, float], int], None]
"""Gets ``{"nmfdiag/nmf/conv3_1": 0.87, ...}`` and the epoch; :mod:`nmfdiag.monitor.adapters` has those of TensorBoard and W&B."""


class MemorizationMonitor:
    """Measures single-class NMF AuC of a network after each epoch of its training, without a validation set.

    ```python
    monitor = MemorizationMonitor(x_train[:500], y_train[:500], folder="runs/first")
    for epoch in range(1, 101):
        train_one_epoch(model)
        monitor.on_epoch_end(model, epoch)
    ```

    With one more line in the loop, ``monitor.on_batch(indices, logits, labels)``, the training's history of each sample is recorded as well, for
    :func:`nmfdiag.suspects`; :class:`nmfdiag.monitor.Indexed` adds the samples' numbers to a data set.

    Measuring never affects the training: the network's mode, gradients, buffers and every random state are left as they
    were, and an error while measuring is logged, once for each kind, not raised.

    Where several processes train one network (``torch.distributed``), each has a monitor and calls :meth:`on_epoch_end`; process 0
    measures and writes, and :attr:`should_stop` is the same in all of them: only it waits for process 0. A network whose
    weights are divided among processes (FSDP), or that communicates with them when it runs, is not measured.

    Args:
        probe_inputs: **Training** samples (n, ...), as the network takes them; each measurement uses the same ones.
        probe_labels: The labels (n,) that they are trained with, noisy or not; None where ``probe_inputs`` bring them.
        layers: Names of the layers to measure; default all.
        per_class: Samples per class at most.
        folder: Folder in which the run is written, as ``run.jsonl``; an earlier run's file is put aside. None keeps it in memory.
        name: Name of the run; default the folder's name.
        measure: Value that :attr:`should_stop` uses: ``"relative"`` (AuC over the batch's uncompressed accuracy, mean over layers),
            ``"auc"``, or ``"first"`` (accuracy at k = 1).
        patience: Number of consecutive measurements without a higher value before :attr:`should_stop` is set.
        overhead: Share of the training time that measuring and :meth:`on_batch` may take at most: epochs are skipped where they would take
            more.
        methods: ``"nmf"``, ``"signed"`` (signed NMF, our extension to activations that can be negative), and ``"random"`` for the
            baseline; default NMF, signed where ``activations`` is ``"all"``, and the baseline.
        writers: Functions that get the values of every measurement; one that fails is logged and called again at the next.
        seed: Seeds the choice of samples and the first start.
        recipe: Recipe of a network of the zoo, if it is one: the dashboard takes its colour from it.
        activations: Layers that the network has: ``"relu"``: those of ReLUs; ``"all"``: those of GELU, SiLU and the like too, as
            in transformers. Default ``"all"`` where ``"signed"`` is among the methods, else ``"relu"``.

    Attributes:
        history: One dictionary per epoch: the logged values, and ``curves`` as :class:`nmfdiag.monitor.run_reader.Run` has them. Where the
            number of the epoch goes back, the later ones count.
        alarm: Why training should stop, in a sentence; empty while it should go on.

    Raises:
        NmfdiagError: If the probe samples are not a batch, no class has two of them, an option is unknown, or the folder can't be
            written to. Later calls raise nothing.

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
        measure: str = ALARM_VALUES[0],
        patience: int = PATIENCE,
        overhead: float = OVERHEAD,
        methods: Sequence[str] | None = None,
        writers: Sequence[Writer] = (),
        seed: int = 0,
        recipe: Recipe | None = None,
        activations: str | None = None,
    ):
        if measure not in ALARM_VALUES:
            raise NmfdiagError(f"Unknown measure {measure!r}: accepted are {', '.join(ALARM_VALUES)}.")
        if patience < 1 or overhead <= 0:
            raise NmfdiagError(f"patience and overhead must be positive, got {patience} and {overhead}.")
        inputs, labels = as_samples(probe_inputs, probe_labels, role="probe", at_least=0)
        labels = check_labels(labels, int(labels.max()) + 1 if len(labels) else 1)
        batches = single_class_batches(inputs, labels, size=per_class, seed=seed)
        self._batches = [(batch.inputs.detach().clone(), batch.given_labels) for batch in batches]
        self._probe = Probe(self._batches, layers=layers, methods=methods, seed=seed, activations=activations)
        self.measure, self.patience, self.overhead = measure, patience, overhead
        self.writers = tuple(writers)
        self.history: list[dict[str, Any]] = []
        self.alarm = ""
        self._since, self._trained, self._cost = time.perf_counter(), 0.0, 0.0
        self._reported: set[tuple[str, str]] = set()
        self._recorder, self._recorded = SampleRecorder(RECORDED * overhead), 0.0
        self._ranks = Ranks()
        self._file: RunFile | None = None
        if folder is not None:
            self._file = RunFile(folder, self._header(name or Path(folder).absolute().name, per_class, recipe))
            if self._ranks.measures and not self._ranks.may_be_shared:
                try:
                    self._file.begin()
                except OSError as error:
                    raise NmfdiagError(f"The run can't be written to {folder}: {error}") from None

    def on_epoch_end(self, model: nn.Module, epoch: int, **logs: float) -> dict[str, Any]:
        """Measure the network, write the epoch's line, and update :attr:`should_stop`.

        Args:
            model: The network in training; a compiled or data-parallel one is unwrapped.
            epoch: Its number, not negative; of any type that holds a whole number, such as NumPy's and torch's.
            **logs: Values to record as well, such as ``train_loss`` and ``test_loss``: single numbers of any type.

        Returns:
            The epoch's line.
        """
        seconds = time.perf_counter() - self._since
        self._trained += seconds
        line: dict[str, Any] = {"epoch": epoch, "curves": {}}
        measures, number = False, -1
        try:
            with self._harmless("join the other processes after", epoch):
                measures = self._ranks.arrive()
            with self._harmless("number", epoch):
                number = whole_number(epoch)
                line = {"epoch": number, **_numbers(logs), "curves": {}}
                self.history.append(line)
                with self._harmless("record all samples of", number):
                    self._recorder.end_epoch(number, seconds, self._history_path() if measures else None)
            if measures and number >= 0:
                self._record(model, line)
            elif self._file is not None and not measures:
                with self._harmless("leave the run to another process after", epoch):
                    self._file.discard()
        finally:
            if measures:
                with self._harmless("tell the other processes of", epoch):
                    self._ranks.decide({"stop": bool(self.alarm), "alarm": self.alarm, "best": self.best_epoch})
            self._since = time.perf_counter()
        return line

    def on_batch(self, indices: Any, logits: Any, labels: Any) -> None:
        """Record how surely the samples of a training batch are predicted as given, for :attr:`training_history`.

        ```python
        from nmfdiag.monitor import Indexed

        for indices, x, y in DataLoader(Indexed(training_set), 64, shuffle=True):
            logits = model(x)
            monitor.on_batch(indices, logits, y)
        ```

        It costs a copy of the logits; a GPU is not waited for. Where it would take more than half of ``overhead`` and a second, batches are
        skipped and counted, whole epochs where possible. After each recorded epoch the history is written beside the run's file, as ``history-ID.npz`` with the ``id`` of its header. Where
        several processes train one network, each records the samples that it sees, and the one that measures writes its own.

        Args:
            indices: The samples' numbers (m,) in the training set: a tensor, an array or a list. A sample that comes several times in an
                epoch counts by its mean, and as fitted if it is predicted as given each time.
            logits: The network's logits (m, classes), or its output if one tensor in it may be the logits; of any precision, on any device.
            labels: The labels (m,) that they are trained with, or one-hot rows (m, classes). Samples with other rows, as mixup makes them, have no
                given label and are left out.
        """
        with self._harmless("record a batch after", len(self.history)):
            self._recorder.add(indices, logits, labels)

    @property
    def training_history(self) -> TrainingHistory:
        """What :meth:`on_batch` recorded in the epochs that have ended.

        Raises:
            NmfdiagError: If nothing was recorded.
        """
        return self._recorder.history()

    def _history_path(self) -> Path | None:
        return None if self._file is None else self._file.neighbour("history", "npz")

    def finish(self, model: nn.Module | None = None, **result: float) -> None:
        """Write that training has ended, and its result: the dashboard then no longer waits for the next epoch.

        Args:
            model: The network as the last epoch left it. It is measured now if that epoch was skipped to save time: a short training would else have but one measurement.
            **result: Values to write, single numbers of any type.
        """
        with self._harmless("write the samples' history after", len(self.history)):
            if self._ranks.measures and (path := self._history_path()) is not None:
                self._recorder.write(path)
        late: dict[str, Any] = {}
        with self._harmless("measure at the end, after", len(self.history)):
            if model is not None and self._ranks.measures and self.history and not self.history[-1]["curves"]:
                late = self._timed_measurement(model)
                self.history[-1] |= late
                self._update_alarm()
        with self._harmless("write the end of the run after", len(self.history)):
            if self._file is not None and self._ranks.measures:
                end = {"epochs": len(current_epochs(self.history)), **_numbers(result)}
                self._file.write({"result": end, **late})

    @property
    def method(self) -> str:
        """The method that :attr:`should_stop` uses: NMF, or signed NMF for a network whose layers are all its activations."""
        leading = leading_method(self._probe.activations)
        candidates = (leading, leading_method("relu"), leading_method("all"))
        return next((method for method in candidates if method in self._probe.methods), leading)

    @property
    def should_stop(self) -> bool:
        """Whether the measure has not risen for ``patience`` measurements; a later rise withdraws it.

        The same in all processes that train together: those that don't measure wait for the one that does. All of them must read it after
        each epoch: one that is to stop waits some seconds for the others.
        """
        return bool(self._decision()["stop"])

    @property
    def best_epoch(self) -> int | None:
        """The epoch at which the measure was highest so far: the weights to keep. Waits as :attr:`should_stop` does."""
        return self._standing().best if self._ranks.measures else self._decision().get("best")

    def _decision(self) -> dict[str, Any]:
        with self._harmless("learn what all processes do after", len(self.history)):
            agreed = self._ranks.agreed()
            if agreed is None:
                return {"stop": bool(self.alarm)}
            if not self._ranks.measures:
                self.alarm = agreed.get("alarm", "")
            return agreed
        return {"stop": False}

    @contextmanager
    def _harmless(self, task: str, epoch: Any) -> Iterator[None]:
        """Log an error, once for each kind, and go on."""
        try:
            yield
        except Exception as error:
            kind = (task, type(error).__name__)
            is_new = kind not in self._reported
            self._reported.add(kind)
            with suppress(Exception):  # the caller's own log handler
                log = logger.warning if is_new else logger.debug
                is_ours = isinstance(error, NmfdiagError)
                reason = f": {str(error).rstrip('.')}" if is_ours else ""
                log("nmfdiag could not %s epoch %s%s; training goes on.", task, epoch, reason, exc_info=not is_ours)

    def _is_affordable(self) -> bool:
        recorded = self._recorder.spent - self._recorded
        return not self._cost or self._cost + recorded <= self.overhead * (self._trained - recorded)

    def _record(self, model: nn.Module, line: dict[str, Any]) -> None:
        """Measure an epoch, update the alarm, write the line and call the writers."""
        epoch = line["epoch"]
        if self._is_affordable():
            began = time.perf_counter()
            with self._harmless("measure", epoch):
                line |= self._timed_measurement(model)
            self._cost, self._trained, self._recorded = time.perf_counter() - began, 0.0, self._recorder.spent
        with self._harmless("judge", epoch):
            self._update_alarm()
        with self._harmless("write", epoch):
            if self._file is not None:
                self._file.write(line | {"should_stop": bool(self.alarm)})
        for number, writer in enumerate(self.writers if line["curves"] else ()):
            with self._harmless(f"tell writer {number} of", epoch):
                writer(_flat(line["curves"]), epoch)

    def _timed_measurement(self, model: nn.Module) -> dict[str, Any]:
        """Return what a measured epoch's line has beside the logged values; empty where nothing could be measured."""
        began = time.perf_counter()
        curves = self._measure(runnable_alone(model))
        return {"curves": curves, "seconds": round(time.perf_counter() - began, 4)} if curves else {}

    def _measure(self, model: nn.Module) -> LayerValues:
        parameter = next(model.parameters(), None)
        device = torch.device("cpu") if parameter is None else parameter.device
        with (
            ExitStack() as stack
        ):  # results, and what the next measurement starts from, must not depend on the caller's modes
            stack.enter_context(torch.inference_mode(False))
            for kind in {"cpu", device.type}:
                if torch.amp.is_autocast_available(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            if self._batches[0][0].device != device:
                self._batches = [(x.to(device), y) for x, y in self._batches]
                self._probe.batches = self._batches
            with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
                return self._probe.measure(model, trial=without_collectives())

    def _standing(self) -> Standing:
        """Return the mean over layers by epoch; a layer that is dead at an epoch is left out of it, so that it can't silence the alarm."""
        return Standing(layer_means(current_epochs(self.history), self.method, self.measure), self.patience)

    def _update_alarm(self) -> None:
        standing = self._standing()
        self.alarm = ""
        if standing.stop is not None:
            self.alarm = (
                f"The {self.measure} AuC has not risen in {standing.since} measurements since epoch {standing.stop}: training should "
                "have stopped there."
            )

    def _header(self, name: str, per_class: int, recipe: Recipe | None) -> dict[str, Any]:
        probe = {
            "measures": list(self._probe.methods),  # keys of "curves", called so in the records of the claims too
            "per_class": per_class, "classes": len(self._batches), "patience": self.patience,
            "measure": self.measure, "overhead": self.overhead, "method": self.method,
        }  # fmt: skip
        return {
            "name": name, "experiment": "monitor", "recipe": recipe and recipe.to_dict(), "probe": probe,
            "provenance": provenance("nmfdiag", "torch", "processor", "date", process=getpid()),
        }  # fmt: skip


def whole_number(epoch: Any) -> int:
    """Return the number of an epoch, of whatever type.

    Raises:
        NmfdiagError: If it is not whole, negative, or too large.

    >>> whole_number(torch.tensor(3)), whole_number(2.0)
    (3, 2)
    """
    value = epoch
    with suppress(Exception):
        value = epoch.item() if hasattr(epoch, "item") else index(epoch)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and not isinstance(epoch, bool)
    if not is_number or not 0 <= value < MOST_EPOCHS:
        raise NmfdiagError(f"An epoch's number must be whole, from 0 to {MOST_EPOCHS:,}, got {epoch!r}.")
    if value != int(value):
        raise NmfdiagError(f"An epoch's number must be whole, got {epoch!r}.")
    return int(value)


def _numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return the logged values that are single numbers, of any type."""
    numbers = {}
    for name, value in logs.items():
        with suppress(Exception):
            needs_all_processes = hasattr(value, "full_tensor")
            if not needs_all_processes and not isinstance(value, str | bytes):
                key = f"logged_{name}" if name in OWN_KEYS else str(name)
                numbers[key] = float(value.detach() if isinstance(value, Tensor) else value)
    return numbers


def _flat(curves: LayerValues) -> dict[str, float]:
    return {f"nmfdiag/{m}/{layer}": values["auc"] for m, layers in curves.items() for layer, values in layers.items()}
