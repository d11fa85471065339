"""MNIST's file format, IDX: two zero bytes, a type code, the number of axes, their lengths, the values."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from nmfdiag.data.arrays import check_promise
from nmfdiag.errors import NmfdiagError

UNSIGNED_BYTE = 8


def read_idx(path: Path, n_axes: int) -> np.ndarray:
    """Read a file of unsigned bytes with ``n_axes`` axes; a name that ends in ``.gz`` is unpacked in memory.

    Raises:
        NmfdiagError: If the header is another, or the values are more or fewer than it says.

    References:
        Y. LeCun, C. Cortes, C. Burges, The MNIST database: "The IDX file format".
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * n_axes)
            if len(header) < 4 + 4 * n_axes or header[:4] != bytes((0, 0, UNSIGNED_BYTE, n_axes)):
                raise NmfdiagError(f"{path.name} is no IDX file of unsigned bytes with {n_axes} axes.")
            shape = struct.unpack(f">{n_axes}I", header[4:])
            promised = math.prod(shape)
            check_promise(promised, "its header", path)
            values = file.read(promised + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise NmfdiagError(f"{path.name} can't be read: {error}") from None
    if len(values) != promised:
        than = "more" if len(values) > promised else "fewer"
        raise NmfdiagError(f"{path.name} holds {than} values than the {promised:,} of its header {shape}.")
    return np.frombuffer(values, np.uint8).reshape(shape).copy()


def read_labelled_images(folder: Path, stem: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Read images (n, h, w) and labels (n,) of ``stem`` ("train" or "t10k"), plain or gzipped; None if not there.

    Raises:
        NmfdiagError: If a file is damaged, or there are not as many labels as images.
    """
    paths = []
    for part in ("images-idx3-ubyte", "labels-idx1-ubyte"):
        found = [p for p in (folder / f"{stem}-{part}", folder / f"{stem}-{part}.gz") if p.is_file()]
        if not found:
            return None
        paths.append(found[0])
    images, labels = read_idx(paths[0], 3), read_idx(paths[1], 1)
    if len(images) != len(labels):
        raise NmfdiagError(f"{paths[0].name} has {len(images)} images but {paths[1].name} has {len(labels)} labels.")
    return images, labels
