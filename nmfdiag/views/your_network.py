"""The page *Your network*: what can be opened, the result of the check, and the diagnosis in figures and tables."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from nmfdiag.diagnosis.answer_text import dip_name
from nmfdiag.diagnosis.comparison import Comparison
from nmfdiag.diagnosis.diagnose import Diagnosis
from nmfdiag.diagnosis.report_figures import profile_figure, reference_figure
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.browse import WEIGHTS
from nmfdiag.measures.methods import METHODS
from nmfdiag.networks.architectures import ARCHITECTURES, TORCHVISION_NAMES
from nmfdiag.text import for_code, for_markdown, plural, span
from nmfdiag.views.classes.figures import map_figure
from nmfdiag.views.classes.tables import ClassCurves
from nmfdiag.zoo.recipes import FITTED
from nmfdiag.zoo.registry import ZooEntry, batch_norm_remarks

GUESS = "auto"

NORMALIZATIONS = {
    "auto": "guess: whichever gets most samples right",
    "none": "none: bytes as 0 to 1, other numbers as they are",
    "data": "mean and deviation of these samples, by channel",
    "imagenet": "ImageNet's mean and deviation",
    "half": "−1 to 1",
    "bytes": "0 to 255",
}

ALL_LAYERS = "all"
LAYERS = {GUESS: "ReLUs (all activations, if there are none)", ALL_LAYERS: "all activations, by signed NMF"}
LAYERS_HELP = (
    "The paper's method takes ReLU layers. GELU, SiLU and others can be negative: signed NMF splits them into a positive and a negative "
    "part. Such values are not compared with reference networks."
)

LABELS = "Use the labels that the network was trained on. If they differ from the data set's, as noisy ones do, upload an `.npz` with `x` and `y`."
ACCEPTED = (
    "A checkpoint of one of **torchvision's networks** or of this dashboard's is recognised by its weights. For a network of your own code use the command below, "
    "or record a layer's activations."
)
OWN_CODE = "This page runs no code of yours. On the command line `function` is yours: it returns the network that the weights belong to."
SAMPLES_HELP = (
    "Samples that the network was trained on, prepared as it was trained. An .npz has x (n, c, h, w), (n, h, w) or (n, features) and "
    "y (n,); a zip or folder has one folder of images a class."
)
NORMALIZATION_HELP = (
    "How the inputs were prepared in training. A wrong one shows as a low accuracy on the given labels."
)
TRAIN_SIZE_HELP = (
    "How many samples the network was trained on, of which these are all or some. The answers then say what they are about, and AuC is not "
    "compared where a network has too many parameters for so few samples."
)
WHOLE_NUMBER = re.compile("[0-9]{1,15}|[0-9]{1,3}(,[0-9]{3}){1,4}")
"""A number without or with thousands separators."""
LARGEST_SIZE = 10**12
"""Upper bound of a training-set size that is typed."""
ARCH_HELP = (
    "The tensors' names and shapes say which one it is, and how wide. A network of your own code is opened on the command line: "
    "nmfdiag diagnose --model package.module:factory"
)
WEIGHTS_HELP = (
    f"{', '.join(WEIGHTS)}: tensors by name, also inside the checkpoints of Lightning and of training scripts. Pickled modules and "
    "TorchScript are refused: they would run code."
)
ACTIVATIONS = """An `.npz` of one layer, where the network itself can't be had:

- `activations` (n, channels) or (n, channels, h, w): what the layer gives for n training samples, after its ReLU
- `labels` (n,): their given labels
- `weight` (classes, channels) and, if there is one, `bias` (classes,): the linear layer that answers"""

EXAMPLE = (
    "A small CNN of the zoo on scikit-learn's digits, trained with 60 % random labels, packaged just as you would upload yours: weights as "
    ".safetensors, samples as .npz. It takes a minute."
)
SUBJECT = "Bring a trained network's weights and some of the samples that it was trained on. Files are read in a separate process; no code in them is run."
ACCURACY_HELP = "Of the samples that were opened. A network that was trained to the end gets nearly all of its training samples right."
COST_HELP = (
    "Estimated from a few curves timed on this machine. In a test by processor time, 19 of 20 networks stayed in this range (the estimate was tuned on eight "
    "of them); a busy machine takes longer."
)
SIZE_HELP = "Height and width that images are resized to, such as 224 or 128x173. Type another one."
NO_CHECK = "This network came into the zoo on the command line. `nmfdiag diagnose {name} --preflight` shows what the check finds."
LOW = 0.9
FEWEST_SAMPLES, FEWEST_RIGHT = 10, 0.5
"""Samples of each class, and share of right answers, below which a diagnosis is doubtful."""

SAVE = 'torch.save(model.state_dict(), "{folder}/mine.pt")\nnumpy.savez("{data}/mine.npz", x=x_train[:2000], y=y_train[:2000])'


def architectures() -> dict[str, str]:
    """Return the architectures that can be chosen, with their titles: a guess, the zoo's, torchvision's."""
    zoo_titles = {name: f"{architecture.title} (ours)" for name, architecture in ARCHITECTURES.items()}
    return {GUESS: "guess from the weights", **zoo_titles, **{name: name for name in TORCHVISION_NAMES}}


def models_text(folder: Path) -> str:
    """Return where weights have to be to be listed."""
    return f"Files in {for_code(str(folder.resolve()))} (`$NMFDIAG_MODELS` names another folder) are listed here. Two lines put a network and its samples there:"


def own_code_command(weights: str, data: str) -> str:
    """Return the command that diagnoses a network of the user's own code, with the names of the files that were chosen."""
    files = f"--weights {shlex.quote(weights or 'mine.pt')} --data {shlex.quote(data or 'mine.npz')}"
    return f"nmfdiag diagnose --model package.module:function {files}"


