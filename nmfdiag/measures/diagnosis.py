"""The answer in words and figures: what a layer profile says about memorisation."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nmfdiag.measures.phases import Phases
from nmfdiag.measures.profile import LayerProfile, layer_profile
from nmfdiag.measures.reading import reading


@dataclass(frozen=True)
class Diagnosis:
    """A profile, its phases and a plain-words reading."""

    profile: LayerProfile
    phases: Phases
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """AuC by layer with its spread over classes, phases, verdict, and what was skipped."""
        return {
            "verdict": self.verdict,
            "phases": {
                "feature_extraction": self.phases.feature_extraction,
                "memorisation": self.phases.memorisation,
                "clustering": self.phases.clustering,
                "reason": self.phases.reason,
            },
            "layers": [
                {"layer": layer, "auc": s.mean, "auc_standard_error": s.sem, "n_batches": s.n}
                for layer, s in self.profile.auc_by_layer().items()
            ],
            "skipped": self.profile.skipped,
        }

    def to_json(self, path: str | Path) -> None:
        """Write :meth:`to_dict` to a file."""
        Path(path).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")


def diagnose(model: nn.Module, inputs: Tensor, labels: Tensor, **options: Any) -> Diagnosis:
    """Measure a network on single-class batches of its training samples and say what that means.

    Args:
        model: The network; its mode is left as it was.
        inputs: Training samples (n, ...).
        labels: Their given labels (n,).
        **options: As for :func:`nmfdiag.layer_profile`.

    Raises:
        NmfdiagError: As :func:`nmfdiag.layer_profile`.
    """
    profile = layer_profile(model, inputs, labels, **options)
    found = profile.phases()
    return Diagnosis(profile, found, reading(profile.auc_by_layer(), found))
