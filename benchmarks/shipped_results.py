"""Compute what nmfdiag ships of its own networks, so that the pages' default views are there at once: ``python benchmarks/shipped_results.py [NETWORK...]``.

Curves and suspects go through the cache (``NMFDIAG_CACHE``), so that it goes on where it stopped; hours on one core for all.
"""

import sys

import torch

from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.jobs.score_labels import score
from nmfdiag.jobs.shipped_results import write_results
from nmfdiag.views.selection import Choice, methods_of
from nmfdiag.zoo.registry import entries


def main(names: list[str]) -> None:
    """Compute and write the results of these networks, of all that are shipped without names."""
    cache, n_bytes = CurveCache(), 0
    for entry in entries().values():
        if entry.called or (names and entry.name not in names):
            continue
        curves = {}
        for request in Choice((entry,), next(iter(entry.layers)), methods=methods_of(entry)[:1]).requests():
            if (curve := cache.get(request.key)) is None:
                curve = compute(request, device="cpu")
                cache.put(request.key, curve)
            curves[request] = curve
        request = SuspectsRequest(entry.name)
        if (suspects := cache.get(request.key)) is None:
            suspects = score(request, device="cpu")
            cache.put(request.key, suspects)
        size = write_results(entry, curves, suspects.controls)
        n_bytes += size
        print(f"{entry.name}: {len(curves)} curves, {size:,} bytes", flush=True)
    print(f"{n_bytes:,} bytes")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1:])
