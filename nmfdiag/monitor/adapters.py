"""The monitor in Lightning's and Hugging Face's trainers, and its values in TensorBoard and Weights & Biases; each is imported when needed."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from nmfdiag.errors import NmfdiagError
from nmfdiag.monitor.callback import OWN_KEYS, MemorizationMonitor, Writer

logger = logging.getLogger(__name__)


def lightning_callback(monitor: MemorizationMonitor, *, stop: bool = False) -> Any:
    """Return a callback for ``lightning.Trainer(callbacks=[...])``.

    Each epoch's scalar metrics (``self.log``) are recorded under their names, beside the measured values.

    Args:
        monitor: The monitor.
        stop: Whether training ends when :attr:`MemorizationMonitor.should_stop` is set; else the alarm is only logged.

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

    class MonitorCallback(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            monitor.on_epoch_end(pl_module, trainer.current_epoch + 1, **_as_logs(trainer.callback_metrics))
            if _is_to_stop(monitor, stop):
                trainer.should_stop = True

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            monitor.finish()

    return MonitorCallback()


def trainer_callback(monitor: MemorizationMonitor, *, stop: bool = False) -> Any:
    """Return a callback for ``transformers.Trainer(callbacks=[...])``; the probe inputs are ``pixel_values``.

    Args:
        monitor: The monitor.
        stop: As in :func:`lightning_callback`.

    Raises:
        NmfdiagError: If transformers is not installed.
    """
    try:
        from transformers import TrainerCallback
    except ImportError:
        raise NmfdiagError("This callback needs the package transformers: pip install transformers") from None

    class MonitorCallback(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            logs = _as_logs({k: v for line in state.log_history for k, v in line.items() if k not in ("epoch", "step")})
            epoch = math.ceil(state.epoch - 1e-6)  # one that ends early, at ``max_steps``, counts
            monitor.on_epoch_end(kwargs["model"], epoch, **logs)
            if _is_to_stop(monitor, stop):
                control.should_training_stop = True

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            monitor.finish()

    return MonitorCallback()


def tensorboard_writer(summary_writer: Any) -> Writer:
    """Return a writer for ``MemorizationMonitor(writers=[...])`` that logs each layer's AuC over epochs to TensorBoard.

    Args:
        summary_writer: A ``torch.utils.tensorboard.SummaryWriter``, or another object with its ``add_scalar``; it is not closed.
    """

    def write(values: dict[str, float], epoch: int) -> None:
        for name, value in values.items():
            summary_writer.add_scalar(name, value, epoch)

    return write


def wandb_writer(run: Any) -> Writer:
    """Return a writer for ``MemorizationMonitor(writers=[...])`` that logs each layer's AuC over epochs to Weights & Biases.

    The run's step is not used: W&B drops values logged under a step below the last one, so epochs as steps would be
    lost in a training loop that logs every batch. The epoch is ``nmfdiag/epoch``, the axis of all ``nmfdiag/*``.

    Args:
        run: The run that ``wandb.init()`` returned; it is not finished.
    """
    run.define_metric("nmfdiag/epoch", hidden=True)
    run.define_metric("nmfdiag/*", step_metric="nmfdiag/epoch")

    def write(values: dict[str, float], epoch: int) -> None:
        run.log({**values, "nmfdiag/epoch": epoch})

    return write


def _as_logs(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return logged values under names that don't clash with the monitor's own arguments."""
    return {f"logged_{name}" if name in OWN_KEYS else str(name): value for name, value in values.items()}


def _is_to_stop(monitor: MemorizationMonitor, stop: bool) -> bool:
    """Return whether training ends now, in all processes alike; the answer makes the others wait, so it is read only where it may be yes."""
    if monitor.alarm:
        logger.warning(monitor.alarm)
    return stop and monitor.should_stop
