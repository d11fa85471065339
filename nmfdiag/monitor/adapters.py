"""The monitor in Lightning's and Hugging Face's trainers, and its values in TensorBoard and Weights & Biases; none is imported before it is needed."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.monitor.callback import OWN_KEYS, MemorizationMonitor, Writer

logger = logging.getLogger(__name__)


def lightning_callback(monitor: MemorizationMonitor, *, stop: bool = False) -> Any:
    """A callback for ``lightning.Trainer(callbacks=[...])``.

    Each epoch's scalar metrics (``self.log``) are kept beside what is measured, under their names.

    Args:
        monitor: What measures.
        stop: Whether training ends when :attr:`MemorizationMonitor.should_stop` says so; else it is only logged.

    Raises:
        NmfdiagError: If Lightning is not installed.
    """
    try:
        from lightning import Callback
    except ImportError:
        try:
            from pytorch_lightning import Callback  # type: ignore[no-redef,assignment]
        except ImportError:
            raise NmfdiagError("This callback needs the package lightning: pip install lightning") from None

    class Watching(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            monitor.on_epoch_end(pl_module, trainer.current_epoch + 1, **_named(trainer.callback_metrics))
            if _stops(monitor, stop):
                trainer.should_stop = True

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            monitor.finish()

    return Watching()


def trainer_callback(monitor: MemorizationMonitor, *, stop: bool = False) -> Any:
    """A callback for ``transformers.Trainer(callbacks=[...])``; the probe inputs are ``pixel_values``.

    Args:
        monitor: What measures.
        stop: As :func:`lightning_callback` takes it.

    Raises:
        NmfdiagError: If transformers is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ImportError:
        raise NmfdiagError("This callback needs the package transformers: pip install transformers") from None

    class Watching(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            logs = _named({k: v for line in state.log_history for k, v in line.items() if k not in ("epoch", "step")})
            epoch = math.ceil(state.epoch - 1e-6)  # one that ends early, at ``max_steps``, counts
            monitor.on_epoch_end(kwargs["model"], epoch, **logs)
            if _stops(monitor, stop):
                control.should_training_stop = True

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            monitor.finish()

    return Watching()


def tensorboard_writer(summary_writer: Any) -> Writer:
    """A writer for ``MemorizationMonitor(writers=[...])``: each layer's AuC is a scalar over epochs in TensorBoard.

    Args:
        summary_writer: A ``torch.utils.tensorboard.SummaryWriter``, or what else has its ``add_scalar``; it is not closed.
    """

    def write(values: dict[str, float], epoch: int) -> None:
        for name, value in values.items():
            summary_writer.add_scalar(name, value, epoch)

    return write


def wandb_writer(run: Any) -> Writer:
    """A writer for ``MemorizationMonitor(writers=[...])``: each layer's AuC is drawn over epochs in Weights & Biases.

    The run's own step is left alone: W&B drops what is logged under a step below the last one, so epochs for a step would be
    lost in a training loop that logs every batch. The epoch is ``nmfdiag/epoch``, and the axis of all ``nmfdiag/*``.

    Args:
        run: What ``wandb.init()`` returned; it is not finished.
    """
    run.define_metric("nmfdiag/epoch", hidden=True)
    run.define_metric("nmfdiag/*", step_metric="nmfdiag/epoch")

    def write(values: dict[str, float], epoch: int) -> None:
        run.log({**values, "nmfdiag/epoch": epoch})

    return write


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Logged values by names that can be passed on beside the monitor's own arguments."""
    return {f"logged_{name}" if name in OWN_KEYS else str(name): value for name, value in values.items()}


def _stops(monitor: MemorizationMonitor, stop: bool) -> bool:
    """Whether training ends now, in all processes alike; asked only if it may, for the others wait for the answer."""
    if monitor.alarm:
        logger.warning(monitor.alarm)
    return stop and monitor.should_stop
