"""A measured network is left as it was, to the last bit: with kept values, random states, hooks and modes, and the whole process.

A snapshot of everything is taken before and after, where measuring succeeds and where it fails. What a caller may see is compared, not
what a library has cached for itself.
"""

import copy
import os
import random
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from snapshots import comparable, differences, full_snapshot
from torch import Tensor, nn

import nmfdiag
from nmfdiag.measures.preflight.network_check import preflight

X = torch.rand(24, 12, generator=torch.Generator().manual_seed(0))
Y = torch.arange(24) % 2


class Base(nn.Module):
    """Two ReLU layers; a subclass uses the hidden values in ``observe``."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(12, 16), nn.Linear(16, 16), nn.Linear(16, 4)

    def observe(self, hidden: Tensor) -> Tensor:
        return hidden

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.relu(self.second(self.observe(F.relu(self.first(x))))))


class Keeping(Base):
    """It keeps a tensor, a counter, a list and a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: Tensor | None = None
        self.calls, self.means, self.by_size = 0, [0.5], {"n": [1]}

    def observe(self, hidden: Tensor) -> Tensor:
        self.hidden, self.calls = hidden, self.calls + 1
        self.means.append(float(hidden.detach().mean()))
        self.by_size["n"].append(len(hidden))
        return hidden


class NewAttribute(Base):
    """It adds an attribute."""

    def observe(self, hidden: Tensor) -> Tensor:
        self.cache = hidden.detach()
        return hidden


class InsideAnother(Base):
    """It keeps values in another object."""

    class Meter:
        """Sums up values."""

        total, values = 0.0, ()

    def __init__(self) -> None:
        super().__init__()
        self.meter = self.Meter()

    def observe(self, hidden: Tensor) -> Tensor:
        self.meter.total += float(hidden.detach().sum())
        self.meter.values += (len(hidden),)  # type: ignore[assignment]
        return hidden


class RunningMean(Base):
    """It updates a buffer, in evaluation too; one in place, one replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(16))
        self.register_buffer("steps", torch.tensor(0))

    def observe(self, hidden: Tensor) -> Tensor:
        with torch.no_grad():
            self.mean.mul_(0.9).add_(hidden.mean(0), alpha=0.1)
        self.steps = self.steps + 1
        return hidden


class WritesWeights(Base):
    """It normalises its weights in place, as spectral normalisation by hand does."""

    def observe(self, hidden: Tensor) -> Tensor:
        with torch.no_grad():
            self.second.weight.div_(self.second.weight.norm() + 1)
        return hidden


class Chance(Base):
    """It draws from Python, NumPy and torch."""

    def observe(self, hidden: Tensor) -> Tensor:
        random.random(), np.random.rand()
        return hidden + 0 * torch.rand(1)


class Hooked(Base):
    """Its owner has hooks in it, which count."""

    def __init__(self) -> None:
        super().__init__()
        self.counted = [0]
        self.first.register_forward_hook(lambda *_: self.counted.__setitem__(0, self.counted[0] + 1))
        self.register_forward_pre_hook(lambda *_: None)
        self.second.register_full_backward_hook(lambda *_: None)


class Modes(Base):
    """Parts in different modes, a frozen layer, gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop = nn.BatchNorm1d(16), nn.Dropout(0.3)
        self.norm.eval()
        self.first.requires_grad_(False)
        self.last.weight.grad = torch.ones_like(self.last.weight)

    def observe(self, hidden: Tensor) -> Tensor:
        return self.drop(self.norm(hidden))


