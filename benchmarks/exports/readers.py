"""Read exported suspects with the tools that they are made for: cleanlab, FiftyOne and Label Studio's SDK.

    python benchmarks/exports/readers.py write FOLDER      # in the project's environment
    python benchmarks/exports/readers.py read FOLDER       # in one with cleanlab, datasets, fiftyone and label-studio-sdk

``read`` passes over what is not installed and says so. FiftyOne's importer is read sample by sample, which needs no database.
"""

import argparse
import importlib
import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

NETWORK, N = "digits-mlp-p0.2-s0", 600
MODULES = {"cleanlab": "cleanlab.datalab.datalab", "fiftyone": "fiftyone", "label-studio-sdk": "label_studio_sdk"}


def write(folder: Path) -> None:
    """Write samples of a shipped network as an image folder, its suspects in each form, and an annotated export as it is read here."""
    from PIL import Image
    from safetensors.numpy import load_file

    from nmfdiag.cli import main
    from nmfdiag.zoo.registry import lookup

    entry = lookup(NETWORK)
    images, labels = load_file(entry.files["pool"])["inputs"][:N], load_file(entry.files["labels"])["given"][:N]
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / "images" / f"digit {label}" / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    exports = [("datalab", "issues.csv"), ("fiftyone", "samples.json"), ("label-studio", "tasks.json")]
    options = [text for tool, name in exports for text in ("--export", tool, str(folder / name))]
    network = ["--arch", "mlp", "--weights", str(entry.files["weights"]), "--data", str(folder / "images")]
    further = ["--files-at", "/data/local-files/?d=", "--top", "50", "--json", str(folder / "suspects.json")]
    assert main(["suspects", *network, *options, *further]) == 0


def read_cleanlab(folder: Path) -> str:
    """Read the issues as Datalab's and as CleanLearning's, which trains without them."""
    import numpy as np
    import pandas as pd
    from cleanlab import Datalab
    from cleanlab.classification import CleanLearning
    from sklearn.linear_model import LogisticRegression

    frame = pd.read_csv(folder / "issues.csv", index_col="index")
    names, labels = np.unique(frame["given_label"], return_inverse=True)
    lab = Datalab({"label": list(frame["given_label"])}, label_name="label", verbosity=0)
    lab.data_issues.issues = frame[["is_label_issue", "label_score"]].reset_index(drop=True)
    lab.data_issues.info["label"] = {
        "given_label": labels, "predicted_label": np.searchsorted(names, frame["predicted_label"])
    }  # fmt: skip
    issues = lab.get_issues("label")
    assert list(issues.columns) == ["is_label_issue", "label_score", "given_label", "predicted_label"]
    for column in issues:
        assert (issues[column].to_numpy() == frame[column].to_numpy()).all(), column
    x = np.random.default_rng(0).normal(size=(len(frame), 5))
    learner = CleanLearning(LogisticRegression())
    numbered = frame.assign(given_label=labels)
    learner.fit(x, labels, label_issues=numbered)
    assert learner.label_issues_mask.sum() == frame["is_label_issue"].sum() > 0
    return (
        f"Datalab.get_issues and CleanLearning.fit: {len(issues)} samples, {int(frame['is_label_issue'].sum())} issues"
    )


def read_fiftyone(folder: Path) -> str:
    """Iterate over FiftyOne's own importer."""
    from fiftyone.utils.data.importers import LegacyFiftyOneDatasetImporter

    with LegacyFiftyOneDatasetImporter(str(folder)) as importer:
        samples = list(importer)
    assert len(samples) == N and all(Path(sample.filepath).is_file() for sample in samples)
    scores = [sample.mistakenness for sample in samples]
    assert scores == sorted(scores, reverse=True) and samples[0].tags == ["label issue"]
    for sample in samples:
        assert sample.ground_truth.label == Path(sample.filepath).parent.name != sample.suggestion.label
        assert 0 <= sample.suggestion.confidence <= 1
    return f"LegacyFiftyOneDataset: {len(samples)} samples with ground_truth, suggestion and mistakenness"


def read_label_studio(folder: Path) -> str:
    """Validate tasks and predictions against the labelling interface, as the server does at import."""
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface((folder / "tasks.xml").read_text())
    interface.validate()
    tasks: list[dict[str, Any]] = json.loads((folder / "tasks.json").read_text())
    for task in tasks:
        assert interface.validate_task({"data": task["data"]}), task
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) in (True, []), prediction
    broken = json.loads(json.dumps(tasks[0]["predictions"][0]))
    broken["result"][0]["value"]["choices"] = ["zebra"]
    assert not interface.validate_prediction(broken)
    return f"LabelInterface: {len(tasks)} tasks with predictions, a class that is not in the interface is refused"


READERS: dict[str, Callable[[Path], str]] = {
    "cleanlab": read_cleanlab, "fiftyone": read_fiftyone, "label-studio-sdk": read_label_studio,
}  # fmt: skip


def read(folder: Path) -> None:
    """Read with all tools that are installed."""
    for name, reader in READERS.items():
        try:
            importlib.import_module(MODULES[name])
        except ImportError as error:
            print(f"{name}: not installed ({error})")
            continue
        print(f"{name} {importlib.metadata.version(name)}: {reader(folder)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("write", "read"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    {"write": write, "read": read}[arguments.step](arguments.folder.resolve())
