"""The rows of a probe batch, by given labels alone: without torch, so that a page can show the samples."""

import numpy as np


def rows_of_class(given_labels: np.ndarray, class_idx: int, size: int, seed: int = 0) -> np.ndarray:
    """Return the rows of up to ``size`` samples whose given label is ``class_idx``, in ascending order.

    >>> rows_of_class(np.array([0, 1, 1, 0, 1]), 1, 2).tolist()
    [1, 4]
    """
    members = np.flatnonzero(given_labels == class_idx)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(members))
    return np.sort(members[order[:size]])
