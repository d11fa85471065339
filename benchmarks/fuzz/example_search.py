"""Draw examples for a target until there are enough or its time is over; a finding is reported with its example."""

import math
import os
import random
import shutil
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from strategies import TRAP_FILE
from targets import Target

from nmfdiag.errors import NO_TEXT, NmfdiagError

BATCH_SIZE, LONGEST_SECONDS = 100, 20


@dataclass
class Report:
    """Results of one target: number of examples, how many were refused by a named error, and findings."""

    name: str
    examples: int = 0
    refused: int = 0
    seconds: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)


class Finished(BaseException):
    """Enough examples were run, or the time is over."""


def fuzz(target: Target, *, examples: float = math.inf, seconds: float = math.inf, first_seed: int = 0) -> Report:
    """Run a target on a number of examples, or for some seconds.

    Args:
        target: The parser.
        examples: At most this many, the same each time.
        seconds: At most this long; one example is run in any case.
        first_seed: Seed of the first hundred examples; the next hundred have the next seed.
    """
    report, start = Report(target.name), time.monotonic()
    working_folder = Path.cwd()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outside = Path(name)
        os.chdir(outside)
        try:
            for number in range(first_seed, first_seed + 10**9):
                _try_batch(target, report, outside, number, examples, start + seconds)
        except Finished:
            pass
        finally:
            os.chdir(working_folder)
    report.seconds = time.monotonic() - start
    return report


def _try_batch(target: Target, report: Report, outside: Path, number: int, max_examples: float, end: float) -> None:
    @seed(number)
    @settings(
        max_examples=BATCH_SIZE,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.strategy)
    def examples(value: object) -> None:
        if report.examples >= max_examples or (
            report.examples and time.monotonic() > end
        ):  # the first may take a while to be drawn
            raise Finished
        folder = outside / "folder"
        folder.mkdir()
        report.examples += 1
        began = time.process_time()
        try:
            target.run(value, folder)
        except NmfdiagError as error:
            report.refused += 1
            if NO_TEXT.search(str(error)):
                _note_finding(report, "a message that can't be printed", value)
        except Finished:
            raise
        except BaseException as error:  # a finding is whatever a caller is not told of
            place = traceback.extract_tb(error.__traceback__)[-1]
            _note_finding(
                report,
                f"{type(error).__name__} in {Path(place.filename).name}, {place.name}: {str(error)[:100]}",
                value,
            )
        if time.process_time() - began > LONGEST_SECONDS:
            _note_finding(report, f"more than {LONGEST_SECONDS} s of the processor", value)
        shutil.rmtree(folder)
        if list(outside.iterdir()):
            ran = (outside / TRAP_FILE).exists()
            _note_finding(
                report, "code was run" if ran else f"written outside: {[p.name for p in outside.iterdir()]}", value
            )
            for path in outside.iterdir():
                path.unlink()

    random_state = random.getstate()
    examples()
    random.setstate(random_state)


def _note_finding(report: Report, finding: str, value: object) -> None:
    report.findings.setdefault(finding, repr(value)[:2000])
