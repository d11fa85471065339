"""Suspects in the forms that other tools import: cleanlab's Datalab, FiftyOne and Label Studio; and back, what was decided there.

Samples are named by their numbers in the user's data and, where they are known, by their files. Classes are named by their names, or by
whole numbers where those are their names.
"""

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.version import __version__

if TYPE_CHECKING:
    import pandas as pd

CHOICES, SHOWN = "label", "sample"
"""Names of Label Studio's control (the choice of a class) and of what it is about."""
MODEL_VERSION = f"nmfdiag {__version__}"
MAX_BYTES = 2**28
"""Bytes of an annotated export."""


def datalab_issues(suspects: Suspects) -> "pd.DataFrame":
    """Return the label issues as ``Datalab.get_issues("label")`` has them: one row per sample, in the order of the samples.

    ``is_label_issue`` marks as many of the most suspicious samples as the rate says, and none where it is not clearly above zero.
    ``label_score`` is 1 for a clean label, ``given_label`` the given one, ``predicted_label`` the suggestion for an issue and else the
    given one. Where all samples were scored, the frame fits ``CleanLearning.fit(..., label_issues=)`` as it is. The index holds the
    samples' numbers and is called ``index``; ``file`` comes last, where it is known.
    """
    import pandas as pd

    is_issue = ~np.isin(suspects.indices, suspects.cleaned())
    names = _labels(suspects)
    columns: dict[str, Any] = {
        "is_label_issue": is_issue,
        "label_score": 1 - suspects.score,
        "given_label": [names[c] for c in suspects.given.tolist()],
        "predicted_label": [names[c] for c in np.where(is_issue, suspects.suggested, suspects.given).tolist()],
    }
    files = {"file": list(suspects.file_names)} if suspects.file_names else {}
    return pd.DataFrame(columns | files, index=pd.Index(suspects.indices, name="index"))


def fiftyone_dataset(suspects: Suspects, folder: str | Path = "") -> dict[str, list[dict[str, Any]]]:
    """Return what ``samples.json`` holds in FiftyOne's ``LegacyFiftyOneDataset``: ``samples``, the most suspicious first.

    ``ground_truth`` is the given label and ``suggestion`` the suggested one, with its confidence. ``mistakenness`` is the score, under
    the name that FiftyOne's own measure has. ``index`` is the sample's number, ``layers_against`` how many layers speak against the given
    label, the tag ``label issue`` marks as many samples as the rate says. ``fiftyone.Sample.from_dict`` takes each sample, too.

    Args:
        suspects: The suspects; their files must be known, since FiftyOne shows files.
        folder: Where the files lie; default relative to FiftyOne's ``rel_dir``.

    Raises:
        NmfdiagError: If the samples have no files.
    """
    if not suspects.file_names:
        raise NmfdiagError("FiftyOne shows files, and these samples have none: give an image folder or a zip of one.")
    issues = set(np.setdiff1d(suspects.indices, suspects.cleaned()).tolist())
    samples = []
    for row in suspects.order:
        index = int(suspects.indices[row])
        samples.append({
            "filepath": os.path.join(folder, suspects.file_names[row]),
            "tags": ["label issue"] if index in issues else [],
            "ground_truth": _classification(suspects, int(suspects.given[row])),
            "suggestion": _classification(suspects, int(suspects.suggested[row]), float(suspects.confidence[row])),
            "mistakenness": float(suspects.score[row]),
            "layers_against": int(suspects.layers_against[row]),
            "index": index,
        })  # fmt: skip
    return {"samples": samples}


def label_studio_tasks(
    suspects: Suspects, n: int | None = None, *, files_at: str = "", images: Mapping[int, str] | None = None
) -> list[dict[str, Any]]:
    """Return tasks to be imported into Label Studio, the most suspicious first; each has the suggested class as its prediction.

    :func:`label_studio_config` is the labelling interface that they need.

    Args:
        suspects: The suspects.
        n: How many tasks at most; default one for every sample.
        files_at: What comes before the file's name in an address, such as ``"/data/local-files/?d="``.
        images: Addresses of images by the samples' numbers (``data:`` ones are taken, too), in place of the files.

    Raises:
        NmfdiagError: If a sample has no image among ``images``.
    """
    tasks = []
    for row in suspects.order[:n]:
        index, given_label = int(suspects.indices[row]), suspects.class_name(int(suspects.given[row]))
        view: dict[str, str] = {"text": f"Sample {index}, given label {given_label}"}
        if images is not None:
            if index not in images:
                raise NmfdiagError(
                    f"Sample {index} has no image: images must hold one for each of the {len(suspects.order[:n])} tasks."
                )
            view = {"image": images[index]}
        elif suspects.file_names:
            name = suspects.file_names[row]
            view = {"image": files_at + quote(name) if files_at else name}
        choice = {"choices": [suspects.class_name(int(suspects.suggested[row]))]}
        data: dict[str, Any] = {**view, "index": index, "given": given_label, "score": float(suspects.score[row])}
        tasks.append({
            "data": data,
            "predictions": [{
                "model_version": MODEL_VERSION,
                "score": float(suspects.confidence[row]),
                "result": [{"from_name": CHOICES, "to_name": SHOWN, "type": "choices", "value": choice}],
            }],
        })  # fmt: skip
    return tasks


