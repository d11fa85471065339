"""A training that several processes share (torch.distributed): one of them measures, and they all stop together or not at all.

The decision travels through the process group's store, one key for each epoch, not through a collective operation: no process waits
for one that doesn't ask, and nothing hangs where only one process has a monitor.
"""

import json
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from typing import Any

import torch.distributed as dist
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.wrappers import unwrapped

logger = logging.getLogger(__name__)

LONGEST_WAIT, ONE_WAIT = 1800.0, 5.0
"""Seconds that a process waits for the decision in total, and between two chances to be interrupted."""
LONGEST_FAREWELL, ONE_PAUSE = 5.0, 0.02
"""Seconds that a process which is to stop waits, once, until the others have heard it too, and between two looks."""
COLLECTIVE = ("c10d", "_c10d_functional", "c10d_functional")
"""Namespaces of the operations that need every process."""
DIVIDED = ("FullyShardedDataParallel", "FSDPModule", "DeepSpeedEngine", "DTensor")
"""Classes of modules and parameters of which one process has only a part."""
WORLD_SIZES = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_numbers = count()


class Ranks:
    """This process's role in a training that several processes share, for one monitor.

    Process 0 measures if it has a monitor. The monitors of the processes belong together in the order of their creation.
    """

    def __init__(self) -> None:
        self._number, self._generation, self._epochs, self._stop_epoch = next(_numbers), 0, 0, 0
        self._store: Any = None
        self._measures: bool | None = None
        self._agreed: dict[str, Any] | None = None
        self._has_warned = False
        self._waits_for_others = True
        self._made_inside = self._join()
        if self._made_inside and dist.get_rank() == 0:
            self._claim()

    @property
    def measures(self) -> bool:
        """Whether this process measures and writes; False where several train together and it is not decided yet."""
        return self._store is None if self._measures is None else self._measures

    @property
    def may_be_shared(self) -> bool:
        """Whether several processes may turn out to train together, so that another one may be the one that measures."""
        is_one_of_several = any(os.environ.get(name, "1") not in ("", "0", "1") for name in WORLD_SIZES)
        return self._measures is None and (
            self._made_inside or is_one_of_several or multiprocessing.parent_process() is not None
        )

    def arrive(self) -> bool:
        """Note that an epoch has ended in this process.

        Returns:
            Whether this process measures.
        """
        if not self._join():
            return self.measures
        self._epochs, self._agreed = self._epochs + 1, None
        if self._epochs == 1:
            self._store.add(self._key("arrived"), 1)
        if self._measures is None and (dist.get_rank() == 0 or self._made_inside or self._epochs > 1):
            self._claim()  # not before process 0 had its chance, if it has a monitor
        elif self._measures is None and self._store.check([self._key("measures")]):
            self._claim()
        return self._measures is True

    def decide(self, decision: dict[str, Any]) -> None:
        """Publish what all processes do after this epoch: ``stop``, and further entries for their monitors."""
        if not self._join():
            return
        store, decision, self._agreed = self._store, dict(decision), {"stop": False}
        if decision["stop"] and store.add(self._key("made"), 0) != store.add(self._key("arrived"), 0):
            decision["stop"] = False
            if not self._has_warned:
                logger.warning(
                    "Training is not stopped: every process that reads should_stop must also call on_epoch_end."
                )
            self._has_warned = True
        self._agreed = self._first(decision)

    def agreed(self) -> dict[str, Any] | None:
        """Return what all processes do after the epoch that this one has ended; waits for the one that measures.

        A process that is to stop waits for the others, too: it may be the one that holds the store, and with it the decision.

        Returns:
            The decision; None where this process trains alone.
        """
        if not self._join():
            return self._agreed
        if not self._epochs:
            return {"stop": False}
        if self._agreed is None and self._measures:  # still measuring
            return None
        if self._agreed is None:
            self._wait(self._key(str(self._epochs)))
            self._agreed = self._first({"stop": False})
        if self._agreed["stop"] and self._epochs != self._stop_epoch:
            self._stop_epoch = self._epochs
            self._let_all_hear()
        return self._agreed

    def _join(self) -> bool:
        """Return whether several processes train together now; starts again in each process group."""
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return False
        store = dist.distributed_c10d._get_default_store()
        if store is None:  # MPI has none: process 0 measures, and no process stops
            self._measures, self._agreed = dist.get_rank() == 0, {"stop": False}
            return False
        if store is not self._store:
            self._store, self._generation = store, self._generation + 1
            self._epochs, self._stop_epoch, self._agreed, self._measures = 0, 0, None, None
            store.add(self._key("made"), 1)
        return True

    def _claim(self) -> None:
        rank = str(dist.get_rank())
        self._measures = self._store.compare_set(self._key("measures"), "", rank).decode() == rank
        if not self._measures:
            logger.info("Process %s of this training does not measure it: another one does.", rank)

    def _first(self, decision: dict[str, Any]) -> dict[str, Any]:
        """Return the decision of this epoch: the one that was published first, by whichever process."""
        published = self._store.compare_set(self._key(str(self._epochs)), "", json.dumps(decision))
        return dict(json.loads(published))

    def _wait(self, key: str) -> None:
        began = time.monotonic()
        while time.monotonic() - began < LONGEST_WAIT:
            attempt = time.monotonic()
            try:
                return self._store.wait([key], timedelta(seconds=min(ONE_WAIT, LONGEST_WAIT)))
            except RuntimeError:
                if time.monotonic() - attempt < min(ONE_WAIT, LONGEST_WAIT) / 2:
                    raise  # not a time-out: the process that holds the store is gone
        logger.warning("The process that measures has not answered for %.0f s; training goes on.", LONGEST_WAIT)

    def _let_all_hear(self) -> None:
        """Wait until all processes of this training have read that it stops."""
        heard, until = self._key(f"heard/{self._epochs}"), time.monotonic() + LONGEST_FAREWELL
        # Where the process that holds the store has left, all have heard, or it waited long enough.
        with suppress(RuntimeError):
            n_processes = self._store.add(self._key("arrived"), 0)
            n_heard = self._store.add(heard, 1)
            while n_heard < n_processes and self._waits_for_others:
                time.sleep(ONE_PAUSE)
                n_heard = self._store.add(heard, 0)
                if time.monotonic() > until:
                    self._waits_for_others = False
                    logger.warning(
                        "Some processes did not read should_stop within %.0f s: if nothing else stops them, they go on.",
                        LONGEST_FAREWELL,
                    )

    def _key(self, name: str) -> str:
        return f"nmfdiag/{self._number}/{self._generation}/{name}"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_store": None}


