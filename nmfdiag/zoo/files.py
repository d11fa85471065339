"""Names of the files of a zoo, and their hashes."""

import hashlib
from pathlib import Path

from nmfdiag.errors import NmfdiagError

ENTRY_FILE, WEIGHTS_FILE, LABELS_FILE, POOLS = "entry.json", "weights.safetensors", "labels.safetensors", "pools"


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file's bytes.

    Raises:
        NmfdiagError: If the file is missing.
    """
    if not path.is_file():
        raise NmfdiagError(f"The zoo file {path.name} of {path.parent.name} is missing.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