def save_lines(models: Path, data: Path) -> str:
    """Return two lines of Python that make a network and its samples appear on the page."""
    return SAVE.format(folder=models, data=data)


def upload(megabytes: int) -> str:
    """Return the size limit of an upload, and how long it is kept."""
    return f"At most {megabytes} MB. Deleted after the check."


def missing(raw: bool, has_weights: bool, has_samples: bool) -> str:
    """Return what has to be chosen before anything can be opened."""
    if raw:
        return "Choose activations first."
    return f"Choose {' and '.join(['weights'] * (not has_weights) + ['samples'] * (not has_samples))} first."


def train_size(text: str) -> int | None:
    """Return the training-set size that was typed, such as ``50000`` or ``50,000``; None for an empty text.

    Raises:
        NmfdiagError: If it is no whole number from 2 to :data:`LARGEST_SIZE`.
    """
    digits = text.strip()
    if not digits:
        return None
    if WHOLE_NUMBER.fullmatch(digits) and 2 <= (size := int(digits.replace(",", ""))) <= LARGEST_SIZE:
        return size
    raise NmfdiagError(
        f"The training-set size has to be a whole number from 2 to {LARGEST_SIZE:,}. Leave it empty if you don't know it."
    )


def subject(entry: ZooEntry, preflight: Mapping[str, Any]) -> str:
    """Return the line below the title that describes the network."""
    batches = [int(size) for size in preflight.get("batches", {}).values()] or [entry.pool_per_class]
    n_skipped = len(preflight.get("skipped", ()))
    return " · ".join(
        [
            entry.name,
            entry.recipe.arch,
            plural(len(entry.layers), "layer") + (f" ({n_skipped} left out)" if n_skipped else ""),
            f"{plural(len(entry.classes), 'class', 'classes')}, {span([f'{n:,}' for n in sorted(batches)])} samples each",
            plural(entry.n_parameters, "parameter"),
        ]
    )


def takes(preflight: Mapping[str, Any], per_class: int) -> float:
    """Return the seconds of a diagnosis with this many samples per batch: of the check's estimate the curves are scaled, the scoring of labels is not."""
    largest = max((int(n) for n in preflight["batches"].values()), default=per_class)
    label_seconds = float(preflight.get("label_seconds", 0.0))  # older checks don't say
    return label_seconds + (float(preflight["seconds"]) - label_seconds) * min(1.0, per_class / largest)


def cost(n_curves: int, per_class: int) -> str:
    """Return what a diagnosis measures, shown before it is started."""
    curves = f"{plural(n_curves, 'curve')}: every layer on every class, {per_class} samples a batch"
    return f"{curves}. Nothing runs until you press Diagnose. You can leave; finished curves are kept."


def is_doubtful(right: float, check: Mapping[str, Any]) -> bool:
    """Return whether a diagnosis would mean so little that it should be asked for twice: a low accuracy, one class, or a handful of samples."""
    batches = check.get("preflight", {}).get("batches", {})
    return right < FEWEST_RIGHT or (
        bool(batches) and (len(batches) < 2 or min(map(int, batches.values())) < FEWEST_SAMPLES)
    )


def concerns(right: float, check: Mapping[str, Any]) -> list[str]:
    """Return why a diagnosis would mean little, or is not about the very network: the check's remarks, and a low accuracy."""
    preflight = check.get("preflight", {})
    texts = (*batch_norm_remarks(check.get("provenance", {})), *preflight.get("remarks", ()))
    remarks = [for_markdown(remark) for remark in texts]
    if not preflight and right < FITTED:
        remarks.append(f"The network gets {right:.0%} of these samples right: no curve is higher than that.")
    elif LOW <= right < FITTED:
        remarks.append(
            f"The network has not fitted {1 - right:.1%} of these samples, or they are prepared a little differently than in training: "
            "its curves end that much lower."
        )
    return remarks


