"""The paper's claims, each with its measure on our records, and ours; findings are computed on request. Add a claim: one :class:`Claim`."""

from functools import lru_cache
from pathlib import Path

from nmfdiag.evidence import ablation_claims, compression_claims, training_claims
from nmfdiag.evidence.all_records import Records
from nmfdiag.evidence.claim import Claim
from nmfdiag.evidence.findings import Finding
from nmfdiag.evidence.records import RECORDS_FOLDER
from nmfdiag.evidence.suspects_claims import SUSPECTS_CLAIMS
from nmfdiag.measures.stopping import CLOSE_EPOCHS

CURVES = "nmfdiag record curves"
FAMILY = "networks of one data set, architecture and seed"
PAPER_CORRELATIONS = "r: NMF −0.82, PCA −0.64, random −0.61"
INTERVAL_REACHES_PAPER = "all networks, or those of one data set; shows it if the interval of r reaches −0.82"
INTERVAL_LEAVES_OUT_0 = "another method; shows it if the interval of the difference leaves out 0"
PAPER_NETWORK: dict[str, str | list[str]] = {"data": "cifar10", "arch": "cnn", "grid": "coarse"}

CLAIMS: tuple[Claim, ...] = (
    Claim(
        figure="F1",
        claim="The support of a memorising network takes more rectangles to cover in deep layers.",
        paper="Drawn, no figures",
        measure=lambda records: ablation_claims.more_rectangles(records.supports),
        unit=FAMILY,
        page="support",
        command=CURVES,
        why="The cover number itself is close to its limit, the number of distinct rows or channels, in both; so half of the support is "
        "compared, which a few large rectangles cover where rows are alike.",
        link={**PAPER_NETWORK, "p": ["0", "1"], "layer": "conv3_3"},
    ),
    Claim(
        figure="F2a,b",
        claim="Deep layers of networks with much label noise are less robust to NMF compression.",
        paper="Drawn, no figures",
        measure=lambda records: compression_claims.deep_layers(records.curves),
        unit=FAMILY,
        page="curves",
        command=CURVES,
        why="How deep the gap sits depends on how much there is to memorise: with a few thousand small images it lies in early layers "
        "and the last layers are linear for every p.",
        link={**PAPER_NETWORK, "layer": "conv4_1"},
    ),
    Claim(
        figure="F2c",
        claim="Layers go through feature extraction, memorisation and clustering.",
        paper="Memorisation from conv3_1 to conv4_2",
        measure=lambda records: compression_claims.three_phases(records.curves),
        unit="a CIFAR-10 CNN",
        page="phases",
        command=CURVES,
        why="Our networks see a fifth of the images, so that memorisation begins earlier.",
        link=PAPER_NETWORK,
    ),
    Claim(
        figure="F2c",
        claim="Ours, not the paper's: the more training images, the deeper lies memorisation.",
        paper="Not asked",
        measure=lambda records: training_claims.depth_of_memorisation(records.sizes, records.curves),
        unit="a step to more images within a seed; shows it if the depth grows by more than 0.02",
        page="phases",
        command="nmfdiag record data-size",
        why="Found when early trials of 2,000 images showed the gap in the first blocks, and 10,000 in the last but one.",
        link={**PAPER_NETWORK, "p": ["0", "1"]},
    ),
    Claim(
        figure="F2c",
        claim="p = 1 is an outlier: the process is shifted to earlier layers, and some layers are more linear than at lower p.",
        paper="Drawn, no figures",
        measure=lambda records: compression_claims.outlier(records.curves),
        unit=FAMILY,
        page="phases",
        command=CURVES,
        why="In ours memorisation lies deeper, not earlier, the more labels are noise; only a few first layers are more linear at p = 1.",
        link={**PAPER_NETWORK, "p": ["0", "0.6", "1"]},
    ),
    Claim(
        figure="F3",
        claim="NMF separates levels of memorisation; PCA loses most of the separation.",
        paper="Drawn, no figures",
        measure=lambda records: compression_claims.separation(records.curves),
        unit=FAMILY,
        page="curves",
        command=CURVES,
        why="PCA keeps the order of the levels, with smaller differences, in most of our families: it loses part, not most.",
        link={**PAPER_NETWORK, "layer": "conv3_3", "methods": ["nmf", "pca"]},
    ),
    Claim(
        figure="F4",
        claim="Layers are more linear on single-class than on multi-class batches, in all data sets and architectures.",
        paper="Drawn, no figures",
        measure=lambda records: compression_claims.one_class(records.curves),
        unit="a network",
        page="batches",
        command=CURVES,
        why="A constant answer is right for all of one class: part of the difference is there by construction.",
    ),
    Claim(
        figure="F4",
        claim="The same at layers whose mean row alone is right for less than half of a class.",
        paper="Not asked",
        measure=lambda records: compression_claims.one_class(records.curves, beyond_constant=True),
        unit="a network",
        page="batches",
        command=CURVES,
        why="This leaves out where the constant answer alone is enough.",
    ),
    Claim(
        figure="F5",
        claim="NMF AuC goes with the generalisation error, as closely as in the paper.",
        paper=PAPER_CORRELATIONS,
        measure=lambda records: training_claims.close_correlation(records.networks),
        unit=INTERVAL_REACHES_PAPER,
        page="generalization",
        command="nmfdiag record generalization",
        why="First recorded with at most 100 epochs, when a third of the family had not fitted its labels: r was -0.34 (NMF). With up to 1,000 "
        "they are trained until they fit, as was meant.",
    ),
    Claim(
        figure="F5",
        claim="The same among networks that fit their given labels, as the method presupposes.",
        paper=PAPER_CORRELATIONS,
        measure=lambda records: training_claims.close_correlation(records.networks, fitted=True),
        unit=INTERVAL_REACHES_PAPER,
        page="generalization",
        command="nmfdiag record generalization",
        why="Asked after the first networks were seen not to fit. Label noise drives both quantities, and every method sees it.",
        link={"fits": "that fit"},
    ),
    Claim(
        figure="F5",
        claim="It does so more closely than PCA's and random ablation's AuC.",
        paper=PAPER_CORRELATIONS,
        measure=lambda records: training_claims.closest_method(records.networks),
        unit=INTERVAL_LEAVES_OUT_0,
        page="generalization",
        command="nmfdiag record generalization",
        why="The lead over PCA is small next to the paper's.",
    ),
    Claim(
        figure="F5",
        claim="The same among networks that fit their given labels.",
        paper=PAPER_CORRELATIONS,
        measure=lambda records: training_claims.closest_method(records.networks, fitted=True),
        unit=INTERVAL_LEAVES_OUT_0,
        page="generalization",
        command="nmfdiag record generalization",
        why="",
        link={"fits": "that fit"},
    ),
    Claim(
        figure="F6",
        claim="The single-class NMF AuC has its extremum where the test loss turns.",
        paper="Both near the 5th epoch",
        measure=lambda records: training_claims.turning_point(records.watched),
        unit=f"a training run; shows it if at most {CLOSE_EPOCHS} epochs lie between",
        page="stopping",
        command="nmfdiag record early-stopping",
        why="Accuracy on the given labels rises all along training and takes the absolute AuC with it.",
    ),
    Claim(
        figure="F6",
        claim="The same of AuC relative to the batch's own uncompressed accuracy.",
        paper="Not asked",
        measure=lambda records: training_claims.turning_point(records.watched, "relative"),
        unit=f"a training run; shows it if at most {CLOSE_EPOCHS} epochs lie between",
        page="stopping",
        command="nmfdiag record early-stopping",
        why="Declared as a second rule before the runs: it takes away what absolute AuC owes to rising accuracy.",
        link={"measure": "relative"},
    ),
    Claim(
        figure="F7",
        claim="Under random ablation memorising networks suffer more.",
        paper="Drawn, no figures",
        measure=lambda records: ablation_claims.random_ablation(records.curves),
        unit=FAMILY,
        page="ablation",
        command=CURVES,
        why="",
        link={**PAPER_NETWORK, "removed": "random channels"},
    ),
    Claim(
        figure="F7",
        claim="Removing NMF directions hurts generalising networks more than random ablation does.",
        paper="Drawn, no figures",
        measure=lambda records: ablation_claims.leading_directions(records.curves, "nmf"),
        unit=FAMILY,
        page="ablation",
        command=CURVES,
        why="Without its leading directions a layer gives little more than zeros at every p: what differs is mostly random ablation.",
        link=PAPER_NETWORK,
    ),
    Claim(
        figure="F7",
        claim="Removing PCA directions does so, too.",
        paper="Drawn, no figures",
        measure=lambda records: ablation_claims.leading_directions(records.curves, "pca"),
        unit=FAMILY,
        page="ablation",
        command=CURVES,
        why="As with NMF directions.",
        link=PAPER_NETWORK,
    ),
    Claim(
        figure="F8",
        claim="Deep layers are highly linear for one class.",
        paper="Drawn, no figures",
        measure=lambda records: compression_claims.linear_at_the_end(records.curves),
        unit="a network at p = 0",
        page="classes",
        command=CURVES,
        why="Ours are small networks of ten classes; VGG-19 on ImageNet needs weights and images that are not shipped.",
        link={**PAPER_NETWORK, "p": "0"},
    ),
    Claim(
        figure="F8",
        claim="Compression can denoise: the compressed layer does better than the uncompressed one.",
        paper="Drawn, no figures",
        measure=lambda records: compression_claims.denoising(records.photographs),
        unit="a layer of EfficientNet-Lite0 (ImageNet weights); shows it if the gain is more than one of 20 samples beyond two standard errors",
        page="classes",
        command="python benchmarks/imagenet.py nmfdiag/evidence/data/imagenet.csv",
        why="Our own networks fit all their training samples, so there is nothing to gain on them. At rank 1 all samples of a batch get nearly "
        "one answer, which profits from the batch being of one class.",
        link={**PAPER_NETWORK, "p": "0"},
    ),
    Claim(
        figure="F8",
        claim="AuC goes with per-class test accuracy.",
        paper="Drawn, no figures",
        measure=lambda records: compression_claims.class_accuracy(records.curves),
        unit="a network at p = 0",
        page="classes",
        command=CURVES,
        why="With ten classes r is known to about ± 0.6, so most intervals include 0.",
        link={"data": "fashion_mnist", "arch": "cnn", "p": "0"},
    ),
    Claim(
        figure="F9",
        claim="With 20 training samples, the accuracy at k = 1 follows the test accuracy.",
        paper="Drawn, no figures",
        measure=lambda records: training_claims.follows_test_accuracy(records.few_shot),
        unit=f"a training run; shows it if r is at least {training_claims.LEAST_R}",
        page="stopping",
        command="nmfdiag record few-shot",
        why="Early in training both rise together; after it, the accuracy at k = 1 stays at its top.",
        link={"experiment": "few-shot"},
    ),
    Claim(
        figure="F9",
        claim="Stopping at its first peak beats training to the end.",
        paper="Table 2 of the paper",
        measure=lambda records: training_claims.few_shot_stopping(records.few_shot),
        unit="a setting of ten seeds; shows it if the mean gain exceeds two standard errors",
        page="stopping",
        command="nmfdiag record few-shot",
        why="The accuracy at k = 1 reaches its top while test accuracy still rises.",
        link={"experiment": "few-shot"},
    ),
    Claim(
        figure="F10a",
        claim="p = 1 is an outlier in the raw reconstruction error.",
        paper="Drawn, no figures",
        measure=lambda records: compression_claims.error_outlier(records.curves, "raw_error"),
        unit=FAMILY,
        page="reconstruction",
        command=CURVES,
        why="Raw errors follow the scale of the activations.",
        link={**PAPER_NETWORK, "error": "raw"},
    ),
    Claim(
        figure="F10b",
        claim="p = 1 is an outlier in the relative reconstruction error.",
        paper="Drawn, no figures",
        measure=lambda records: compression_claims.error_outlier(records.curves, "error"),
        unit=FAMILY,
        page="reconstruction",
        command=CURVES,
        why="Here a little label noise makes the largest difference.",
        link={**PAPER_NETWORK, "error": "relative"},
    ),
    Claim(
        figure="F10c",
        claim="The transition to p = 1 is near p = .9.",
        paper="Near p = .9",
        measure=lambda records: compression_claims.transition(records.curves),
        unit="the CIFAR-10 CNNs of one seed; shows it if the error changes clearly between p = .9 and 1",
        page="reconstruction",
        command=CURVES,
        why="",
        link={**PAPER_NETWORK, "p": ["0.8", "0.9", "1"], "error": "relative"},
    ),
    Claim(
        figure="F11",
        claim="NMF by multiplicative updates is cheap enough to be practical.",
        paper="Seconds on a GPU",
        measure=lambda records: training_claims.runtime(records.bench),
        unit=f"one factorisation of a VGG-19 layer; shows it if it takes less than {training_claims.PRACTICAL_SECONDS} s",
        page="runtime",
        command="nmfdiag bench --only runtime",
        why="Measured on the device that it names.",
        link={"over": "rank", "solvers": "MU", "scale": "linear"},
    ),
    *SUSPECTS_CLAIMS,
)


def findings(folder: Path = RECORDS_FOLDER) -> dict[Claim, Finding]:
    """Return the finding of every claim, the paper's first."""
    return _findings(folder, tuple(path.stat().st_mtime_ns for path in sorted(folder.rglob("*.*"))))


@lru_cache(maxsize=2)
def _findings(folder: Path, _modified: tuple[int, ...]) -> dict[Claim, Finding]:
    records = Records(folder)
    return {claim: claim.measure(records) for claim in CLAIMS}
