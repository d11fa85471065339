"""``bench``: the engine timed against its peers."""

import argparse
from pathlib import Path

from nmfdiag.commands.outcome import OK, Commands, Outcome, say


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    bench = commands.add_parser("bench", parents=[common], help="time the engine against its peers on real activations")
    bench.add_argument(
        "--only", nargs="+", metavar="SECTION", help="peers, curves, scaling, memory, truth or runtime (default: all)"
    )
    bench.add_argument("--shapes", nargs="+", default=[], metavar="LAYER", help="conv1 to conv4, or fc1 (default: all)")
    bench.add_argument("--repeats", type=int, default=3)
    bench.add_argument("--device", default="cpu", help="cpu (the default), cuda or auto")
    bench.add_argument("--quick", action="store_true", help="use small matrices and few ranks: less than a minute")
    bench.add_argument("--data", help="folder of the data sets (default: $NMFDIAG_DATA, else data/)")
    bench.add_argument("--out", type=Path, default=Path("bench-results"), help="folder of the results")
    bench.set_defaults(run=_bench)


def _bench(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.bench.cases import Options
    from nmfdiag.bench.suite import SECTIONS, run, save, to_text
    from nmfdiag.jobs.compute import resolve

    options = Options(
        only=tuple(arguments.only or SECTIONS),
        shapes=tuple(arguments.shapes),
        repeats=arguments.repeats,
        device=resolve(arguments.device),
        quick=arguments.quick,
        data=arguments.data,
    )
    report = run(options, say=say)
    paths = save(report, arguments.out, options)
    files_text = f"Written: {', '.join(map(str, paths))}"
    return OK, {**report.to_record(), "files": [str(path) for path in paths]}, f"{to_text(report)}\n{files_text}"