class BatchStatistics(Base):
    """Batch normalisation that evaluates by statistics of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(16, track_running_stats=False)
        self.momentum = nn.BatchNorm1d(16)

    def observe(self, hidden: Tensor) -> Tensor:
        return self.momentum(self.norm(hidden))


class SwitchesMode(Base):
    """It sets its own mode."""

    def observe(self, hidden: Tensor) -> Tensor:
        self.second.train()
        return hidden


NETWORKS: list[Callable[[], nn.Module]] = [
    Keeping, NewAttribute, InsideAnother, RunningMean, WritesWeights, Chance, Hooked, Modes, BatchStatistics, SwitchesMode,
]  # fmt: skip


def monitored(model: nn.Module, x: Tensor, y: Tensor) -> None:
    line = nmfdiag.MemorizationMonitor(X, Y, per_class=6, overhead=1e9).on_epoch_end(model, 1)
    if not line["curves"]:
        raise ValueError("nothing was measured")


MEASURES: dict[str, Callable[[nn.Module, Tensor, Tensor], Any]] = {
    "monitor": monitored,
    "diagnose": lambda model, x, y: nmfdiag.diagnose(model, x, y, per_class=6),
    "preflight": lambda model, x, y: preflight(model, x, y),
    "profile": lambda model, x, y: nmfdiag.layer_profile(model, x, y, per_class=6),
}


@pytest.fixture(autouse=True, scope="module")
def _warmed_up() -> None:
    """Compile and load kernels and import modules, once per process."""
    for measure in MEASURES.values():
        measure(Base(), X, Y)


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    model = make()
    return model if isinstance(model, Modes) else model.train()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)
def test_success_leaves_nothing(make: Callable[[], nn.Module], measure: str) -> None:
    model, x, y = seeded(make), X.clone(), Y.clone()
    before = full_snapshot(model, x, y)
    MEASURES[measure](model, x, y)
    assert differences(before, full_snapshot(model, x, y)) == []


class Stops(BaseException):
    """An interruption such as Ctrl-C, which measuring must not swallow."""


class Fails(Keeping):
    """It fails at its n-th call, after changing everything that the others change."""

    def __init__(self, failing_call: int, error: type[BaseException]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(16))
        self.__dict__["left"] = [failing_call]
        self.error = error

    def observe(self, hidden: Tensor) -> Tensor:
        super().observe(hidden)
        self.mean.add_(1)
        random.random(), np.random.rand(), torch.rand(1)
        FAILING["calls"] += 1
        if FAILING["calls"] == self.left[0]:
            raise self.error("now")
        return hidden


FAILING = {"calls": 0}
"""Counted outside of the network, which is put back as it was."""


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("failing_call", [1, 3])
@pytest.mark.parametrize("error", [RuntimeError, MemoryError, Stops])
def test_failure_leaves_nothing(
    measure: str, failing_call: int, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    FAILING["calls"] = 0
    model, x, y = Fails(failing_call, error).train(), X.clone(), Y.clone()
    before = full_snapshot(model, x, y)
    raised: BaseException | None = None
    try:
        MEASURES[measure](model, x, y)
    except BaseException as caught:  # what kind it is is asked below
        raised = caught
    assert FAILING["calls"] >= failing_call
    assert isinstance(raised, Stops) == (error is Stops), f"{raised!r}"
    del raised
    assert differences(before, full_snapshot(model, x, y)) == []


CONTEXTS: dict[str, Callable[[], Any]] = {
    "no_grad": torch.no_grad, "inference": torch.inference_mode, "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "enable_grad": torch.enable_grad,
}  # fmt: skip


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_monitor_measures_the_same_in_any_context(context: str) -> None:
    model = seeded(Modes)
    alone = nmfdiag.MemorizationMonitor(X, Y, per_class=6, overhead=1e9)
    expected = [alone.on_epoch_end(model, epoch)["curves"] for epoch in (1, 2, 3)]
    monitor = nmfdiag.MemorizationMonitor(X, Y, per_class=6, overhead=1e9)
    with CONTEXTS[context]():
        before = full_snapshot(model, X, Y)
        curves = [monitor.on_epoch_end(model, 1)["curves"]]
        assert differences(before, full_snapshot(model, X, Y)) == []
    curves += [monitor.on_epoch_end(model, epoch)["curves"] for epoch in (2, 3)]
    assert curves == expected


@pytest.mark.parametrize("make", [Keeping, RunningMean, Modes, BatchStatistics], ids=lambda make: make.__name__)
def test_between_forward_and_backward_the_gradients_stay(make: Callable[[], nn.Module]) -> None:
    gradients = []
    for watches in (False, True):
        model = seeded(make)
        torch.manual_seed(1)
        loss = F.cross_entropy(model(X), Y)
        if watches:
            monitored(model, X, Y)
        loss.backward()
        gradients.append([comparable(parameter.grad) for parameter in model.parameters()])
    assert gradients[0] == gradients[1]


def test_no_thread_and_no_file_is_left(tmp_path: Any) -> None:
    model = seeded(Base)
    monitor = nmfdiag.MemorizationMonitor(X, Y, folder=tmp_path / "run", per_class=6, overhead=1e9)
    monitor.on_epoch_end(model, 1)
    threads, opened = set(threading.enumerate()), _open_files()
    for epoch in range(2, 5):
        monitor.on_epoch_end(model, epoch)
    monitor.finish()
    assert set(threading.enumerate()) == threads and _open_files() == opened


def _open_files() -> list[str]:
    files = []
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        with suppress(OSError):
            files.append(os.readlink(f"/proc/self/fd/{number}"))
    return sorted(name for name in files if name.startswith("/") and not name.startswith(("/proc", "/dev")))


def test_a_network_that_changes_goes_on_being_measured() -> None:
    monitor = nmfdiag.MemorizationMonitor(X, Y, per_class=6, overhead=1e9)
    model = seeded(Base)
    wider = copy.deepcopy(model)
    wider.second, wider.last = nn.Linear(16, 24), nn.Linear(24, 4)  # type: ignore[assignment]
    for epoch, network in enumerate(
        (model, wider, model, copy.deepcopy(model), nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 4)))
    ):
        assert monitor.on_epoch_end(network, epoch)["curves"]["nmf"]


def test_every_difference_is_noticed() -> None:
    """The snapshot notices each thing that measuring could leave behind."""
    model = seeded(Keeping)
    changes: dict[str, Callable[[], Any]] = {
        "the network": lambda: model.means.append(1.0), "Python's random state": random.random, "NumPy's": np.random.rand,
        "torch's": lambda: torch.rand(1), "its parts": lambda: setattr(model, "last", copy.deepcopy(model.last)),
        "warnings": lambda: warnings.filters.insert(0, ("ignore", None, UserWarning, None, 0)),
    }  # fmt: skip
    filters = list(warnings.filters)
    try:
        for name, change in changes.items():
            before = full_snapshot(model, X, Y)
            change()
            assert name in differences(before, full_snapshot(model, X, Y))
    finally:
        warnings.filters[:] = filters
