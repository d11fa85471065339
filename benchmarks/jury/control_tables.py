"""Print what the controls that ``controls.py`` measured tell of the test accuracy: ``python benchmarks/jury/control_tables.py OUT``, as Markdown.

*Error* is the mean absolute error of predicting the test accuracy of a data set's networks from all other data sets' networks: by a line, by an isotonic curve, by their
mean; *best plain* the least such error of a plain control on the same networks. The fit is the same for all columns: those of p = 0 are its errors on networks with
right labels.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from controls import lines_of

FEWEST = 4
"""Networks below which nothing is fitted to them."""


def difference(minuend: float | None, subtrahend: float | None) -> float | None:
    """Return the difference; None where a value is missing."""
    return None if minuend is None or subtrahend is None else minuend - subtrahend


def place(network: float | None, copied: float | None) -> float | None:
    """Return where a network lies between its memorising copy (0) and a perfect one (1); None where the copy is perfect."""
    if network is None or copied is None or copied > 1 - 1e-9:
        return None
    return (network - copied) / (1 - copied)


PLAIN: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
    "moved copies": lambda line: line["plain"]["moved"],
    "probe of all layers": lambda line: line["plain"]["probe"],
    "first layer's probe": lambda line: line["plain"]["first_probe"],
}
CONTROLS: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
    **PLAIN,
    "(a) halves: trusted - suspected": lambda line: difference(line.get("auc_trusted"), line.get("auc_suspected")),
    "(a) suspected half's AuC": lambda line: line.get("auc_suspected"),
    "(b) given - answered": lambda line: difference(line.get("auc_given"), line.get("auc_answered")),
    "(b) answered batches' AuC": lambda line: line.get("auc_answered"),
    "(c) AuC, unsaturated layers": lambda line: line.get("auc"),
    "(c) AuC, all layers": lambda line: line.get("auc_all_layers"),
    "(d) AuC - copy's": lambda line: difference(line.get("auc"), line.get("auc_copy")),
    "(d) AuC, place": lambda line: place(line.get("auc"), line.get("auc_copy")),
    "(d) moved copies - copy's": lambda line: difference(line["plain"]["moved"], line["copy"]["moved"]),
    "(d) moved copies, place": lambda line: place(line["plain"]["moved"], line["copy"]["moved"]),
    "(d) probe - copy's": lambda line: difference(line["plain"]["probe"], line["copy"]["probe"]),
    "(d) probe, place": lambda line: place(line["plain"]["probe"], line["copy"]["probe"]),
}


def left_out_errors(x: np.ndarray, y: np.ndarray, datasets: np.ndarray, model: str) -> np.ndarray:
    """Return the absolute errors (n,) of predicting y (n,) from x (n,) by the other data sets' ``"line"``, ``"isotonic"`` curve or ``"constant"``; NaN where they are too few."""
    from sklearn.isotonic import IsotonicRegression

    predicted = np.full(len(y), np.nan)
    for dataset in np.unique(datasets):
        is_out = datasets == dataset
        x_in, y_in = x[~is_out], y[~is_out]
        if len(y_in) < FEWEST:
            continue
        if model == "constant" or np.ptp(x_in) == 0:
            predicted[is_out] = y_in.mean()
        elif model == "line":
            predicted[is_out] = np.polyval(np.polyfit(x_in, y_in, 1), x[is_out])
        else:
            is_rising = bool(np.corrcoef(x_in, y_in)[0, 1] >= 0)
            curve = IsotonicRegression(increasing=is_rising, out_of_bounds="clip")
            predicted[is_out] = curve.fit(x_in, y_in).predict(x[is_out])
    return np.abs(predicted.clip(0, 1) - y)


def correlations(x: np.ndarray, y: np.ndarray) -> list[str]:
    """Return Pearson's r and Spearman's as text; a dash where one is not defined."""
    from scipy.stats import pearsonr, spearmanr

    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return ["-", "-"]
    return [f"{float(coefficient(x, y).statistic):.2f}" for coefficient in (pearsonr, spearmanr)]


def mean_text(values: np.ndarray) -> str:
    """Return a mean as text; a dash where it is not defined."""
    return f"{values.mean():.3f}" if len(values) and not np.isnan(values).any() else "-"


def markdown(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return two tables: what each control tells of the test accuracy, and Spearman within data sets."""
    all_datasets = sorted({line["dataset"] for line in lines})
    columns = [
        "control",
        *("n", "r", "Spearman", "error: line, isotonic, constant", "best plain"),
        *("p = 0: n", "r", "Spearman", "error", "best plain"),
    ]
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    within_rows = ["| control | " + " | ".join(all_datasets) + " |", "|---" * (len(all_datasets) + 1) + "|"]
    for name, control in CONTROLS.items():
        kept_lines = [line for line in lines if control(line) is not None]
        if not kept_lines:
            continue
        x, y = np.array([(control(line), line["test_accuracy"]) for line in kept_lines], float).T
        datasets, is_right = (np.array([line[key] for line in kept_lines]) for key in ("dataset", "p"))
        is_right = is_right == 0
        errors = {model: left_out_errors(x, y, datasets, model) for model in ("line", "isotonic", "constant")}
        plain_errors = [
            left_out_errors(np.array([measure_of(line) for line in kept_lines], float), y, datasets, model)
            for measure_of in PLAIN.values()
            if all(measure_of(line) is not None for line in kept_lines)
            for model in ("line", "isotonic")
        ]
        best_errors = min(plain_errors, key=lambda values: float(values.mean()))
        cells = [name]
        for is_row, models in (
            (np.full(len(x), True), ("line", "isotonic", "constant")),
            (is_right, ("line", "isotonic")),
        ):
            cells += [str(is_row.sum()), *correlations(x[is_row], y[is_row])]
            cells += [", ".join(mean_text(errors[model][is_row]) for model in models), mean_text(best_errors[is_row])]
        rows.append(f"| {' | '.join(cells)} |")
        cells = [
            f"{correlations(x[datasets == dataset], y[datasets == dataset])[1]} ({(datasets == dataset).sum()})"
            for dataset in all_datasets
        ]
        within_rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*rows, "", *within_rows])


if __name__ == "__main__":
    lines_path = Path(sys.argv[1] if len(sys.argv) == 2 else "") / "controls.jsonl"
    if len(sys.argv) != 2 or not lines_path.exists():
        sys.exit("Usage: python benchmarks/jury/control_tables.py OUT, where OUT/controls.jsonl is.")
    print(markdown(lines_of(lines_path)))
