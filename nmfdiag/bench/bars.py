"""The goals of the benchmark as data, and the verdicts on its results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from nmfdiag.bench.table import NAN, Row

BAR_COLUMNS = ("bar", "measured", "must", "moonshot", "reached", "note")
TALL_ROWS = 800
"""Rows from which a matrix counts as tall."""
N_SHAPES = 5
Facts = Mapping[str, float]


@dataclass(frozen=True)
class BarValue:
    """A measured number, a note on it, whether the quality gate held, and whether everything was run that the bar covers."""

    value: float
    note: str = ""
    good: bool = True
    complete: bool = True


@dataclass(frozen=True)
class Bar:
    """A goal. ``must`` and ``moonshot`` are None for a number that is only reported; ``unit`` follows it.

    ``measure`` computes the number from the rows and facts of a run, or None if the run did not measure it.
    """

    name: str
    must: float | None
    moonshot: float | None
    measure: Callable[[Sequence[Row], Facts], BarValue | None]
    more_is_better: bool = True
    device: str = "cpu"
    unit: str = "x"

    def verdict(self, bar_value: BarValue | None) -> str:
        """Return ``moonshot``, ``must``, ``missed``, ``gate failed``, ``not judged`` or ``not measured``; empty without a goal."""
        if bar_value is None or bar_value.value != bar_value.value:
            return "not measured"
        if self.must is None:
            return ""
        if not bar_value.complete:
            return "not judged"
        sign = 1 if self.more_is_better else -1
        if sign * bar_value.value < sign * self.must:
            return "missed"
        if not bar_value.good:
            return "gate failed"
        return "moonshot" if self.moonshot is not None and sign * bar_value.value >= sign * self.moonshot else "must"


@dataclass(frozen=True)
class Judged:
    """A bar with its measured value and the verdict."""

    bar: Bar
    measured: BarValue | None
    reached: str

    def to_record(self) -> dict[str, object]:
        """Return a row over :data:`BAR_COLUMNS`."""
        return {
            "bar": self.bar.name,
            "measured": self.measured.value if self.measured else NAN,
            "must": NAN if self.bar.must is None else self.bar.must,
            "moonshot": NAN if self.bar.moonshot is None else self.bar.moonshot,
            "reached": self.reached,
            "note": self.measured.note if self.measured else "",
        }


def judge_bars(rows: Sequence[Row], facts: Facts, device: str, quick: bool = False) -> list[Judged]:
    """Judge a run by every bar of its device; the small matrices of a quick run aren't judged."""
    bars = [bar for bar in BARS if bar.device in (device, "any")]
    values = [(bar, bar.measure(rows, facts)) for bar in bars]
    if quick:
        values = [(bar, replace(value, complete=False) if value else None) for bar, value in values]
    return [Judged(bar, value, bar.verdict(value)) for bar, value in values]


def _speedup_over(
    slower: str, faster: str = "hals", layer: str = "", section: str = "peers"
) -> Callable[[Sequence[Row], Facts], BarValue | None]:
    """Return a measure of ``slower``'s time over ``faster``'s, summed over the cases that both ran (or one layer's)."""

    def measure(rows: Sequence[Row], _facts: Facts) -> BarValue | None:
        section_rows = [
            r for r in rows if r.section == section and r.repeats and r.n_ranks != 1 and r.case.startswith(layer)
        ]
        ours_by_case = {r.case: r for r in section_rows if r.solver == faster}
        theirs = {r.case: r for r in section_rows if r.solver == slower and r.case in ours_by_case}
        if not theirs:
            return None
        failed = [case for case, row in theirs.items() if row.gate == "fail"]
        seconds = sum(row.seconds for row in theirs.values()), sum(ours_by_case[case].seconds for case in theirs)
        notes = [f"{seconds[0]:.3g} s against {seconds[1]:.3g} s"]
        complete = section != "peers" or bool(layer) or len(theirs) == N_SHAPES
        if not complete:
            notes.append(f"only {len(theirs)} of five shapes")
        if failed:
            notes.append(f"the quality gate fails at {', '.join(failed)}")
        return BarValue(seconds[0] / seconds[1], "; ".join(notes), not failed, complete)

    return measure