def runnable_alone(model: nn.Module) -> nn.Module:
    """Return the network that this process can run without the others: the one that data parallelism wraps.

    Raises:
        NmfdiagError: If this process has only a part of its weights.
    """
    model = unwrapped(model)
    while isinstance(model, nn.parallel.DistributedDataParallel):  # subclasses too
        model = unwrapped(model.module)
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        for part in (*model.modules(), *model.parameters()):
            kinds = [base.__name__ for base in type(part).__mro__ if base.__name__ in DIVIDED]
            if kinds or hasattr(part, "ds_id"):
                raise NmfdiagError(
                    f"The network's weights are divided among the processes ({kinds[0] if kinds else 'DeepSpeed'}), so one process "
                    "can't run it alone: nothing is measured."
                )
    return model


@contextmanager
def without_collectives() -> Iterator[None]:
    """Forbid operations that need every process, in this thread: one process alone would wait for the others forever.

    Raises:
        NmfdiagError: If such an operation is called; it is not started.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        yield
        return
    refusing = _Refusing()
    try:
        with refusing:
            yield
    except Exception:
        if not refusing.refused:
            raise
    if refusing.refused:
        raise NmfdiagError(
            f"The network communicates with the other processes when it runs ({refusing.refused}), so one process can't run it alone: "
            "nothing is measured."
        )


class _Refusing(TorchDispatchMode):
    refused = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace in COLLECTIVE:
            self.refused = func.__name__.split(".")[0].rstrip("_")
            raise NmfdiagError(f"{self.refused} needs every process.")
        return func(*args, **(kwargs or {}))
