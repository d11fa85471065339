"""Words of the page *Your network*: what can be opened, what the check found, and what a diagnosis can't tell."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nmfdiag.diagnosis.diagnose import Diagnosis
from nmfdiag.jobs.browse import WEIGHTS
from nmfdiag.text import for_code, for_markdown, plural
from nmfdiag.zoo.recipes import FITTED
from nmfdiag.zoo.registry import ZooEntry

GUESS = "auto"
ARCHITECTURES = {
    GUESS: "guess from the weights",
    "cnn": "VGG-like CNN (ours)",
    "mlp": "fully-connected (ours)",
    "resnet": "residual network (ours)",
    "audio_cnn": "spectrogram CNN (ours)",
}
"""Ours by name; torchvision's go by their own."""

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

LABELS = (
    "Labels are taken as the data gives them. A network that was trained on other labels (noisy ones, say) needs these: give them as "
    "`y` of an `.npz`."
)
SAMPLES_HELP = (
    "Samples that the network was trained on, prepared as it was trained. An .npz has x (n, c, h, w), (n, h, w) or (n, features) and "
    "y (n,); a zip or folder has one folder of images a class."
)
NORMALIZATION_HELP = (
    "How the inputs were prepared in training. A wrong one shows as a low accuracy on the given labels."
)
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
    "A small CNN of the zoo on scikit-learn's digits, trained with 60 % random labels, is exported as a stranger would bring it: weights as "
    ".safetensors, samples as .npz. It takes a minute."
)
SUBJECT = "Bring a trained network's weights and some of the samples that it was trained on. A process of its own reads them; no code of yours is run."
ACCURACY_HELP = "Of the samples that were opened. A network that was trained to the end gets nearly all of its training samples right."
COST_HELP = "From a few curves that the check has timed on this machine, right within a factor of about two."
SIZE_HELP = "Height and width that images are resized to, such as 224 or 128x173. Type another one."
NO_CHECK = "This network came into the zoo on the command line. `nmfdiag diagnose {name} --preflight` shows what the check finds."
LOW = 0.9

SAVE = 'torch.save(model.state_dict(), "{folder}/mine.pt")\nnumpy.savez("{data}/mine.npz", x=x_train[:2000], y=y_train[:2000])'

HOW_TO_READ = """
**The answer** is read from samples that the network was trained on, and their given labels; it has seen no test sample.
Each layer's activations on a batch of one given class are replaced by an approximation of rank k, and the rest of the network runs on.
**AuC** is the area under its accuracy over k, from 0 to 1. **Low**: the layer needs many directions for the samples of one class, it
holds them one by one. **High**: few directions carry the class. First layers are low-level in any network. The bars are 95 % over classes.

**The bands** span reference networks of the zoo at the same relative depth: trained on clean labels (blue, p = 0) and on random ones
(red with a dotted edge, p = 1). Where your line lies among them says what your network looks like, not what it is: references are small, and of few data
sets. Without bands the comparison was not possible; the remarks below the plot say why.

**The map** has every class at every layer. Click a cell, or a point above, to open its curve.

**What it cannot tell.** A large network that was trained on a few hundred samples holds even random labels without a trace: VGG-11 with
300 images looked clean at p = 1. Low accuracy on the given labels bounds every curve: look at the check first. Few samples a class make coarse
steps; layers at which every curve is at 1 say nothing. Which samples are memorised is not told by AuC."""


def no_models(folder: Path) -> str:
    """Where weights have to lie to be listed."""
    state = "is not there" if not folder.is_dir() else "has no weights in it"
    return f"The folder {for_code(str(folder.resolve()))} {state} (`$NMFDIAG_MODELS` names another). Two lines put a network and its samples where this page finds them:"


def save_lines(models: Path, data: Path) -> str:
    """Two lines of Python that make a network and its samples appear on the page."""
    return SAVE.format(folder=models, data=data)


def upload(megabytes: int) -> str:
    """What becomes of an upload."""
    return f"At most {megabytes} MB. It lies in a private folder, for as long as the check reads it."


def missing(raw: bool, has_weights: bool, has_samples: bool) -> str:
    """What has to be chosen before anything can be opened."""
    if raw:
        return "Choose activations first."
    lacks = [what for what, there in (("weights", has_weights), ("samples", has_samples)) if not there]
    return f"Choose {' and '.join(lacks)} first."


def subject(entry: ZooEntry, found: Mapping[str, Any]) -> str:
    """What the network is, in a line below the title."""
    batches = [int(size) for size in found.get("batches", {}).values()] or [entry.pool_per_class]
    left = len(found.get("skipped", ()))
    return " · ".join(
        [
            entry.name,
            entry.recipe.arch,
            plural(len(entry.layers), "layer") + (f" ({left} left out)" if left else ""),
            f"{plural(len(entry.classes), 'class', 'classes')}, {_span(batches)} samples each",
            plural(entry.n_parameters, "parameter"),
        ]
    )


def takes(found: Mapping[str, Any], per_class: int) -> float:
    """Seconds that a diagnosis takes with so many samples a batch; the check has estimated it for the most there are."""
    largest = max((int(n) for n in found["batches"].values()), default=per_class)
    return float(found["seconds"]) * min(1.0, per_class / largest)


def cost(n_curves: int, per_class: int) -> str:
    """What a diagnosis measures, before it is asked for."""
    each = f"{plural(n_curves, 'curve')}: every layer on every class, {per_class} samples a batch"
    return f"{each}. Nothing is measured before you ask for it; what is done stays, if you leave."


def concerns(right: float, found: Mapping[str, Any]) -> list[str]:
    """Why a diagnosis would mean little: what the check remarks, and an accuracy that it takes for granted."""
    remarks = [for_markdown(remark) for remark in found.get("remarks", ())]
    if not found and right < FITTED:
        remarks.append(f"The network gets {right:.0%} of these samples right: no curve is higher than that.")
    elif LOW <= right < FITTED:
        remarks.append(
            f"The network has not fitted {1 - right:.1%} of these samples, or they are prepared a little differently than in training: "
            "its curves end that much lower."
        )
    return remarks


def better_normalization(check: Mapping[str, Any]) -> str:
    """The normalisation that gets more samples right than the one it was opened with; empty if none is known."""
    return str(check.get("preflight", {}).get("better", ""))


def remarks(diagnosis: Diagnosis) -> list[str]:
    """What can't be said of it, or only with care; and why it is not compared, or what is different from the references."""
    comparison = diagnosis.comparison
    beside = [*([comparison.reason] if comparison.reason else []), *comparison.remarks] if comparison else []
    return [*diagnosis.remarks, *beside]


def removal(entry: ZooEntry) -> str:
    """What is lost, and what isn't."""
    return (
        f"Deletes the zoo's copies of its weights and samples ({for_code(entry.folder.name)}), not your own files. "
        "Curves that were computed stay in the cache."
    )


def _span(sizes: Sequence[int]) -> str:
    return f"{sizes[0]:,}" if min(sizes) == max(sizes) else f"{min(sizes):,} to {max(sizes):,}"
