"""Records, from the batches of a training, how surely each sample is predicted as given: sums per sample number.

A batch costs a copy of its logits. Margins are computed from many batches at once, where the logits are, and fetched once in
:data:`FETCHED_ROWS` samples and at the end of an epoch: a GPU is not waited for in between.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nmfdiag.data.arrays import as_tensor
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.suspects.history import NEVER, TrainingHistory
from nmfdiag.networks.outputs import named_logits
from nmfdiag.text import plural

WAITING_NUMBERS, FETCHED_ROWS = 2**18, 2**18
"""Largest count of logits that wait for their margins, and of samples whose margins wait where they were computed."""
MOST_SAMPLES = 2**24
"""Largest sample number, plus one: sums are kept for every number up to the largest."""
WRITTEN = 0.2
"""Part of the share that writing the file may take; recording may take the rest."""
GRACE = 1.0
"""Seconds that recording may take beyond its share, so that short trainings are recorded as a whole; and once more within an epoch."""
ACCEPTED_NUMBERS = "accepted are whole numbers (m,), one for each sample of the batch"
ACCEPTED_LABELS = "accepted are whole numbers (m,) or one-hot rows (m, classes)"
EPOCH_SUMS = ("n_seen", "n_right", "margin", "confidence", "loss")
"""What is summed in an epoch."""
RUN_SUMS = {
    "epochs": np.int32, "margin": float, "confidence": float, "loss": float, "fitted_after": np.int32, "forgotten": np.int32,
    "was_right": bool, "label_after": np.int32,
}  # fmt: skip
"""What is kept over epochs; the first fitted epoch and the label are kept plus one, so that 0 is unknown."""


@dataclass
class Budget:
    """Seconds that a repeated task may take: a share of the training's, and some more in all; the first time is free."""

    share: float
    grace: float = 0.0
    spent: float = 0.0
    trained: float = 0.0
    n_times: int = 0

    def spend(self, seconds: float) -> None:
        """Count one more time."""
        self.spent, self.n_times = self.spent + seconds, self.n_times + 1

    def allows(self, seconds: float = 0.0) -> bool:
        """Whether the task, at its mean cost, keeps to its budget if training goes on for ``seconds``."""
        expected = self.spent / max(1, self.n_times)
        return not self.n_times or self.spent + expected <= self.share * (self.trained + seconds) + self.grace


