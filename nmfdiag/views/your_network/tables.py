"""Tables of the page *Your network*: what the check found, and the diagnosis by layer."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from nmfdiag.diagnosis.comparison import Comparison
from nmfdiag.diagnosis.diagnose import Diagnosis
from nmfdiag.zoo.registry import ZooEntry


def check_tables(entry: ZooEntry, check: Mapping[str, Any]) -> list[pd.DataFrame]:
    """What was opened, the layers to measure, what is left out and why, and the classes; those of them that there are."""
    found = check.get("preflight", {})
    what = (check.get("provenance") or entry.trained_with).items()
    tables = [
        pd.DataFrame(what, columns=["what", "value"]),
        layer_table(found),
        pd.DataFrame(found.get("skipped", {}).items(), columns=["left out", "why"]),
        class_table(found, entry.class_names),
    ]
    return [table for table in tables if len(table)]


def layer_table(found: Mapping[str, Any]) -> pd.DataFrame:
    """The layers that can be measured, from input to output."""
    names = {"name": "layer", "kind": "activation", "width": "channels", "rows": "rows of the largest batch"}
    return pd.DataFrame(found.get("layers", ()), columns=list(names)).rename(columns=names)


def class_table(found: Mapping[str, Any], names: Sequence[str]) -> pd.DataFrame:
    """Samples and accuracy of every class, the least right first."""
    right = found.get("accuracy_by_class", {})
    rows = [(names[int(c)], n, right.get(c)) for c, n in found.get("batches", {}).items()]
    table = pd.DataFrame(rows, columns=["class", "samples a batch", "right by their given label"])
    return table.sort_values("right by their given label", kind="stable")


def depth_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """AuC by layer with its 95 % interval, and the range of the reference networks there."""
    beside = {at.layer: at for at in diagnosis.comparison.layers} if diagnosis.comparison else {}
    rows = []
    for layer, at in diagnosis.profile.auc_by_layer(diagnosis.method).items():
        row: dict[str, Any] = {
            "layer": layer,
            "AuC": at.mean,
            "± (95 %)": at.half_width if at.n > 1 else None,
            "classes": at.n,
        }
        if layer in beside:
            for group in ("clean", "random"):
                row[f"lowest reference, {group} labels"], row[f"highest, {group} labels"] = getattr(
                    beside[layer], group
                )
        rows.append(row)
    return pd.DataFrame(rows)


def reference_table(comparison: Comparison) -> pd.DataFrame:
    """The reference networks, and their mean AuC over all layers."""
    rows = [
        {
            "network": r.network,
            "data set": r.dataset,
            "architecture": r.arch,
            "p": r.p,
            "mean AuC": r.auc["linear"],
            "± (standard error)": r.error["linear"],
        }
        for r in sorted(comparison.references, key=lambda r: (r.p, -r.auc["linear"]))
    ]
    return pd.DataFrame(rows)
