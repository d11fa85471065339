"""The whole benchmark: runs the sections and makes the table, verdicts and files."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nmfdiag.bench.bars import BAR_COLUMNS, Judged, judge_bars
from nmfdiag.bench.bench_network import Say
from nmfdiag.bench.cases import Options
from nmfdiag.bench.naive_curves import curves_section
from nmfdiag.bench.peak_memory import memory_section
from nmfdiag.bench.peer_comparison import peers_section
from nmfdiag.bench.scaling import scaling_section
from nmfdiag.bench.strict_tolerance import truth_section
from nmfdiag.bench.table import (
    KEPT_PREFIXES,
    RESULT_COLUMNS,
    Row,
    Section,
    results_folder,
    this_machine,
    to_records,
    write_csv,
)
from nmfdiag.bench.vgg19 import runtime_section
from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize.threads import subnormals
from nmfdiag.jobs.compute import devices
from nmfdiag.jobs.timer import threads

SECTIONS: dict[str, Callable[[Options, Say], Section]] = {
    "peers": peers_section,
    "curves": curves_section,
    "scaling": scaling_section,
    "memory": memory_section,
    "truth": truth_section,
    "runtime": runtime_section,
}
ON_THE_CPU_ONLY = ("memory",)
WIDTH = 180
"""Characters of a line in the terminal, at most."""
RESULTS_FILE, BARS_FILE, PLOT_FILE = "results.csv", "bars.csv", "bench.html"


@dataclass(frozen=True)
class Report:
    """A finished benchmark: its rows, its verdicts, the machine, and the seconds that it took."""

    rows: list[Row]
    facts: dict[str, float]
    bars: list[Judged]
    machine: dict[str, str]
    seconds: float

    def to_record(self) -> dict[str, Any]:
        """Return the report in plain values, NaN as None."""
        rows = [{k: _plain(v) for k, v in record.items()} for record in to_records(self.rows, self.machine)]
        bars = [{k: _plain(v) for k, v in judged.to_record().items()} for judged in self.bars]
        facts = {name: _plain(value) for name, value in self.facts.items()}
        return {"bars": bars, "facts": facts, "rows": rows, "machine": self.machine, "seconds": round(self.seconds, 1)}


def run(options: Options, say: Say = lambda text: None) -> Report:
    """Run the requested sections, with one thread except where threads are measured.

    Args:
        options: Sections and settings.
        say: Called with progress messages.

    Raises:
        NmfdiagError: If a section, a shape or the device is unknown, or there are no repeats.
    """
    unknown_sections = sorted(set(options.only) - set(SECTIONS))
    if unknown_sections:
        raise NmfdiagError(f"Unknown section {unknown_sections[0]!r}: accepted are {', '.join(SECTIONS)}.")
    if options.repeats < 1:
        raise NmfdiagError(f"The benchmark needs at least 1 repeat, got {options.repeats}.")
    if options.device not in devices():
        raise NmfdiagError(f"This machine has no device {options.device!r}: accepted are {', '.join(devices())}.")
    start = time.perf_counter()
    machine = this_machine(options.device)
    rows: list[Row] = []
    facts: dict[str, float] = {}
    with threads(1), subnormals(keep=False):
        for name, section in SECTIONS.items():
            if name in options.only and (options.device == "cpu" or name not in ON_THE_CPU_ONLY):
                result = section(options, say)
                rows += result.rows
                facts |= result.facts
    bars = judge_bars(rows, facts, options.device, options.quick)
    return Report(rows, facts, bars, machine, time.perf_counter() - start)


def save(report: Report, out: Path, options: Options) -> list[Path]:
    """Write the table, the verdicts and the plot to a folder, and the tables to the cache folder, too.

    Returns:
        The files in ``out``.
    """
    from nmfdiag.bench.plot import draw_report

    records = to_records(report.rows, report.machine)
    bars = [judged.to_record() for judged in report.bars]
    full, part, quick = KEPT_PREFIXES
    kind = quick if options.quick else full if "peers" in options.only else part
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for path in (out / RESULTS_FILE, results_folder() / f"{kind}-{stamp}.csv"):
        write_csv(path, RESULT_COLUMNS, records)
    for path in (out / BARS_FILE, results_folder() / f"bars-{kind}-{stamp}.csv"):
        write_csv(path, BAR_COLUMNS, bars)
    draw_report(report.rows, report.machine).write_html(out / PLOT_FILE, include_plotlyjs=True)
    return [out / RESULTS_FILE, out / BARS_FILE, out / PLOT_FILE]


def to_text(report: Report) -> str:
    """Return the report as text: a table of the runs, then the bars."""
    lines = [f"{'case':36} {'solver':12} {'CPU s':>9} {'wall s':>9} {'spread':>17} {'error':>7} {'gate':>5}  note"]
    for row in report.rows:
        spread = f"{row.cpu_min:.3g} .. {row.cpu_max:.3g}" if row.repeats else ""
        numbers = [f"{v:9.3f}" if v == v else f"{'-':>9}" for v in (row.cpu_seconds, row.wall_seconds)]
        error = f"{row.mean_relative_error:7.4f}" if row.mean_relative_error == row.mean_relative_error else f"{'':7}"
        note = f"{row.gflops:.1f} GFLOP/s; {row.note}" if row.gflops == row.gflops else row.note
        line = f"{row.case:36} {row.solver:12} {' '.join(numbers)} {spread:>17} {error} {row.gate:>5}  {note}"
        lines.append(shorten(line, WIDTH))
    lines += ["", f"{'bar':58} {'measured':>13} {'must':>7} {'moonshot':>8}  verdict"]
    for judged in report.bars:
        bar, bar_value = judged.bar, judged.measured
        value = f"{bar_value.value:.3g}{bar.unit}" if bar_value and bar_value.value == bar_value.value else "-"
        goals = [f"{goal:g}" if goal is not None else "" for goal in (bar.must, bar.moonshot)]
        note = f" ({bar_value.note})" if bar_value and bar_value.note else ""
        lines.append(f"{bar.name:58} {value:>13} {goals[0]:>7} {goals[1]:>8}  {judged.reached}{note}")
    machine = ", ".join(f"{key} {value}" for key, value in report.machine.items() if value)
    return "\n".join([*lines, "", machine, f"{report.seconds:.0f} s in total"])


def shorten(text: str, width: int) -> str:
    """Return the text, or its beginning and an ellipsis; the table in the file is complete."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and value != value else value