class SampleRecorder:
    """Sums over epochs of what a training sees of its samples.

    Whole epochs are recorded or skipped where possible, so that all samples are judged in the same epochs; in one that costs far more than its
    share the remaining batches are skipped. The file is written after a recorded epoch, unless
    that would take more than :data:`WRITTEN` of the share.

    Args:
        share: Share of the training time that recording may take.
    """

    def __init__(self, share: float):
        self._record, self._write = Budget((1 - WRITTEN) * share, GRACE), Budget(WRITTEN * share)
        self._epoch_cost = self._began = 0.0
        self._skips = False
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []
        self._margins: list[tuple[Tensor, Tensor, Tensor]] = []
        self._n_waiting = self._n_rows = 0
        self._forget()

    def add(self, indices: Any, logits: Any, labels: Any) -> None:
        """Take the samples of a batch.

        Args:
            indices: Their numbers (m,).
            logits: Logits (m, classes), or the network's output with them.
            labels: Given labels (m,), or one-hot rows (m, classes).

        Raises:
            NmfdiagError: If they don't fit together, or, once many batches are read, for samples that can't be recorded; the others are.
        """
        began = time.perf_counter()
        self._began = self._began or began
        if self._skips or self._epoch_cost > self._record.share * (began - self._began) + GRACE:
            self._n_skipped += 1
            return
        try:
            batch = _numbers_of(indices), _logits_of(logits), _labels_of(labels)
            if not len(batch[0]) == len(batch[1]) == len(batch[2]):
                raise NmfdiagError(
                    f"A batch has {len(batch[0])} sample numbers, {len(batch[1])} rows of logits and {len(batch[2])} labels."
                )
            n = batch[1].numel()
            self._waiting.append(batch if n >= WAITING_NUMBERS else (batch[0], batch[1].clone(), batch[2]))
            self._n_waiting += n
            if self._n_waiting >= WAITING_NUMBERS:
                self._compute_margins()
            if self._n_rows >= FETCHED_ROWS:
                self._fetch()
        finally:
            self._epoch_cost += time.perf_counter() - began

    def end_epoch(self, epoch: int, seconds: float, path: Path | None) -> None:
        """Add the epoch's sums to those of the run, write them, and decide whether the next epoch is recorded.

        Args:
            epoch: Its number. Where it goes back to the first one or before, a new training has begun.
            seconds: Seconds since the last epoch was measured, recording included.
            path: File of the history; None if it isn't written.

        Raises:
            NmfdiagError: For samples that can't be recorded; the others are.
            OSError: If the file can't be written.
        """
        began = time.perf_counter()
        if not self._began:
            return
        try:
            self._compute_margins()
            self._fetch()
        finally:
            self._add_epoch(epoch)
            is_first = not self._record.n_times  # what came before the first batch was preparation
            trained = max(0.0, (began - self._began if is_first else seconds) - self._epoch_cost)
            self._record.trained += trained
            self._write.trained += trained
            if not self._skips:
                self._record.spend(self._epoch_cost + time.perf_counter() - began)
                if path is not None and self._n_epochs and self._write.allows():
                    self.write(path)
            self._skips = not self._record.allows(trained)
            self._epoch_cost = self._began = 0.0

    def write(self, path: Path) -> None:
        """Write the history of the epochs that have ended, if there is one.

        Raises:
            OSError: If it can't be written.
        """
        began = time.perf_counter()
        if self._n_epochs:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.history().save(path)
        self._write.spend(time.perf_counter() - began)

    @property
    def spent(self) -> float:
        """Seconds taken in all epochs that have ended."""
        return self._record.spent + self._write.spent

    def history(self) -> TrainingHistory:
        """Return the history of the epochs that have ended.

        Raises:
            NmfdiagError: If no sample was recorded.
        """
        n = int(np.flatnonzero(self._run["epochs"]).max(initial=-1)) + 1
        if not n:
            raise NmfdiagError(
                "No sample has been recorded: call on_batch with each training batch, and on_epoch_end after each epoch."
            )
        run = {name: values[:n] for name, values in self._run.items()}
        is_seen = run["epochs"] > 0
        means = {
            name: np.where(is_seen, run[name] / np.maximum(1, run["epochs"]), np.nan)
            for name in ("margin", "confidence", "loss")
        }
        return TrainingHistory(
            epochs=run["epochs"].copy(),
            **means,
            first_fitted=run["fitted_after"] - 1,
            forgotten=run["forgotten"].copy(),
            given=run["label_after"] - 1,
            n_epochs=self._n_epochs,
            n_skipped=self._n_skipped,
        )

    def _forget(self) -> None:
        """Begin a run."""
        self._run = {name: np.zeros(0, dtype) for name, dtype in RUN_SUMS.items()}
        self._epoch = {name: np.zeros(0) for name in EPOCH_SUMS}
        self._n_epochs = self._n_skipped = 0
        self._first = NEVER

    @torch.no_grad()
    def _compute_margins(self) -> None:
        """Turn the logits that wait into margin and loss, on their device."""
        if not self._waiting:
            return
        batches, self._waiting, self._n_waiting = self._waiting, [], 0
        indices, logits, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        logits, labels = logits.float(), labels.to(logits.device)
        is_class = (labels >= 0) & (labels < logits.shape[1])
        column = torch.where(is_class, labels, 0)[:, None]
        own = logits.gather(1, column)[:, 0]
        margin = own - logits.scatter(1, column, -torch.inf).amax(1)
        loss = logits.logsumexp(1) - own
        self._margins.append((indices, torch.where(is_class, labels, NEVER), torch.stack([margin, loss])))
        self._n_rows += len(indices)

    def _fetch(self) -> None:
        """Add the margins that wait to the epoch's sums; repeated samples are summed."""
        if not self._margins:
            return
        parts, self._margins, self._n_rows = self._margins, [], 0
        indices = torch.cat([part[0].cpu() for part in parts]).numpy()
        labels = torch.cat([part[1] for part in parts]).cpu().numpy()
        margin, loss = torch.cat([part[2] for part in parts], 1).cpu().double().numpy()
        is_usable = (
            (indices >= 0) & (indices < MOST_SAMPLES) & (labels != NEVER) & np.isfinite(margin) & np.isfinite(loss)
        )
        indices, labels, margin, loss = (values[is_usable] for values in (indices, labels, margin, loss))
        if len(indices):
            self._grow(int(indices.max()) + 1)
            sums = {"n_seen": None, "n_right": margin > 0, "margin": margin, "confidence": np.exp(-loss), "loss": loss}
            for name, values in sums.items():
                self._epoch[name] += np.bincount(indices, values, len(self._epoch[name]))
            self._run["label_after"][indices] = labels + 1
        if n_left_out := int((~is_usable).sum()):
            raise NmfdiagError(
                f"{plural(n_left_out, 'sample')} left out: sample numbers must lie in 0 .. {MOST_SAMPLES - 1:,}, labels must be the number of one output "
                "each (samples that were mixed have no given label), and logits finite"
            )

    def _add_epoch(self, epoch: int) -> None:
        rows = np.flatnonzero(self._epoch["n_seen"])
        if not len(rows):
            return
        if self._first != NEVER and epoch <= self._first:
            ended, labels = self._epoch, self._run["label_after"]
            self._forget()
            self._grow(len(labels))
            self._epoch, self._run["label_after"][rows] = ended, labels[rows]
        self._first = epoch if self._first == NEVER else self._first
        self._n_epochs += 1
        run, n_seen = self._run, self._epoch["n_seen"][rows]
        is_right = self._epoch["n_right"][rows] == n_seen
        for name in ("margin", "confidence", "loss"):
            run[name][rows] += self._epoch[name][rows] / n_seen
        run["epochs"][rows] += 1
        run["forgotten"][rows] += run["was_right"][rows] & ~is_right
        run["fitted_after"][rows] = np.where(
            is_right & (run["fitted_after"][rows] == 0), epoch + 1, run["fitted_after"][rows]
        )
        run["was_right"][rows] = is_right
        for values in self._epoch.values():
            values[rows] = 0

    def _grow(self, n: int) -> None:
        """Make room for sample numbers below ``n``."""
        if n <= len(self._run["epochs"]):
            return
        n = min(MOST_SAMPLES, max(n, 2 * len(self._run["epochs"])))
        for sums in (self._run, self._epoch):
            for name, values in sums.items():
                sums[name] = np.zeros(n, values.dtype)  # the system gives memory when it is written to
                sums[name][: len(values)] = values


