"""The diagnosis of a network: what its layer profile says about memorisation, as text, JSON and one HTML file."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.diagnosis.answers import Answer, answers, code_of, headline
from nmfdiag.diagnosis.class_ranking import ClassReading, class_readings
from nmfdiag.diagnosis.class_text import class_name, reading_record
from nmfdiag.diagnosis.comparison import Comparison, compare_network
from nmfdiag.diagnosis.expected_error import ExpectedError, expected_error
from nmfdiag.diagnosis.remarks import remarks_on
from nmfdiag.diagnosis.schema import SCHEMA
from nmfdiag.diagnosis.scored_labels import labelled_only, scored_labels
from nmfdiag.diagnosis.verdict_text import verdict_text
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve
from nmfdiag.measures.phases import Phases
from nmfdiag.measures.stats.summary import Spread
from nmfdiag.measures.suspects.controls import Controls
from nmfdiag.measures.suspects.probe_depth import depth_of
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.measures.training_set import TrainingSet, check_train_size
from nmfdiag.networks.architectures import kind_of_architecture
from nmfdiag.provenance import provenance
from nmfdiag.zoo.registry import ZooEntry, batch_norm_remarks

if TYPE_CHECKING:
    from torch import Tensor, nn

    from nmfdiag.diagnosis.suspects_section import SuspectsSection
    from nmfdiag.jobs.own_results import OwnResults

PROFILE_SHARE = 0.6
"""Share of the progress that the curves are."""


@dataclass(frozen=True)
class Diagnosis:
    """A profile, its phases, three answers from controls on the network's own samples, and the verdict in plain words.

    Attributes:
        profile: All curves.
        phases: Phases by the single-class NMF AuC by layer.
        remarks: What the profile can't show, or only with care, and why.
        provenance: Versions, date, settings, and hashes of weights and samples.
        comparison: Its place among reference networks, or why it has none; None if no comparison was requested.
        class_names: Names by class, if known.
        title: Name of the network.
        suspects: What the network says about the labels of its training samples; None if that was not measured, or only its controls are at hand.
        second_opinion: Its place among reference networks, and its phases by AuC, in a few sentences.
        controls: Of these suspects, which the answers are made from.
        training_set: Size of the training set, and how much of it was looked at; None if nothing is known of it.
    """

    profile: LayerProfile
    phases: Phases
    remarks: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    comparison: Comparison | None = None
    class_names: tuple[str, ...] = ()
    title: str = ""
    suspects: Suspects | None = None
    second_opinion: str = ""
    controls: Controls | None = None
    training_set: TrainingSet | None = None

    @cached_property
    def expected_error(self) -> ExpectedError | None:
        """The error expected on new samples with right labels; None if it can't be told."""
        return expected_error(self.controls) if self.controls else None

    @cached_property
    def answers(self) -> dict[str, Answer]:
        """The answers to ``"labels"``, ``"memorising"`` and ``"where"``; see :mod:`nmfdiag.diagnosis.answers`."""
        return answers(self.controls, self.expected_error, self.phases)

    @property
    def verdict(self) -> str:
        """The one sentence above the answers; without :attr:`controls` the :attr:`second_opinion`."""
        return headline(self.answers, self.expected_error) if self.controls else self.second_opinion

    @property
    def code(self) -> str:
        """``"generalises"``, ``"noisy_labels"``, ``"memorises"`` or ``"inconclusive"``."""
        return code_of(self.answers)

    @property
    def method(self) -> str:
        """The method that the verdict is about: NMF if measured."""
        return self.profile.main_method

    @property
    def lowest(self) -> tuple[str, Spread]:
        """The layer of the lowest mean AuC, and that AuC."""
        return self.profile.lowest

    @property
    def name(self) -> str:
        """The title, else the type of the network."""
        return self.title or str(self.provenance.get("network", "network"))

    @cached_property
    def classes(self) -> tuple[ClassReading, ...]:
        """The classes, the most memorised one first."""
        return class_readings(self.profile, self.method)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON record, all but the curves; :func:`nmfdiag.diagnosis.schema.schema` is its JSON Schema.

        ``schema`` names this format, ``title`` the network. ``code`` is the answer in a word, ``verdict`` in a sentence; ``answers`` has an
        :class:`~nmfdiag.diagnosis.answers.Answer` for ``labels``, ``memorising`` and ``where``; ``expected_error``, null if it can't be told, has
        ``estimate``, ``low`` and ``high``; ``second_opinion`` is the comparison in words. ``layers`` has one object per layer, from input to output:
        ``layer``, ``auc`` (mean over batches), ``auc_standard_error``, ``n_batches``. ``classes`` has one object per layer,
        class, method and draw: ``layer``, ``class`` (-1 for a mixture), ``method``, ``draw``, ``auc``, ``auc_log``,
        ``baseline_accuracy``, ``n_samples``, ``converged``. ``class_readings`` has one object per class, the lowest first: ``class``,
        ``name``, ``auc`` (mean over the unsaturated layers) and ``gap`` (to the mean of the classes), each with its
        standard error over ``n_draws`` draws (null for one draw), ``clear`` (whether it is clearly lower; null for one
        draw), ``layers``, ``below`` (number of these where it is lower), ``lowest_layer``, ``lowest_auc``, ``n_samples``.
        ``comparison`` is null if none was requested. Its ``reason`` says why there is none; else ``places`` has, for AuC
        over linear and over log k, the network's mean AuC, the ``finding``, the compatible p and the references by p;
        ``references`` names these; ``layers`` has each layer beside the lowest and highest of those with clean and with
        random labels; ``checks`` counts how often such a comparison of the references themselves is right. ``training_set`` has the
        number of ``samples`` whose labels were looked at, the ``size`` of the training set and the network's ``parameters``, each null if unknown. ``phases`` has
        three lists of layers, or a ``reason`` why there are none; ``skipped`` has what was left out, and why.
        """
        frame = self.profile.to_frame().rename(columns={"class_idx": "class"})
        columns = ["layer", "class", "method", "draw", "auc", "auc_log", "baseline_accuracy", "n_samples", "converged"]
        return {
            "schema": SCHEMA,
            "title": self.title,
            "code": self.code,
            "verdict": self.verdict,
            "answers": {name: asdict(answer) for name, answer in self.answers.items()},
            "expected_error": asdict(self.expected_error) if self.expected_error else None,
            "second_opinion": self.second_opinion,
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
            "class_readings": [reading_record(reading, self.class_names) for reading in self.classes],
            "comparison": self.comparison.to_dict() if self.comparison else None,
            "training_set": self.training_set.to_dict() if self.training_set else None,
            "skipped": self.profile.skipped,
            "provenance": self.provenance,
        }

    def json(self) -> str:
        """Return :meth:`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"

    def html(self, suspects: "SuspectsSection | None" = None) -> str:
        """Return one self-contained page: text, interactive plots, tables and provenance; it needs no internet connection.

        Args:
            suspects: Its section on samples whose label looks wrong (:func:`nmfdiag.diagnosis.suspects_section.suspects_section`).
        """
        from nmfdiag.diagnosis.report import report_html

        depth = depth_of(self.controls) if self.controls else None
        return report_html(self.to_dict(), self.profile, self.comparison, self.class_names, suspects, depth)

    def to_json(self, path: str | Path) -> None:
        """Write :meth:`to_dict` to a file."""
        Path(path).write_text(self.json(), encoding="utf-8")

    def to_html(self, path: str | Path, suspects: "SuspectsSection | None" = None) -> None:
        """Write :meth:`html` to a file."""
        Path(path).write_text(self.html(suspects), encoding="utf-8")


def diagnose(
    model: "nn.Module",
    inputs: "Tensor",
    labels: "Tensor | None" = None,
    *,
    title: str = "",
    class_names: Sequence[str] = (),
    without: Collection[str] = (),
    train_size: int | None = None,
    selected_classes: Sequence[int] = (),
    results: "OwnResults | None" = None,
    **options: Any,
) -> Diagnosis:
    """Measure a network on its training samples and return the diagnosis.

    The answers come from what it says about their labels (:func:`nmfdiag.suspects`, on at most
    :data:`~nmfdiag.measures.suspects.controls.MOST_SCORED` of them), AuC by layer and
    class from single-class batches. Where the statistics of its batch norms lag behind its weights, a copy with re-estimated ones is measured
    (:func:`nmfdiag.re_estimate_batch_norm`), and the first remark says so.

    Args:
        model: The network; it is left as it was.
        inputs: Training samples (n, ...), in any form that :func:`nmfdiag.data.samples.as_samples` takes.
        labels: Their given labels (n,); None if ``inputs`` include them. Samples with a negative one, such as PyTorch's ``ignore_index``, are left out.
        title: Name of the network; default its type.
        class_names: Names by class.
        without: Reference networks to leave out of the comparison, such as itself.
        train_size: Number of samples that the network was trained on, of which ``inputs`` are all or some; None if it is not known. With far more
            parameters than that AuC is not compared.
        selected_classes: Numbers of the classes of ``inputs``, where these were selected from the training samples by class.
        results: Results of this network that are cached, and added to; default none are.
        **options: Options of :func:`nmfdiag.layer_profile`.

    Raises:
        NmfdiagError: As :func:`nmfdiag.layer_profile`.
    """
    import torch

    from nmfdiag.data.samples import as_samples
    from nmfdiag.jobs.weights_digest import weights_digest
    from nmfdiag.measures.compression import compression_curves
    from nmfdiag.measures.compute_profile import layer_profile
    from nmfdiag.measures.preflight.accuracy import alternative_normalizations
    from nmfdiag.measures.suspects.suspects import suspects
    from nmfdiag.networks.survey import kind_of_model
    from nmfdiag.networks.wrappers import unwrapped
    from nmfdiag.zoo.measured_network import network_to_measure

    inputs, labels = as_samples(inputs, labels, model)
    inputs, labels, unlabelled_remark = labelled_only(inputs, labels)
    train_size = check_train_size(train_size, len(inputs))
    network_type = type(model).__name__
    model, remark = network_to_measure(
        model, inputs, labels, alternatives=lambda: (inputs, alternative_normalizations(inputs)),
        logits=options.get("logits"),
    )  # fmt: skip
    on_progress = options.pop("on_progress", None) or (lambda share, task: None)
    profile = layer_profile(
        model,
        inputs,
        labels,
        on_progress=lambda share, task: on_progress(PROFILE_SHARE * share, task),
        compute=results.curves(model, inputs, labels, options) if results else compression_curves,
        **options,
    )
    scored, remark_on_labels = scored_labels(
        model,
        inputs,
        labels,
        options,
        class_names,
        lambda share, task: on_progress(PROFILE_SHARE + (1 - PROFILE_SHARE) * share, task),
        results.suspects if results else suspects,
    )
    samples = inputs.cpu().contiguous()
    origin = {
        **provenance("nmfdiag", "torch", "numpy", "date"),
        "network": network_type,
        "weights (sha256)": weights_digest(unwrapped(model)),
        "samples (sha256)": hashlib.sha256(samples.flatten().view(torch.uint8).numpy().data).hexdigest(),
        "samples": f"{len(inputs)} given, up to {options.get('per_class', 50)} a class used",
        "settings": ", ".join(f"{key} = {value}" for key, value in options.items()) or "defaults",
    }
    return diagnosis_from_profile(
        profile,
        origin,
        kind=kind_of_model(unwrapped(model), inputs),
        without=without,
        class_names=class_names,
        title=title,
        remarks=[*filter(None, [unlabelled_remark, remark, remark_on_labels])],
        suspects=scored,
        training_set=TrainingSet(
            scored.controls.n_samples if scored else None,
            train_size,
            sum(parameter.numel() for parameter in model.parameters()),
            tuple(class_name(c, class_names) for c in selected_classes),
        ),
    )


def diagnosis_of(
    results: Mapping[CurveRequest, CompressionCurve],
    entry: ZooEntry,
    *,
    without: Collection[str] = (),
    suspects: Suspects | Controls | None = None,
) -> Diagnosis:
    """Return the diagnosis of a network of the zoo from computed curves, such as a page's.

    Args:
        results: Curves by request; those of other networks and of removed directions are ignored, and those of mixtures if
            there are single-class batches. Seeds count as draws.
        entry: The network.
        without: Further reference networks to leave out of the comparison.
        suspects: What the network says about the labels of its samples, or the controls of that, if it was measured.

    Raises:
        NmfdiagError: If there is no curve of this network, or its curves were requested with different settings.
    """
    entry_curves = {r: c for r, c in results.items() if r.entry == entry.name and r.operation == "compress"}
    entry_curves = {r: c for r, c in entry_curves.items() if r.class_idx != MULTI_CLASS} or entry_curves
    if not entry_curves:
        raise NmfdiagError(f"There is no curve of {entry.name} to diagnose, among {len(results)} results.")
    settings = {(r.per_class, r.grid, r.solver, r.tol, r.max_iter) for r in entry_curves}
    if len(settings) > 1:
        raise NmfdiagError(
            f"A diagnosis needs curves of the same settings (batch size, rank grid, solver), got {len(settings)} different settings."
        )
    [(per_class, grid, solver, tol, max_iter)] = settings
    layers, draws = list(entry.layers), sorted({r.seed for r in entry_curves})
    profile_curves = tuple(
        ProfileCurve(layers.index(r.layer), None if r.class_idx == MULTI_CLASS else r.class_idx, c, draws.index(r.seed))
        for r, c in sorted(
            entry_curves.items(), key=lambda item: (item[0].seed, item[0].class_idx, layers.index(item[0].layer))
        )
    )
    measured_layers = {m.curve.layer for m in profile_curves}
    profile = LayerProfile(
        tuple(layer for layer in layers if layer in measured_layers),
        profile_curves,
        {layer: "no curve of it among the results" for layer in layers if layer not in measured_layers},
        network_layers=tuple(layers),
    )
    controls = suspects.controls if isinstance(suspects, Suspects) else suspects
    facts = profile_curves[0].curve.provenance
    origin = {
        **provenance("nmfdiag", "date"),
        **{str(key): value for key, value in facts.items() if key in ("torch", "numpy", "device", "processor")},
        "network": f"{entry.name} ({entry.recipe.arch})",
        "weights (sha256)": entry.sha256.get("weights", "unknown"),
        "samples (sha256)": entry.sha256.get("pool", "unknown"),
        "samples": f"its probe pool, up to {per_class} a class used",
        "settings": f"{grid} rank grid, {solver}, tol = {tol or 'its own'}, at most {max_iter} iterations, seeds {', '.join(map(str, draws))}",
    }
    return diagnosis_from_profile(
        profile,
        origin,
        kind=kind_of_architecture(entry.recipe.arch),
        without=(entry.name, *without),
        class_names=entry.class_names,
        title=entry.name,
        remarks=batch_norm_remarks(entry.trained_with),
        suspects=suspects,
        training_set=TrainingSet(
            controls.n_samples if controls else None,
            entry.recipe.n_train or None,
            entry.n_parameters,
        ),
    )


def diagnosis_from_profile(
    profile: LayerProfile,
    provenance: dict[str, Any],
    *,
    kind: str = "",
    without: Collection[str] = (),
    class_names: Sequence[str] = (),
    title: str = "",
    remarks: Sequence[str] = (),
    suspects: Suspects | Controls | None = None,
    training_set: TrainingSet | None = None,
) -> Diagnosis:
    """Return the diagnosis of a profile: answers, phases, comparison with reference networks, verdict and remarks.

    Args:
        profile: All curves.
        provenance: Conditions of the computation.
        kind: Kind of the network, as for :func:`nmfdiag.diagnosis.comparison.compare_network`.
        without: References to leave out.
        class_names: Names by class.
        title: Name of the network.
        remarks: Remarks on the network, which come first.
        suspects: What the network says about the labels of its samples, or its controls; None leaves the answers open.
        training_set: Its training set, as far as it is known.
    """
    method, names = profile.main_method, tuple(map(str, class_names))
    training_set = training_set or TrainingSet()
    phases = profile.phases(method)
    comparison = compare_network(profile, kind=kind, without=without, objection=training_set.objection)
    return Diagnosis(
        profile,
        phases,
        tuple(filter(None, (*remarks, training_set.extent, *remarks_on(profile, method, names)))),
        provenance,
        comparison,
        names,
        title,
        suspects if isinstance(suspects, Suspects) else None,
        verdict_text(profile, phases, comparison, method),
        suspects.controls if isinstance(suspects, Suspects) else suspects,
        training_set,
    )
