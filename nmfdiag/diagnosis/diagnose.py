"""The answer that a user takes home: what a layer profile says about memorisation, as words, JSON and one HTML file."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.diagnosis.class_ranking import ClassReading, class_readings
from nmfdiag.diagnosis.comparison import Comparison, compare
from nmfdiag.diagnosis.schema import SCHEMA
from nmfdiag.diagnosis.verdict import class_name, remarks_on, verdict_words
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.layer_profile import LayerProfile, Measured
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.stats.summary import Spread
from nmfdiag.networks.architectures import kind_of_architecture
from nmfdiag.provenance import provenance
from nmfdiag.zoo.registry import ZooEntry

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Diagnosis:
    """A profile, its phases and a plain-words reading.

    Attributes:
        profile: Every curve.
        phases: Read from the single-class NMF AuC by layer.
        verdict: Is it memorising, where, and how sure.
        remarks: What can't be said, or only with care, and why.
        provenance: Versions, date, settings, and hashes of weights and samples.
        comparison: Where it lies among reference networks, or why that can't be said; None where it wasn't asked for.
        class_names: Names by class, where they are known.
        title: What the network is called.
    """

    profile: LayerProfile
    phases: Phases
    verdict: str
    remarks: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    comparison: Comparison | None = None
    class_names: tuple[str, ...] = ()
    title: str = ""

    @property
    def method(self) -> str:
        """The method that the verdict is about: NMF where it was asked for."""
        return self.profile.main_method

    @property
    def lowest(self) -> tuple[str, Spread]:
        """The layer of the lowest mean AuC, and that."""
        return self.profile.lowest

    @property
    def name(self) -> str:
        """The title, or else the type of the network."""
        return self.title or str(self.provenance.get("network", "network"))

    @cached_property
    def classes(self) -> tuple[ClassReading, ...]:
        """The classes, the one that is memorised most first."""
        return class_readings(self.profile, self.method)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the curves, as JSON has it; :func:`nmfdiag.diagnosis.schema.schema` is its JSON Schema.

        ``schema`` names this form, and ``title`` the network. ``layers`` has one object a layer, from input to output:
        ``layer``, ``auc`` (mean over batches), ``auc_standard_error``, ``n_batches``. ``classes`` has one object a layer,
        class, method and draw: ``layer``, ``class`` (-1 for a mixture), ``method``, ``draw``, ``auc``, ``auc_log``,
        ``baseline_accuracy``, ``n_samples``, ``converged``. ``class_readings`` has one object a class, the lowest first: ``class``,
        ``name``, ``auc`` (mean over the unsaturated layers) and ``gap`` (to the mean of the classes), each with its
        standard error over ``n_draws`` draws (null of one), ``clear`` (whether it is clearly lower; null of one draw),
        ``layers``, ``below`` (at how many of them), ``lowest_layer``, ``lowest_auc``, ``n_samples``. ``comparison`` is null
        where none was asked for; its ``reason`` says why there is none, else ``places`` has, for AuC over linear and over
        log k, the network's mean AuC, what it comes to (``finding``), which p are compatible and the references by p,
        ``references`` names these, ``layers`` sets each layer beside the lowest and highest of those with clean and with
        random labels, and ``checks`` counts how often such a comparison of the references themselves is right.
        ``phases`` has three lists of layers and a ``reason`` where there are none; ``skipped`` names what was left out,
        and why.
        """
        frame = self.profile.to_frame().rename(columns={"class_idx": "class"})
        columns = ["layer", "class", "method", "draw", "auc", "auc_log", "baseline_accuracy", "n_samples", "converged"]
        return {
            "schema": SCHEMA,
            "title": self.title,
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
            "classes": json.loads(frame[columns].to_json(orient="records", double_precision=15)),
            "class_readings": [self._reading(one) for one in self.classes],
            "comparison": self.comparison.to_dict() if self.comparison else None,
            "skipped": self.profile.skipped,
            "provenance": self.provenance,
        }

    def _reading(self, one: ClassReading) -> dict[str, Any]:
        drawn = one.auc.n > 1
        return {
            "class": one.class_idx,
            "name": class_name(one.class_idx, self.class_names),
            "auc": one.auc.mean,
            "auc_standard_error": one.auc.sem if drawn else None,
            "gap": one.gap.mean,
            "gap_standard_error": one.gap.sem if drawn else None,
            "n_draws": one.auc.n,
            "clear": one.clear,
            "layers": one.layers,
            "below": one.below,
            "lowest_layer": one.lowest[0],
            "lowest_auc": one.lowest[1],
            "n_samples": one.n_samples,
        }

    def json(self) -> str:
        """:meth:`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    def html(self) -> str:
        """One self-contained page: words, interactive plots, tables and provenance; it needs no network."""
        from nmfdiag.diagnosis.report import report_html

        return report_html(self.to_dict(), self.profile, self.comparison, self.class_names)

    def to_json(self, path: str | Path) -> None:
        """Write :meth:`to_dict` to a file."""
        Path(path).write_text(self.json(), encoding="utf-8")

    def to_html(self, path: str | Path) -> None:
        """Write :meth:`html` to a file."""
        Path(path).write_text(self.html(), encoding="utf-8")


def diagnose(
    model: "nn.Module",
    inputs: "Tensor",
    labels: "Tensor | None" = None,
    *,
    title: str = "",
    class_names: Sequence[str] = (),
    without: Collection[str] = (),
    **options: Any,
) -> Diagnosis:
    """Measure a network on single-class batches of its training samples and say what that means.

    Args:
        model: The network; its mode is left as it was.
        inputs: Training samples (n, ...), in any form that :func:`nmfdiag.data.samples.as_samples` takes.
        labels: Their given labels (n,); None where ``inputs`` bring them.
        title: What the network is called; default its type.
        class_names: Names by class.
        without: Reference networks that it isn't compared with, such as itself.
        **options: As for :func:`nmfdiag.layer_profile`.

    Raises:
        NmfdiagError: As :func:`nmfdiag.layer_profile`.
    """
    import torch

    from nmfdiag.data.samples import as_samples
    from nmfdiag.measures.compute_profile import layer_profile
    from nmfdiag.networks.survey import kind_of_model
    from nmfdiag.networks.wrappers import unwrapped

    inputs, labels = as_samples(inputs, labels, model)
    profile = layer_profile(model, inputs, labels, **options)
    samples = inputs.cpu().contiguous()
    origin = {
        **provenance("nmfdiag", "torch", "numpy", "date"),
        "network": type(model).__name__,
        "weights (sha256)": _digest(unwrapped(model)),
        "samples (sha256)": hashlib.sha256(samples.flatten().view(torch.uint8).numpy().data).hexdigest(),
        "samples": f"{len(inputs)} given, up to {options.get('per_class', 50)} a class used",
        "settings": ", ".join(f"{key} = {value}" for key, value in options.items() if key != "on_progress")
        or "defaults",
    }
    return diagnosed(
        profile,
        origin,
        kind=kind_of_model(unwrapped(model), inputs),
        without=without,
        class_names=class_names,
        title=title,
    )


def _digest(model: "nn.Module") -> str:
    """Compute the SHA-256 of the names and values in a network's state dict."""
    import torch

    weights = hashlib.sha256()
    for name, value in model.state_dict().items():
        weights.update(name.encode())
        for part in _memory(value):
            weights.update(part.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return weights.hexdigest()


def _memory(value: Any) -> "list[Tensor]":
    """Return the dense tensors of an entry of a state dict: two of a sparse one, none of what is no tensor or has no values."""
    import torch

    if not isinstance(value, torch.Tensor) or value.is_meta:
        return []
    value = value.detach()
    if value.layout is not torch.strided:
        sparse = value.to_sparse_coo().coalesce()
        return [sparse.indices(), sparse.values()]
    if value.is_quantized:
        value = value.int_repr()
    return [value.resolve_conj().resolve_neg()]


def diagnosis_of(
    results: Mapping[CurveRequest, CompressionCurve], entry: ZooEntry, *, without: Collection[str] = ()
) -> Diagnosis:
    """Read what was computed of one network of the zoo, such as by a page.

    Args:
        results: Curves by request; those of other networks, of removed directions, and of mixtures where there are batches of
            single classes, are left aside. Seeds count as draws.
        entry: The network.
        without: Further reference networks that it isn't compared with.

    Raises:
        NmfdiagError: If there is no curve of this network, or those there are were asked for in different ways.
    """
    mine = {r: c for r, c in results.items() if r.entry == entry.name and r.operation == "compress"}
    single = {r: c for r, c in mine.items() if r.class_idx != MULTI_CLASS}
    mine = single or mine
    if not mine:
        raise NmfdiagError(f"There is no curve of {entry.name} to diagnose, among {len(results)} results.")
    ways = {(r.per_class, r.grid, r.solver, r.tol, r.max_iter) for r in mine}
    if len(ways) > 1:
        raise NmfdiagError(f"A diagnosis is of curves that were asked for in one way, got {len(ways)} ways.")
    [(per_class, grid, solver, tol, max_iter)] = ways
    layers, draws = list(entry.layers), sorted({r.seed for r in mine})
    measured = tuple(
        Measured(layers.index(r.layer), None if r.class_idx == MULTI_CLASS else r.class_idx, c, draws.index(r.seed))
        for r, c in sorted(
            mine.items(), key=lambda item: (item[0].seed, item[0].class_idx, layers.index(item[0].layer))
        )
    )
    there = {m.curve.layer for m in measured}
    profile = LayerProfile(
        tuple(layer for layer in layers if layer in there),
        measured,
        {layer: "no curve of it among the results" for layer in layers if layer not in there},
        network_layers=tuple(layers),
    )
    made = measured[0].curve.provenance
    origin = {
        **provenance("nmfdiag", "date"),
        **{str(key): value for key, value in made.items() if key in ("torch", "numpy", "device", "processor")},
        "network": f"{entry.name} ({entry.recipe.arch})",
        "weights (sha256)": entry.sha256.get("weights", "unknown"),
        "samples (sha256)": entry.sha256.get("pool", "unknown"),
        "samples": f"its probe pool, up to {per_class} a class used",
        "settings": f"{grid} rank grid, {solver}, tol = {tol or 'its own'}, at most {max_iter} iterations, seeds {', '.join(map(str, draws))}",
    }
    return diagnosed(
        profile,
        origin,
        kind=kind_of_architecture(entry.recipe.arch),
        without=(entry.name, *without),
        class_names=entry.class_names,
        title=entry.name,
    )


def diagnosed(
    profile: LayerProfile,
    provenance: dict[str, Any],
    *,
    kind: str = "",
    without: Collection[str] = (),
    class_names: Sequence[str] = (),
    title: str = "",
) -> Diagnosis:
    """Read a profile: phases, comparison with reference networks, verdict and remarks.

    Args:
        profile: Every curve.
        provenance: What the reader should know of how it was made.
        kind: Of the network, as :func:`nmfdiag.diagnosis.comparison.compare` takes it.
        without: References to leave out.
        class_names: Names by class.
        title: What the network is called.
    """
    method, names = profile.main_method, tuple(map(str, class_names))
    found, comparison = profile.phases(method), compare(profile, kind=kind, without=without)
    return Diagnosis(
        profile,
        found,
        verdict_words(profile, found, comparison, method),
        remarks_on(profile, method, names),
        provenance,
        comparison,
        names,
        title,
    )
