"""Draw examples for a target until there are enough, or its time is over; a finding is told with the example that shows it."""

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

from drawing import RAN
from hypothesis import HealthCheck, Phase, given, seed, settings
from targets import Target

from nmfdiag.errors import NO_TEXT, NmfdiagError

AT_ONCE, LONGEST_SECONDS = 100, 20


@dataclass
class Found:
    """What came of a target: examples, how many of them were refused by a named error, and what should not have happened."""

    name: str
    examples: int = 0
    refused: int = 0
    seconds: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)


class Over(BaseException):
    """The time is, or there are enough examples."""


def fuzz(target: Target, *, examples: float = math.inf, seconds: float = math.inf, first_seed: int = 0) -> Found:
    """Try a target on so many examples, or for some seconds.

    Args:
        target: What.
        examples: How many at most. They are the same each time.
        seconds: How long at most; one example is tried whatever time it takes.
        first_seed: Of the examples; the next hundred have the next one.
    """
    found, began = Found(target.name), time.monotonic()
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outside = Path(name)
        os.chdir(outside)
        try:
            for number in range(first_seed, first_seed + 10**9):
                _some(target, found, outside, number, examples, began + seconds)
        except Over:
            pass
        finally:
            os.chdir(here)
    found.seconds = time.monotonic() - began
    return found


def _some(target: Target, found: Found, outside: Path, number: int, most: float, end: float) -> None:
    @seed(number)
    @settings(
        max_examples=AT_ONCE,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.drawn)
    def examples(drawn: object) -> None:
        if found.examples >= most or (
            found.examples and time.monotonic() > end
        ):  # the first may take a while to be drawn
            raise Over
        folder = outside / "folder"
        folder.mkdir()
        found.examples += 1
        began = time.process_time()
        try:
            target.run(drawn, folder)
        except NmfdiagError as error:
            found.refused += 1
            if NO_TEXT.search(str(error)):
                _note(found, "a message that can't be printed", drawn)
        except Over:
            raise
        except BaseException as error:  # a finding is whatever a caller is not told of
            place = traceback.extract_tb(error.__traceback__)[-1]
            _note(
                found, f"{type(error).__name__} in {Path(place.filename).name}, {place.name}: {str(error)[:100]}", drawn
            )
        if time.process_time() - began > LONGEST_SECONDS:
            _note(found, f"more than {LONGEST_SECONDS} s of the processor", drawn)
        shutil.rmtree(folder)
        if list(outside.iterdir()):
            ran = (outside / RAN).exists()
            _note(found, "code was run" if ran else f"written outside: {[p.name for p in outside.iterdir()]}", drawn)
            for path in outside.iterdir():
                path.unlink()

    random_state = random.getstate()
    examples()
    random.setstate(random_state)


def _note(found: Found, what: str, drawn: object) -> None:
    found.findings.setdefault(what, repr(drawn)[:2000])