def better_normalization(check: Mapping[str, Any]) -> str:
    """Return the normalisation that classifies more samples correctly than the current one; empty if none is known."""
    return str(check.get("preflight", {}).get("better", ""))


def remarks(diagnosis: Diagnosis) -> list[str]:
    """Return the limits of the diagnosis, and why it is not compared or how it differs from the references."""
    comparison = diagnosis.comparison
    comparison_remarks = (
        [*([comparison.reason] if comparison.reason else []), *comparison.remarks] if comparison else []
    )
    return [*diagnosis.remarks, *comparison_remarks]


def removal(entry: ZooEntry) -> str:
    """Return what removing the network deletes and what it keeps."""
    return (
        f"Deletes the zoo's copies of its weights and samples ({for_code(entry.folder.name)}), not your own files. "
        "Curves that were computed stay in the cache."
    )


def layers_figure(diagnosis: Diagnosis, layers: Sequence[str], batch: str) -> go.Figure:
    """Draw AuC by layer with 95 % intervals over classes, phases, and the range of reference networks at the same depth.

    Args:
        diagnosis: The network's diagnosis.
        layers: All of its layers, from input to output, also those not measured yet.
        batch: The batches as text, for the title.
    """
    by_method = {diagnosis.method: diagnosis.profile.auc_by_layer(diagnosis.method)}
    figure = profile_figure(
        by_method,
        layers,
        diagnosis.phases,
        diagnosis.comparison,
        dip=dip_name(diagnosis.answers),
    )
    return figure.update_layout(
        title_text="AuC by layer", title_subtitle_text=f"{batch}; bars are 95 % over classes", margin_t=100
    )


def beside_figure(comparison: Comparison, name: str) -> go.Figure:
    """Draw the mean AuC of reference networks by p, with the network's as a horizontal line."""
    figure = reference_figure(comparison, name)
    return figure.update_layout(title_text="Mean AuC over all layers, beside reference networks")


def cells_figure(class_curves: ClassCurves, name: str, *, class_idx: int) -> go.Figure:
    """Draw AuC of every class and layer; the framed cell is the class's at the layer of the choice."""
    [p] = class_curves.curves
    figure = map_figure(class_curves, p, class_idx=class_idx)
    return figure.update_layout(title_text=f"{METHODS[class_curves.method].title} AuC by class and layer, {name}")


def check_tables(entry: ZooEntry, check: Mapping[str, Any]) -> list[pd.DataFrame]:
    """Return tables of what was opened, the layers to measure, those left out and why, and the classes; empty ones are dropped."""
    preflight = check.get("preflight", {})
    facts = check.get("provenance") or entry.trained_with
    details = [("normalisation" if key == "normalization" else key, value) for key, value in facts.items()]
    tables = [
        pd.DataFrame(details, columns=["setting", "value"]),
        layer_table(preflight),
        pd.DataFrame(preflight.get("skipped", {}).items(), columns=["left out", "why"]),
        class_table(preflight, entry.class_names),
    ]
    return [table for table in tables if len(table)]


def layer_table(preflight: Mapping[str, Any]) -> pd.DataFrame:
    """Return the layers that can be measured, from input to output."""
    names = {"name": "layer", "kind": "activation", "width": "channels", "rows": "rows of the largest batch"}
    return pd.DataFrame(preflight.get("layers", ()), columns=list(names)).rename(columns=names)


def class_table(preflight: Mapping[str, Any], names: Sequence[str]) -> pd.DataFrame:
    """Return samples and accuracy of every class, the least accurate first."""
    right = preflight.get("accuracy_by_class", {})
    rows = [(names[int(c)], n, right.get(c)) for c, n in preflight.get("batches", {}).items()]
    table = pd.DataFrame(rows, columns=["class", "samples a batch", "right by their given label"])
    return table.sort_values("right by their given label", kind="stable")


def depth_table(diagnosis: Diagnosis) -> pd.DataFrame:
    """Return AuC by layer with its 95 % interval, and the range of the reference networks there."""
    references = {auc.layer: auc for auc in diagnosis.comparison.layers} if diagnosis.comparison else {}
    rows = []
    for layer, auc in diagnosis.profile.auc_by_layer(diagnosis.method).items():
        row: dict[str, Any] = {
            "layer": layer,
            "AuC": auc.mean,
            "± (95 %)": auc.half_width if auc.n > 1 else None,
            "classes": auc.n,
        }
        if layer in references:
            for group in ("clean", "random"):
                row[f"lowest reference, {group} labels"], row[f"highest, {group} labels"] = getattr(
                    references[layer], group
                )
        rows.append(row)
    return pd.DataFrame(rows)


def reference_table(comparison: Comparison) -> pd.DataFrame:
    """Return the reference networks and their mean AuC over all layers."""
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
