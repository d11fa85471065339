"""``info``: versions, devices and cache."""

import argparse
import platform

from nmfdiag.commands.outcome import OK, Commands, Outcome


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    commands.add_parser("info", parents=[common], help="show versions, devices and cache").set_defaults(run=_info)


def _info(_: argparse.Namespace) -> Outcome:
    import torch

    from nmfdiag.jobs.cache import CurveCache
    from nmfdiag.jobs.compute import devices
    from nmfdiag.version import __version__

    record = {
        "nmfdiag": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "devices": devices(),
        "threads": torch.get_num_threads(),
        "cache": CurveCache().stats(),
    }
    return OK, record, "\n".join(f"{key:8} {value}" for key, value in record.items())
