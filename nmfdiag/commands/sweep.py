"""``sweep``, ``record``, ``evidence``: many networks, declared experiments, and what those say."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.commands.outcome import OK, Commands, Outcome, progress_bar, say
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.methods import METHODS

if TYPE_CHECKING:
    import pandas as pd


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    sweep = commands.add_parser("sweep", parents=[common], help="AuC of many networks; goes on where it was stopped")
    sweep.add_argument("names", nargs="+", metavar="NAME", help="a network, or the beginning of several: cifar10-cnn")
    sweep.add_argument("--layers", nargs="+")
    sweep.add_argument("--batch", choices=["class", "multi"], default="class", help="each class alone, or all mixed")
    sweep.add_argument(
        "--methods",
        nargs="+",
        choices=tuple(METHODS),
        help="default nmf; signed of a network that was opened with such layers",
    )
    sweep.add_argument(
        "--operation", choices=["compress", "ablate"], default="compress", help="keep k directions, or remove them"
    )
    sweep.add_argument("--per-class", type=int, default=20, help="samples a batch")
    sweep.add_argument("--grid", default="full", help="full (the default) or coarse ranks")
    sweep.add_argument("--solver", default="hals")
    sweep.add_argument(
        "--scheduler", default="local", help="local (the default), or a Dask scheduler's tcp://host:port"
    )
    sweep.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    sweep.add_argument("--csv", type=Path, help="write one row a curve to this file")
    sweep.set_defaults(run=_sweep)

    recorded = commands.add_parser(
        "record", parents=[common], help="run a declared experiment and record it; goes on where it was stopped"
    )
    recorded.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        help="generalization, data-size, early-stopping, few-shot, curves or batch-sizes",
    )
    recorded.add_argument("--only", nargs="+", default=[], metavar="NAME", help="beginnings of the networks' names")
    recorded.add_argument("--data", help="folder of the data sets (default: $NMFDIAG_DATA, else data/)")
    recorded.add_argument("--download", action="store_true", help="let torchvision download what is missing")
    recorded.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    recorded.add_argument("--out", type=Path, default=Path("recorded"), help="folder of the records")
    recorded.set_defaults(run=_record)

    evidence = commands.add_parser("evidence", parents=[common], help="which of the paper's claims hold on our records")
    evidence.add_argument("--markdown", action="store_true", help="print the table of the reproduction log")
    evidence.set_defaults(run=_evidence)


def _sweep(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.jobs.cache import CurveCache
    from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest, profile_requests
    from nmfdiag.jobs.sweep import sweep
    from nmfdiag.measures.curve import CompressionCurve
    from nmfdiag.views.curve_tables import auc_table, profile_table
    from nmfdiag.zoo.registry import entries

    zoo = entries()
    exact = tuple(start for start in arguments.names if start in zoo)  # the name of one is not the beginning of others
    starts = tuple(start for start in arguments.names if start not in zoo)
    chosen = [entry for name, entry in zoo.items() if name in exact or name.startswith(starts)]
    unknown = [start for start in arguments.names if not any(name.startswith(start) for name in zoo)]
    if unknown:
        raise NmfdiagError(f"No network's name begins with {unknown[0]!r}: there are {', '.join(zoo)}.")
    requests = [
        request
        for entry in chosen
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
    lost = ""
    try:
        for request, answer in tqdm(answers, total=len(requests), unit="curve", file=sys.stderr):
            answered[request] = answer
    except NmfdiagError as error:  # the scheduler, or its last worker
        if not answered:
            raise
        lost = str(error)
    if cache.notice:
        say(f"nmfdiag: {cache.notice}")
    in_order = [(request, answered[request]) for request in dict.fromkeys(requests) if request in answered]
    curves = {request: answer for request, answer in in_order if isinstance(answer, CompressionCurve)}
    errors = {str(answer) for _, answer in in_order if not isinstance(answer, CompressionCurve)}
    if curves and arguments.csv:
        _write_csv(profile_table(curves, zoo), arguments.csv)
    if lost:
        written = f", and in {arguments.csv}" if curves and arguments.csv else ""
        raise NmfdiagError(f"{lost} {len(curves)} of {len(requests)} curves are finished{written}.")
    if not curves:
        raise NmfdiagError(f"No curve could be computed: {'; '.join(sorted(errors))}")
    table = auc_table(curves, zoo)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    record = {"curves": len(curves), "errors": sorted(errors), "auc": rows}
    return (
        OK,
        record,
        "\n".join([table.to_string(index=False, float_format="{:.3f}".format, na_rep="?"), *sorted(errors)]),
    )


def _write_csv(table: "pd.DataFrame", path: Path) -> None:
    """Write a table aside and rename it: whoever reads the file has all of the old one or of the new one."""
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        table.to_csv(path, index=False)
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        table.to_csv(aside, index=False)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _record(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.evidence.batch_sizes import record_batch_sizes
    from nmfdiag.evidence.curve_records import record_curves
    from nmfdiag.evidence.record_experiments import record
    from nmfdiag.jobs.compute import resolve

    device = resolve(arguments.device)
    with progress_bar("{percentage:3.0f}% |{bar}| {elapsed}<{remaining} {desc}") as show:
        options: dict[str, Any] = {"device": device, "on_step": lambda words, done: show(done, words)}
        if arguments.experiment == "batch-sizes":
            done = [record_batch_sizes(arguments.out, **options).stem]
        elif arguments.experiment == "curves":
            done = record_curves(arguments.out, only=arguments.only, **options)
        else:
            options |= {"only": arguments.only, "root": arguments.data, "download": arguments.download}
            done = record(arguments.experiment, arguments.out, **options)
    return OK, {"recorded": done, "folder": str(arguments.out)}, f"{len(done)} recorded in {arguments.out}."


def _evidence(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.evidence.claims import findings
    from nmfdiag.views.evidence import claims_markdown, claims_table, evidence_answer

    found = findings()
    lines = [f"{c.figure:6} {f.verdict} ({f.counted}): {c.claim}\n       {f.measured}" for c, f in found.items()]
    text = claims_markdown(found) if arguments.markdown else "\n".join([*lines, evidence_answer(found)])
    return OK, claims_table(found).to_dict("records"), text