def _slowest_share(rows: Sequence[Row], facts: Facts) -> BarValue | None:
    """Measure the smallest share of the rate of matrix products among the tall matrices, in percent."""
    heights = {row.case: row.rows for row in rows if row.solver == "gemm"}
    shares = {case: facts[f"share of gemm: {case}"] for case, n in heights.items() if n >= TALL_ROWS}
    if not shares:
        return None
    return BarValue(100 * min(shares.values()), ", ".join(f"{case} {share:.0%}" for case, share in shares.items()))


def _extreme_fact(
    prefix: str, pick: Callable[[Iterable[float]], float] = max
) -> Callable[[Sequence[Row], Facts], BarValue | None]:
    """Return a measure of the largest (or smallest) of the facts with a name prefix."""

    def measure(_rows: Sequence[Row], facts: Facts) -> BarValue | None:
        matching = {name: value for name, value in facts.items() if name.startswith(prefix)}
        notes = (f"{name.split(': ')[1]} {value:.3g}" for name, value in matching.items() if ": " in name)
        return BarValue(pick(matching.values()), ", ".join(notes)) if matching else None

    return measure


BARS: tuple[Bar, ...] = (
    Bar("five shapes against scikit-learn cd", 15, 40, _speedup_over("sklearn_cd")),
    Bar("five shapes against scikit-learn mu", 5, 15, _speedup_over("sklearn_mu")),
    Bar("five shapes against DFF's multiplicative updates", 7, 20, _speedup_over("dff_mu")),
    Bar("five shapes against torchnmf", None, None, _speedup_over("torchnmf")),
    Bar("51200x64 against scikit-learn cd", 25, 50, _speedup_over("sklearn_cd", layer="conv1 ")),
    Bar("12800x128 against scikit-learn cd", 18, 45, _speedup_over("sklearn_cd", layer="conv2 ")),
    Bar("3200x256 against scikit-learn cd", 8, 20, _speedup_over("sklearn_cd", layer="conv3 ")),
    Bar("800x512 against scikit-learn cd", 4, 10, _speedup_over("sklearn_cd", layer="conv4 ")),
    Bar("50x512 against scikit-learn cd", 2, 8, _speedup_over("sklearn_cd", layer="fc1 ")),
    Bar("stacked ranks against one call a rank", 1.3, 2, _speedup_over("hals_looped")),
    Bar("share of the rate of matrix products, rows >= 800", 55, 90, _slowest_share, unit=" %"),
    Bar("whole layer curves against the naive way", 8, 20, _speedup_over("naive", "ours", "curve", "curves")),
    Bar("full profile of a zoo CNN against the naive way", 8, None, _speedup_over("naive", "ours", "profile", "curves")),
    Bar(
        "AuC of that profile less the naive way's, layer means",
        0.02, None, _extreme_fact("AuC difference of layers: profile"), more_is_better=False, unit="",
    ),
    Bar("AuC of that profile less the naive way's, single curves", None, None, _extreme_fact("AuC difference of curves: profile"), unit=""),
    # The moonshot means no copy of A at all: the factors of the eleven ranks alone take 1.45 GiB.
    Bar("memory above A, 2.5 million rows", 4, 1.6, _extreme_fact("GiB above A"), more_is_better=False, unit=" GiB"),
    Bar("AuC at the default tolerance less that at 1e-6", 0.005, None, _extreme_fact("AuC against"), more_is_better=False, unit=""),
    Bar("GPU: five shapes, 10 classes, against torchnmf", 10, 50, _speedup_over("torchnmf"), device="cuda"),
    Bar("GPU: five shapes, 10 classes, against DFF's updates", 10, 50, _speedup_over("dff_mu"), device="cuda"),
    Bar("VGG-19 at 224, all ranks, against DFF's updates", None, None, _speedup_over("dff_mu", section="runtime")),
    Bar("exponent of rows", None, None, _extreme_fact("exponent of rows"), unit=""),
    Bar("exponent of channels", None, None, _extreme_fact("exponent of channels"), unit=""),
    Bar("exponent of one rank", None, None, _extreme_fact("exponent of rank"), unit=""),
    Bar("exponent of the number of ranks", None, None, _extreme_fact("exponent of number of ranks"), unit=""),
    Bar("two threads against one, wall", None, None, _extreme_fact("2 threads", min)),
    Bar("memory bandwidth", None, None, _extreme_fact("memory bandwidth"), unit=" GB/s"),
)  # fmt: skip
