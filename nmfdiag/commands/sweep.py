"""``sweep``: AuC of many networks."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.commands.outcome import OK, Commands, Outcome, say
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.methods import METHODS

if TYPE_CHECKING:
    import pandas as pd


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    sweep = commands.add_parser(
        "sweep", parents=[common], help="compute AuC of many networks; resumes where it was stopped"
    )
    sweep.add_argument(
        "names", nargs="+", metavar="NAME", help="name of a network, or a prefix of several: cifar10-cnn"
    )
    sweep.add_argument("--layers", nargs="+")
    sweep.add_argument(
        "--batch", choices=["class", "multi"], default="class", help="each class alone, or all classes mixed"
    )
    sweep.add_argument(
        "--methods",
        nargs="+",
        choices=tuple(METHODS),
        help="default: nmf, or signed for a network that was opened with such layers",
    )
    sweep.add_argument(
        "--operation", choices=["compress", "ablate"], default="compress", help="keep k directions, or remove them"
    )
    sweep.add_argument("--per-class", type=int, default=20, help="samples per batch (default: 20)")
    sweep.add_argument("--grid", default="full", help="full (the default) or coarse ranks")
    sweep.add_argument("--solver", default="hals")
    sweep.add_argument(
        "--scheduler", default="local", help="local (the default), or a Dask scheduler's tcp://host:port"
    )
    sweep.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    sweep.add_argument("--csv", type=Path, help="write one row per curve to this file")
    sweep.set_defaults(run=_sweep)


def _sweep(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.jobs.cache import CurveCache
    from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest, profile_requests
    from nmfdiag.jobs.sweep import sweep
    from nmfdiag.measures.curve import CompressionCurve
    from nmfdiag.views.curve_tables import auc_table, profile_table
    from nmfdiag.zoo.registry import entries

    zoo = entries()
    names = {name for name in arguments.names if name in zoo}  # a full name is not a prefix of others
    prefixes = tuple(set(arguments.names) - names)
    selected = [entry for name, entry in zoo.items() if name in names or name.startswith(prefixes)]
    unknown_names = [prefix for prefix in arguments.names if not any(name.startswith(prefix) for name in zoo)]
    if unknown_names:
        raise NmfdiagError(f"No network's name begins with {unknown_names[0]!r}: available are {', '.join(zoo)}.")
    requests = [
        request
        for entry in selected
        for request in profile_requests(
            entry,
            layers=arguments.layers,
            classes=[MULTI_CLASS] if arguments.batch == "multi" else None,
            methods=arguments.methods or [entry.method],
            per_class=arguments.per_class,
            grid=arguments.grid,
            solver=arguments.solver,
            operation=arguments.operation,
        )
    ]
    cache = CurveCache()
    answers = sweep(requests, cache, scheduler=arguments.scheduler, device=arguments.device)
    answered: dict[CurveRequest, Any] = {}
    failure = ""
    try:
        for request, answer in tqdm(answers, total=len(requests), unit="curve", file=sys.stderr):
            answered[request] = answer
    except NmfdiagError as error:  # the scheduler, or its last worker
        if not answered:
            raise
        failure = str(error)
    if cache.notice:
        say(f"nmfdiag: {cache.notice}")
    in_order = [(request, answered[request]) for request in dict.fromkeys(requests) if request in answered]
    curves = {request: answer for request, answer in in_order if isinstance(answer, CompressionCurve)}
    errors = {str(answer) for _, answer in in_order if not isinstance(answer, CompressionCurve)}
    if curves and arguments.csv:
        _write_csv(profile_table(curves, zoo), arguments.csv)
    if failure:
        csv_text = f", and in {arguments.csv}" if curves and arguments.csv else ""
        raise NmfdiagError(f"{failure} {len(curves)} of {len(requests)} curves are finished{csv_text}.")
    if not curves:
        raise NmfdiagError(f"No curve could be computed: {'; '.join(sorted(errors))}")
    table = auc_table(curves, zoo)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    record = {"curves": len(curves), "errors": sorted(errors), "auc": rows}
    text = table.to_string(index=False, float_format="{:.3f}".format, na_rep="?")
    return OK, record, "\n".join([text, *sorted(errors)])


def _write_csv(table: "pd.DataFrame", path: Path) -> None:
    """Write a table to a temporary file and rename it, so that a reader gets all of the old one or of the new one."""
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        table.to_csv(path, index=False)
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        table.to_csv(part, index=False)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
