"""Results that come with nmfdiag's own networks: the curves of the pages' default view, and the controls that the answers are made from.

They were computed by the same code on the machine that their provenance names (``benchmarks/shipped_results.py``), a file for each network. Results of other weights, probe
batches or schema are left alone.
"""

import json
import lzma
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from typing import Any

from nmfdiag.jobs.requests import CurveRequest, SuspectsRequest, stamp
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.suspects.controls import Controls
from nmfdiag.measures.suspects.noise_rate import NoiseRate
from nmfdiag.zoo.registry import ZooEntry, lookup

RESULTS_FILE = "results.json.xz"
SHIPPED = "shipped"
"""Key in the provenance of a result that came with nmfdiag."""
PRESET, DICTIONARY = 9 | lzma.PRESET_EXTREME, 2**20
"""Of the compression; the dictionary is what reading a file takes in memory (64 MiB by default)."""
DIGITS = 6
"""Significant digits that are kept of errors."""


@dataclass(frozen=True)
class ShippedResults:
    """What is shipped of a network.

    Attributes:
        curves: By the key of their request.
        controls: Of its labels; None where they are not shipped.
    """

    curves: dict[str, CompressionCurve] = field(default_factory=dict)
    controls: Controls | None = None


def shipped_results(entry: ZooEntry) -> ShippedResults:
    """Return the shipped results of a network; empty without a file, or where its weights, samples or code differ."""
    path = entry.folder / RESULTS_FILE
    if entry.called or not path.is_file():
        return ShippedResults()
    return _read(entry.name, entry.digest, str(path))


@lru_cache(maxsize=128)
def _read(name: str, digest: str, path: str) -> ShippedResults:
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            record = json.load(file)
        if record["content"] != digest:
            return ShippedResults()
        curves = {}
        for parts, curve in record["curves"]:
            request = CurveRequest(name, **parts)
            if record["schema"][0] == request.schema:
                origin = record["provenance"] | curve["provenance"] | stamp(request, digest) | {SHIPPED: True}
                curves[request.key] = CompressionCurve.from_dict(curve | {"provenance": origin})
        controls = record["controls"]
        if controls is not None and record["schema"][1] == SuspectsRequest.schema:
            return ShippedResults(curves, Controls(**controls | {"noise_rate": NoiseRate(**controls["noise_rate"])}))
        return ShippedResults(curves)
    except (OSError, ValueError, TypeError, KeyError, EOFError, MemoryError, lzma.LZMAError):
        return ShippedResults()  # it is computed instead


def shipped_curves(requests: Mapping[str, Any]) -> dict[str, CompressionCurve]:
    """Return the shipped curves of these requests; both mappings are by key in the cache."""
    curves: dict[str, CompressionCurve] = {}
    for name in {request.entry for request in requests.values() if isinstance(request, CurveRequest)}:
        curves |= shipped_results(lookup(name)).curves
    return {key: curves[key] for key in requests if key in curves}


def write_results(entry: ZooEntry, curves: dict[CurveRequest, CompressionCurve], controls: Controls | None) -> int:
    """Write what is shipped of a network; return the size of the file in bytes."""
    defaults = {item.name: item.default for item in fields(CurveRequest)}
    common = dict.fromkeys(stamp(next(iter(curves)), entry.digest))
    origins = [
        {k: v for k, v in curve.provenance.items() if k not in common and k != SHIPPED} for curve in curves.values()
    ]
    shared = {k: v for k, v in origins[0].items() if all(origin.get(k) == v for origin in origins)}
    rows = [
        (
            {k: v for k, v in asdict(request).items() if k != "entry" and v != defaults[k]},
            _rounded(asdict(curve) | {"provenance": {k: v for k, v in origin.items() if k not in shared}}),
        )
        for (request, curve), origin in zip(curves.items(), origins, strict=True)
    ]
    record = {
        "content": entry.digest,
        "schema": [CurveRequest.schema, SuspectsRequest.schema],
        "provenance": shared,
        "controls": controls and asdict(controls),
        "curves": rows,
    }
    text = json.dumps(record, separators=(",", ":")).encode()
    content = lzma.compress(text, filters=[{"id": lzma.FILTER_LZMA2, "preset": PRESET, "dict_size": DICTIONARY}])
    (entry.folder / RESULTS_FILE).write_bytes(content)
    return len(content)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