def _numbers_of(indices: Any) -> Tensor:
    values = indices if type(indices) is Tensor else as_tensor(indices, "sample numbers", ACCEPTED_NUMBERS)
    return _whole(values, "sample numbers", ACCEPTED_NUMBERS)


def _logits_of(output: Any) -> Tensor:
    """Return the logits (m, classes) in an output, not copied."""
    if isinstance(output, Tensor):
        logits = output
    else:
        choice = named_logits(output, None)
        if choice is None:
            raise NmfdiagError("The output holds several tensors that may be the logits: give the logits themselves.")
        logits = choice.take(output)
    if logits.ndim > 2 and math.prod(logits.shape[2:]) == 1:
        logits = logits.flatten(1)
    if logits.ndim != 2 or logits.shape[1] < 2 or not logits.is_floating_point() or hasattr(logits, "full_tensor"):
        raise NmfdiagError(
            f"Logits must be (m, classes) with two classes or more, got {str(logits.dtype).removeprefix('torch.')} {tuple(logits.shape)}."
        )
    return logits.detach()


def _labels_of(labels: Any) -> Tensor:
    """Return labels (m,); -1 for rows that are not one-hot. Nothing waits for a GPU."""
    values = labels.detach() if type(labels) is Tensor else as_tensor(labels, "labels", ACCEPTED_LABELS)
    if values.ndim == 2 and values.shape[1] > 1:
        is_one_hot = ((values == 0) | (values == 1)).all(1) & (values.sum(1) == 1)
        return torch.where(is_one_hot, values.to(torch.float32).argmax(1), NEVER)
    return _whole(values, "labels", ACCEPTED_LABELS)


def _whole(values: Tensor, role: str, accepted: str) -> Tensor:
    """Return a copy of whole numbers (m,); an empty list is of floats and holds none."""
    is_whole = not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
    if values.ndim != 1 or not (is_whole or not len(values)):
        raise NmfdiagError(
            f"The {role} are {str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}: {accepted}."
        )
    return values.to(torch.int64, copy=True)
