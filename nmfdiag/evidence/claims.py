"""The paper's claims, each with the question put to our records; the answers are computed whenever they are asked for."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from nmfdiag.evidence import ablation_claims, compression_claims, training_claims
from nmfdiag.evidence.all_records import Records
from nmfdiag.evidence.findings import Finding
from nmfdiag.evidence.records import RECORDED
from nmfdiag.measures.stopping import CLOSE

CURVES = "nmfdiag record curves"


@dataclass(frozen=True, eq=False)
class Claim:
    """One claim of the paper.

    Attributes:
        figure: The paper's figure.
        claim: What it says, in one sentence.
        paper: What the paper reports, as far as it gives figures.
        measure: From our records to what they say.
        unit: What a unit of the finding is.
        page: The page that shows it, without its folder and ending.
        command: What makes the records behind it.
        why: Where ours differ, what we know about the reason.
        link: The page's choices that show it as in the paper.
    """

    figure: str
    claim: str
    paper: str
    measure: Callable[[Records], Finding]
    unit: str
    page: str
    command: str
    why: str
    link: dict[str, str | list[str]] = field(default_factory=dict)


_FAMILY = "networks of one data set, architecture and seed"
_CIFAR: dict[str, str | list[str]] = {"data": "cifar10", "arch": "cnn", "grid": "coarse"}

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "F1",
        "The support of a memorising network takes more rectangles to cover in deep layers.",
        "Drawn, no figures",
        lambda records: ablation_claims.more_rectangles(records.supports),
        _FAMILY,
        "support",
        CURVES,
        "The cover number itself is close to its limit, the number of distinct rows or channels, in both; so half of the support is "
        "compared, which a few large rectangles cover where rows are alike.",
        {**_CIFAR, "p": ["0", "1"], "layer": "conv3_3"},
    ),
    Claim(
        "F2a,b",
        "Deep layers of networks with much label noise are less robust to NMF compression.",
        "Drawn, no figures",
        lambda records: compression_claims.deep_layers(records.curves),
        _FAMILY,
        "curves",
        CURVES,
        "How deep the gap sits depends on how much there is to memorise: with a few thousand small images it lies in early layers "
        "and the last layers are linear for every p.",
        {**_CIFAR, "layer": "conv4_1"},
    ),
    Claim(
        "F2c",
        "Layers go through feature extraction, memorisation and clustering.",
        "Memorisation from conv3_1 to conv4_2",
        lambda records: compression_claims.three_phases(records.curves),
        "a CIFAR-10 CNN",
        "phases",
        CURVES,
        "Our networks see a fifth of the images, so that memorisation begins earlier.",
        _CIFAR,
    ),
    Claim(
        "F2c",
        "Ours, not the paper's: the more training images, the deeper lies memorisation.",
        "Not asked",
        lambda records: training_claims.depth_of_memorisation(records.sizes, records.curves),
        "a step to more images within a seed; shows it if the depth grows by more than 0.02",
        "phases",
        "nmfdiag record data-size",
        "Found when early trials of 2,000 images showed the gap in the first blocks, and 10,000 in the last but one.",
        {**_CIFAR, "p": ["0", "1"]},
    ),
    Claim(
        "F2c",
        "p = 1 is an outlier: the process is shifted to earlier layers, and some layers are more linear than at lower p.",
        "Drawn, no figures",
        lambda records: compression_claims.outlier(records.curves),
        _FAMILY,
        "phases",
        CURVES,
        "In ours memorisation lies deeper, not earlier, the more labels are noise; only a few first layers are more linear at p = 1.",
        {**_CIFAR, "p": ["0", "0.6", "1"]},
    ),
    Claim(
        "F3",
        "NMF separates levels of memorisation; PCA loses most of the separation.",
        "Drawn, no figures",
        lambda records: compression_claims.separation(records.curves),
        _FAMILY,
        "curves",
        CURVES,
        "PCA keeps the order of the levels, with smaller differences, in most of our families: it loses part, not most.",
        {**_CIFAR, "layer": "conv3_3", "methods": ["nmf", "pca"]},
    ),
    Claim(
        "F4",
        "Layers are more linear on single-class than on multi-class batches, in all data sets and architectures.",
        "Drawn, no figures",
        lambda records: compression_claims.one_class(records.curves),
        "a network",
        "batches",
        CURVES,
        "A constant answer is right for all of one class: part of the difference is there by construction.",
    ),
    Claim(
        "F4",
        "The same at layers whose mean row alone is right for less than half of a class.",
        "Not asked",
        lambda records: compression_claims.one_class(records.curves, beyond_constant=True),
        "a network",
        "batches",
        CURVES,
        "This leaves out where the constant answer alone is enough.",
    ),
    Claim(
        "F5",
        "NMF AuC goes with the generalisation error, as closely as in the paper.",
        "r: NMF −0.82, PCA −0.64, random −0.61",
        lambda records: training_claims.close_correlation(records.networks),
        "all networks, or those of one data set; shows it if the interval of r reaches −0.82",
        "generalization",
        "nmfdiag record generalization",
        "First recorded with at most 100 epochs, when a third of the family had not fitted its labels: r was -0.34 (NMF). With up to 1,000 "
        "they are trained until they fit, as was meant.",
    ),
    Claim(
        "F5",
        "The same among networks that fit their given labels, as the method presupposes.",
        "r: NMF −0.82, PCA −0.64, random −0.61",
        lambda records: training_claims.close_correlation(records.networks, fitted=True),
        "all networks, or those of one data set; shows it if the interval of r reaches −0.82",
        "generalization",
        "nmfdiag record generalization",
        "Asked after the first networks were seen not to fit. Label noise drives both quantities, and every method sees it.",
        {"fits": "that fit"},
    ),
    Claim(
        "F5",
        "It does so more closely than PCA's and random ablation's AuC.",
        "r: NMF −0.82, PCA −0.64, random −0.61",
        lambda records: training_claims.closest_method(records.networks),
        "another method; shows it if the interval of the difference leaves out 0",
        "generalization",
        "nmfdiag record generalization",
        "The lead over PCA is small next to the paper's.",
    ),
    Claim(
        "F5",
        "The same among networks that fit their given labels.",
        "r: NMF −0.82, PCA −0.64, random −0.61",
        lambda records: training_claims.closest_method(records.networks, fitted=True),
        "another method; shows it if the interval of the difference leaves out 0",
        "generalization",
        "nmfdiag record generalization",
        "",
        {"fits": "that fit"},
    ),
    Claim(
        "F6",
        "The single-class NMF AuC has its extremum where the test loss turns.",
        "Both near the 5th epoch",
        lambda records: training_claims.turning_point(records.watched),
        f"a training run; shows it if at most {CLOSE} epochs lie between",
        "stopping",
        "nmfdiag record early-stopping",
        "Accuracy on the given labels rises all along training and takes the absolute AuC with it.",
    ),
    Claim(
        "F6",
        "The same of AuC relative to the batch's own uncompressed accuracy.",
        "Not asked",
        lambda records: training_claims.turning_point(records.watched, "relative"),
        f"a training run; shows it if at most {CLOSE} epochs lie between",
        "stopping",
        "nmfdiag record early-stopping",
        "Declared as a second rule before the runs: it takes away what absolute AuC owes to rising accuracy.",
        {"measure": "relative"},
    ),
    Claim(
        "F7",
        "Under random ablation memorising networks suffer more.",
        "Drawn, no figures",
        lambda records: ablation_claims.random_ablation(records.curves),
        _FAMILY,
        "ablation",
        CURVES,
        "",
        {**_CIFAR, "removed": "random channels"},
    ),
    Claim(
        "F7",
        "Removing NMF directions hurts generalising networks more than random ablation does.",
        "Drawn, no figures",
        lambda records: ablation_claims.leading_directions(records.curves, "nmf"),
        _FAMILY,
        "ablation",
        CURVES,
        "Without its leading directions a layer gives little more than zeros at every p: what differs is mostly random ablation.",
        _CIFAR,
    ),
    Claim(
        "F7",
        "Removing PCA directions does so, too.",
        "Drawn, no figures",
        lambda records: ablation_claims.leading_directions(records.curves, "pca"),
        _FAMILY,
        "ablation",
        CURVES,
        "As with NMF directions.",
        _CIFAR,
    ),
    Claim(
        "F8",
        "Deep layers are highly linear for one class.",
        "Drawn, no figures",
        lambda records: compression_claims.linear_at_the_end(records.curves),
        "a network at p = 0",
        "classes",
        CURVES,
        "Ours are small networks of ten classes; VGG-19 on ImageNet needs weights and images that are not shipped.",
        {**_CIFAR, "p": "0"},
    ),
    Claim(
        "F8",
        "Compression can denoise: the compressed layer does better than the uncompressed one.",
        "Drawn, no figures",
        lambda records: compression_claims.denoising(records.photographs),
        "a layer of EfficientNet-Lite0 (ImageNet weights); shows it if the gain is more than one of 20 samples beyond two standard errors",
        "classes",
        "python benchmarks/imagenet.py nmfdiag/runs/recorded/imagenet.csv",
        "Our own networks fit all their training samples, so there is nothing to gain on them. At rank 1 all samples of a batch get nearly "
        "one answer, which profits from the batch being of one class.",
        {**_CIFAR, "p": "0"},
    ),
    Claim(
        "F8",
        "AuC goes with per-class test accuracy.",
        "Drawn, no figures",
        lambda records: compression_claims.class_accuracy(records.curves),
        "a network at p = 0",
        "classes",
        CURVES,
        "With ten classes r is known to about ± 0.6, so most intervals include 0.",
        {"data": "fashion_mnist", "arch": "cnn", "p": "0"},
    ),
    Claim(
        "F9",
        "With 20 training samples, the accuracy at k = 1 follows the test accuracy.",
        "Drawn, no figures",
        lambda records: training_claims.follows_test_accuracy(records.few_shot),
        f"a training run; shows it if r is at least {training_claims.FOLLOWS}",
        "stopping",
        "nmfdiag record few-shot",
        "Early in training both rise together; after it, the accuracy at k = 1 stays at its top.",
        {"experiment": "few-shot"},
    ),
    Claim(
        "F9",
        "Stopping at its first peak beats training to the end.",
        "Table 2 of the paper",
        lambda records: training_claims.few_shot_stopping(records.few_shot),
        "a setting of ten seeds; shows it if the mean gain exceeds two standard errors",
        "stopping",
        "nmfdiag record few-shot",
        "The accuracy at k = 1 reaches its top while test accuracy still rises.",
        {"experiment": "few-shot"},
    ),
    Claim(
        "F10a",
        "p = 1 is an outlier in the raw reconstruction error.",
        "Drawn, no figures",
        lambda records: compression_claims.error_outlier(records.curves, "raw_error"),
        _FAMILY,
        "reconstruction",
        CURVES,
        "Raw errors follow the scale of the activations.",
        {**_CIFAR, "error": "raw"},
    ),
    Claim(
        "F10b",
        "p = 1 is an outlier in the relative reconstruction error.",
        "Drawn, no figures",
        lambda records: compression_claims.error_outlier(records.curves, "error"),
        _FAMILY,
        "reconstruction",
        CURVES,
        "Here a little label noise makes the largest difference.",
        {**_CIFAR, "error": "relative"},
    ),
    Claim(
        "F10c",
        "The transition to p = 1 is near p = .9.",
        "Near p = .9",
        lambda records: compression_claims.transition(records.curves),
        "the CIFAR-10 CNNs of one seed; shows it if the error changes clearly between p = .9 and 1",
        "reconstruction",
        CURVES,
        "",
        {**_CIFAR, "p": ["0.8", "0.9", "1"], "error": "relative"},
    ),
    Claim(
        "F11",
        "NMF by multiplicative updates is cheap enough to be practical.",
        "Seconds on a GPU",
        lambda records: training_claims.runtime(records.bench),
        f"one factorisation of a VGG-19 layer; shows it if it takes less than {training_claims.PRACTICAL_SECONDS} s",
        "runtime",
        "nmfdiag bench --only runtime",
        "Measured on the device that it names.",
        {"over": "rank", "solvers": "MU", "scale": "linear"},
    ),
)


def findings(folder: Path = RECORDED) -> dict[Claim, Finding]:
    """What our records say about every claim."""
    return _findings(folder, tuple(path.stat().st_mtime_ns for path in sorted(folder.rglob("*.*"))))


@lru_cache(maxsize=2)
def _findings(folder: Path, _modified: tuple[int, ...]) -> dict[Claim, Finding]:
    records = Records(folder)
    return {claim: claim.measure(records) for claim in CLAIMS}
