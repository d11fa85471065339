"""A network of the user's for tests: a copy of a shipped one in another zoo, and a stand-in for the command that opens it."""

import json
import sys
from pathlib import Path

from nmfdiag.jobs.open_process import Opening
from nmfdiag.zoo.registry import lookup, refresh

SHIPPED = "digits-mlp-p0-s0"
CHECK = {
    "preflight": {
        "layers": [
            {"name": f"fc{i}", "kind": "ReLU", "width": 128, "rows": 50, "bytes": 10_000_000} for i in range(1, 6)
        ],
        "skipped": {"gate": "a gate (Sigmoid)"},
        "batches": {str(c): 50 for c in range(10)},
        "accuracy": 0.875,
        "accuracy_by_class": {str(c): 0.9 for c in range(10)},
        "seconds": 50.0,
        "label_seconds": 10.0,
        "bytes": 50_000_000,
        "better": "half",
        "remarks": ["a *remark*", "Normalised as 'half' (92% of 128 right) they would fit better."],
    },
    "problems": [],
    "provenance": {"network": "mlp", "normalization": "none, as asked for"},
}
COPY_CODE = "import sys; from pathlib import Path; from own_network import CHECK, copy_network; import json; copy_network(sys.argv[1], Path(sys.argv[2])); print(json.dumps(CHECK))"


def copy_network(name: str, home: Path) -> None:
    """Copy a shipped network and its pool into a zoo, under another name."""
    entry = lookup(SHIPPED)
    (home / name).mkdir(parents=True, exist_ok=True)
    (home / "pools").mkdir(exist_ok=True)
    for part, path in entry.files.items():
        target = home / "pools" / f"{name}.safetensors" if part == "pool" else home / name / path.name
        target.write_bytes(path.read_bytes())
    record = json.loads((entry.folder / "entry.json").read_text())
    record |= {"called": name, "pool": name, "recipe": record["recipe"] | {"dataset": name}}
    (home / name / "entry.json").write_text(json.dumps(record))
    refresh()


def copy_command(home: Path, openings: list[Opening]) -> object:
    """Return a stand-in for the command that opens a network: it copies a shipped one into the zoo."""

    def command(opening: Opening) -> list[str]:
        openings.append(opening)
        tests = str(Path(__file__).parent)
        return [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {tests!r}); {COPY_CODE}",
            opening.name,
            str(home),
        ]

    return command