def label_studio_config(suspects: Suspects, *, with_images: bool) -> str:
    """Return the labelling interface of :func:`label_studio_tasks`: the sample, its given label, and one choice per class.

    Args:
        suspects: The suspects.
        with_images: Whether the tasks show images: where the files are known, or images were given.
    """
    names = [suspects.class_name(c) for c in range(suspects.n_classes)]
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in names)
    view = '<Image name="sample" value="$image"/>' if with_images else '<Text name="sample" value="$text"/>'
    return f"""<View>
  {view}
  <Header value="Given label: $given"/>
  <Choices name="{CHOICES}" toName="{SHOWN}" choice="single" showInline="true">
{choices}
  </Choices>
</View>
"""


@dataclass(frozen=True)
class Decisions:
    """What people decided about samples.

    Attributes:
        labels: The label decided on, by sample.
        given: The label that it had, by sample.
        undecided: Samples that were skipped, or on which annotators disagree.
    """

    labels: Mapping[int, int]
    given: Mapping[int, int]
    undecided: tuple[int, ...] = ()

    @property
    def wrong(self) -> tuple[int, ...]:
        """Samples whose given label is wrong."""
        return tuple(index for index, label in self.labels.items() if label != self.given[index])

    @property
    def precision(self) -> float | None:
        """Share of wrong labels among the decided ones; None where there are none."""
        return len(self.wrong) / len(self.labels) if self.labels else None


def read_label_studio(path: str | Path, suspects: Suspects) -> Decisions:
    """Read what was decided from an annotated export of Label Studio, as ``JSON`` or ``JSON-MIN``.

    Args:
        path: The file.
        suspects: The suspects whose tasks were annotated.

    Raises:
        NmfdiagError: If it can't be read, is not such an export, or is about other samples or classes.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise NmfdiagError(f"{path.name} has more than {MAX_BYTES >> 20} MiB.")
        tasks = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise (
            error if isinstance(error, NmfdiagError) else NmfdiagError(f"{path.name} can't be read as JSON: {error}")
        ) from None
    numbers = {suspects.class_name(c): c for c in range(suspects.n_classes)}
    votes: dict[int, set[str | None]] = defaultdict(set)
    task: Any
    for task in tasks if isinstance(tasks, list) else [None]:
        data = task.get("data", task) if isinstance(task, dict) else None
        index = data.get("index") if isinstance(data, dict) else None
        if not isinstance(index, int) or isinstance(index, bool):
            raise NmfdiagError(
                f"{path.name} is no annotated export of these tasks: expected a list whose objects have data.index."
            )
        votes[index] |= _votes(task)
    given_rows = suspects.rows(np.array(list(votes))) if votes else np.zeros(0, int)
    given_labels = dict(zip(votes, suspects.given[given_rows].tolist(), strict=True))
    decided, undecided = {}, []
    for index, names in votes.items():
        if unknown := [name for name in names if name is not None and name not in numbers]:
            raise NmfdiagError(
                f"{path.name}: sample {index} was given the class {unknown[0]!r}, which the network doesn't have."
            )
        if len(names) == 1 and None not in names:
            decided[index] = numbers[str(next(iter(names)))]
        elif names:
            undecided.append(index)
    return Decisions(decided, given_labels, tuple(undecided))


def _votes(task: Mapping[str, Any]) -> set[str | None]:
    """Return the classes that a task's annotations chose, None for a skipped or empty one."""
    if "annotations" not in task:  # JSON-MIN: the choice itself, a list of several, nothing where it was skipped
        choice = task.get(CHOICES)
        return {choice} if isinstance(choice, str) else {None} if choice is not None else set()
    names: set[str | None] = set()
    annotations = task["annotations"]
    for annotation in annotations if isinstance(annotations, list) else []:
        results = annotation.get("result") if isinstance(annotation, dict) else None
        choices = [
            choice
            for result in (results if isinstance(results, list) else [])
            if isinstance(result, dict) and result.get("from_name") == CHOICES and isinstance(result.get("value"), dict)
            for choice in result["value"].get("choices", [])
            if isinstance(choice, str)
        ]
        was_skipped = not isinstance(annotation, dict) or bool(annotation.get("was_cancelled")) or len(choices) != 1
        names.add(None if was_skipped else choices[0])
    return names


def _labels(suspects: Suspects) -> dict[int, str | int]:
    """Return each class's name, or its number where classes are named by their numbers."""
    names = suspects.class_names
    if names == tuple(map(str, range(len(names)))):
        return {c: c for c in range(suspects.n_classes)}
    return {c: suspects.class_name(c) for c in range(suspects.n_classes)}


def _classification(suspects: Suspects, class_idx: int, confidence: float | None = None) -> dict[str, Any]:
    """Return a label of FiftyOne."""
    label = {"_cls": "Classification", "label": suspects.class_name(class_idx)}
    return label if confidence is None else label | {"confidence": confidence}
