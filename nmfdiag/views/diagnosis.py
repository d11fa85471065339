"""The answer that a user takes home: what a layer profile says about memorisation, as words, JSON and one HTML file."""

import hashlib
import json
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag import __version__
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.profile import LayerProfile, layer_profile
from nmfdiag.measures.reading import reading
from nmfdiag.measures.summary import Spread, spread

if TYPE_CHECKING:
    from torch import Tensor, nn

SCHEMA = "nmfdiag-diagnosis/1"
FITTED, SATURATED = 0.98, 0.995
FEW_SAMPLES, FEW_CLASSES = 10, 3


@dataclass(frozen=True)
class Diagnosis:
    """A profile, its phases and a plain-words reading.

    Attributes:
        profile: Every curve.
        phases: Read from the single-class NMF AuC by layer.
        verdict: What it says, in a sentence or two.
        remarks: What can't be said, or only with care, and why.
        provenance: Versions, date, settings, and hashes of weights and samples.
    """

    profile: LayerProfile
    phases: Phases
    verdict: str
    remarks: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The method that the verdict is about: NMF where it was asked for."""
        methods = {m.curve.method for m in self.profile.measured}
        return "nmf" if "nmf" in methods else min(methods)

    @property
    def lowest(self) -> tuple[str, Spread]:
        """The layer of the lowest mean AuC, and that."""
        by_layer = self.profile.auc_by_layer(self.method)
        layer = min(by_layer, key=lambda name: by_layer[name].mean)
        return layer, by_layer[layer]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the curves, as JSON has it.

        ``schema`` names this form. ``layers`` has one object a layer, from input to output: ``layer``, ``auc`` (mean over
        batches), ``auc_standard_error``, ``n_batches``. ``classes`` has one object a layer, class and method: ``layer``,
        ``class`` (-1 for a mixture), ``method``, ``auc``, ``auc_log``, ``baseline_accuracy``, ``n_samples``, ``converged``.
        ``phases`` has three lists of layers and a ``reason`` where there are none; ``skipped`` names what was left out,
        and why.
        """
        frame = self.profile.to_frame().rename(columns={"class_idx": "class"})
        columns = ["layer", "class", "method", "auc", "auc_log", "baseline_accuracy", "n_samples", "converged"]
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "remarks": list(self.remarks),
            "phases": {
                "feature_extraction": list(self.phases.feature_extraction),
                "memorisation": list(self.phases.memorisation),
                "clustering": list(self.phases.clustering),
                "reason": self.phases.reason,
            },
            "layers": [
                {"layer": layer, "auc": s.mean, "auc_standard_error": s.sem, "n_batches": s.n}
                for layer, s in self.profile.auc_by_layer(self.method).items()
            ],
            "classes": json.loads(frame[columns].to_json(orient="records")),
            "skipped": self.profile.skipped,
            "provenance": self.provenance,
        }

    def to_json(self, path: str | Path) -> None:
        """Write :meth:`to_dict` to a file."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")

    def to_html(self, path: str | Path) -> None:
        """Write one self-contained file: words, interactive plots, tables and provenance; it needs no network."""
        from nmfdiag.views.report import report_html

        Path(path).write_text(report_html(self), encoding="utf-8")


def diagnose(model: "nn.Module", inputs: "Tensor", labels: "Tensor", **options: Any) -> Diagnosis:
    """Measure a network on single-class batches of its training samples and say what that means.

    Args:
        model: The network; its mode is left as it was.
        inputs: Training samples (n, ...).
        labels: Their given labels (n,).
        **options: As for :func:`nmfdiag.layer_profile`.

    Raises:
        NmfdiagError: As :func:`nmfdiag.layer_profile`.
    """
    import torch

    profile = layer_profile(model, inputs, labels, **options)
    weights = hashlib.sha256()
    for name, value in model.state_dict().items():
        weights.update(name.encode())
        weights.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    samples = torch.as_tensor(inputs).detach().cpu().contiguous()
    provenance = {
        "nmfdiag": __version__,
        "torch": torch.__version__,
        "numpy": version("numpy"),
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "network": type(model).__name__,
        "weights (sha256)": weights.hexdigest(),
        "samples (sha256)": hashlib.sha256(samples.flatten().view(torch.uint8).numpy().tobytes()).hexdigest(),
        "samples": f"{len(inputs)} given, up to {options.get('per_class', 50)} a class used",
        "settings": ", ".join(f"{key} = {value}" for key, value in options.items() if key != "on_progress")
        or "defaults",
    }
    return diagnosed(profile, provenance)


def diagnosed(profile: LayerProfile, provenance: dict[str, Any]) -> Diagnosis:
    """Read a profile: phases, verdict and remarks."""
    method = "nmf" if any(m.curve.method == "nmf" for m in profile.measured) else profile.measured[0].curve.method
    found = profile.phases(method)
    return Diagnosis(
        profile, found, reading(profile.auc_by_layer(method), found), remarks_on(profile, method), provenance
    )


def remarks_on(profile: LayerProfile, method: str = "nmf") -> tuple[str, ...]:
    """What can't be said of a profile, or only with care."""
    some = [m for m in profile.measured if m.curve.method == method]
    classes, by_layer = {m.class_idx for m in some}, profile.auc_by_layer(method)
    remarks = []
    baseline = spread([m.curve.baseline_accuracy for m in some])
    if baseline.mean < FITTED:
        remarks.append(
            f"The network gets {baseline.mean:.0%} of these samples right by their given labels. Either it has not fitted them yet, or "
            "they are not prepared as in training (normalisation, labels): a curve can't be higher than this."
        )
    fewest = min(m.curve.n_samples for m in some)
    if fewest < FEW_SAMPLES:
        remarks.append(
            f"The smallest batch has {fewest} samples, so one sample is worth {1 / fewest:.2f} of an accuracy. Give {FEW_SAMPLES} or more a class."
        )
    if classes == {None}:
        remarks.append(
            "Measured on a mixture of classes: the paper's reading, and phases, go by batches of a single class."
        )
    elif len(classes) < FEW_CLASSES:
        remarks.append(
            f"Only {len(classes)} class{'es' * (len(classes) > 1)} measured: classes differ, and the error bars rest on them."
        )
    full = [layer for layer, s in by_layer.items() if s.mean >= SATURATED]
    if len(full) == len(by_layer):
        remarks.append(
            "Every layer is right from one direction on: nothing here tells memorising from generalising. Try AuC over log k."
        )
    if len(by_layer) < 3:
        remarks.append("Phases need at least three layers.")
    open_ranks = sum(not all(m.curve.converged) for m in some)
    if open_ranks:
        remarks.append(
            f"In {open_ranks} of {len(some)} curves the factorisation did not converge at some rank, which makes AuC too low."
        )
    return tuple(remarks)
