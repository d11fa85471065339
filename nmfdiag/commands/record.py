"""``record``: run a declared experiment and record it."""

import argparse
from pathlib import Path
from typing import Any

from nmfdiag.commands.outcome import OK, Commands, Outcome, progress_bar


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    record = commands.add_parser(
        "record", parents=[common], help="run a declared experiment and record it; resumes where it was stopped"
    )
    record.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        help="generalization, data-size, early-stopping, few-shot, curves or batch-sizes",
    )
    record.add_argument("--only", nargs="+", default=[], metavar="NAME", help="name prefixes of the networks")
    record.add_argument("--data", help="folder of the data sets (default: $NMFDIAG_DATA, else data/)")
    record.add_argument("--download", action="store_true", help="let torchvision download missing data sets")
    record.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    record.add_argument("--out", type=Path, default=Path("recorded"), help="folder of the records")
    record.set_defaults(run=_record)


def _record(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.evidence.batch_sizes import record_batch_sizes
    from nmfdiag.evidence.curve_records import record_curves
    from nmfdiag.evidence.record_experiments import record
    from nmfdiag.jobs.compute import resolve

    device = resolve(arguments.device)
    with progress_bar("{percentage:3.0f}% |{bar}| {elapsed}<{remaining} {desc}") as show:
        options: dict[str, Any] = {"device": device, "on_step": lambda text, share: show(share, text)}
        if arguments.experiment == "batch-sizes":
            names = [record_batch_sizes(arguments.out, **options).stem]
        elif arguments.experiment == "curves":
            names = record_curves(arguments.out, only=arguments.only, **options)
        else:
            options |= {"only": arguments.only, "root": arguments.data, "download": arguments.download}
            names = record(arguments.experiment, arguments.out, **options)
    return OK, {"recorded": names, "folder": str(arguments.out)}, f"{len(names)} recorded in {arguments.out}."
