"""One stream of random numbers for a seed, the same on every machine and with every torch."""

from operator import index

import numpy as np

from nmfdiag.errors import NmfdiagError


def generator(seed: int) -> np.random.Generator:
    """Start the stream of a seed.

    Raises:
        NmfdiagError: If the seed is no whole number, or negative.
    """
    try:
        return np.random.Generator(np.random.PCG64(index(seed)))
    except (TypeError, ValueError):
        raise NmfdiagError(f"A seed must be a whole number, 0 or more, got {seed!r}.") from None
