"""Suspects as a record that JSON can hold: arrays as base64 bytes of numbers, never a pickle.

About 246 bytes per sample, and 5 per sample and layer: 2.9 MB for 10,000 samples and 10 layers.
"""

import base64
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, cast

import numpy as np

from nmfdiag.measures.suspects.noise_rate import NoiseRate
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.measures.suspects.swap_control import PrecisionTable

ARRAY = "array"
NUMBER_TYPES = ("<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "|b1")
LARGEST_SKETCH = 6e4
"""Largest value of float16, nearly."""


def to_payload(suspects: Suspects) -> dict[str, Any]:
    """Return a record of JSON's types from which :func:`from_payload` makes the object again; the sketch is kept in float16."""
    record = {entry.name.removeprefix("_"): getattr(suspects, entry.name) for entry in fields(suspects)}
    if suspects._precision is not None:
        record["precision"] = vars(suspects._precision)
    if suspects._sketch is not None:
        record["sketch"] = np.clip(suspects._sketch, -LARGEST_SKETCH, LARGEST_SKETCH).astype("<f2")
    return cast(dict[str, Any], _encoded(record | {"noise_rate": asdict(suspects.noise_rate)}))


def from_payload(payload: Mapping[str, Any]) -> Suspects:
    """Return the suspects of a record.

    Raises:
        ValueError, TypeError, KeyError: If it is not one of :func:`to_payload`.
    """
    record = _decoded(dict(payload))
    precision, sketch = record.pop("precision"), record.pop("sketch")
    n = len(record["given"])
    record |= {key: tuple(value) for key, value in record.items() if isinstance(value, list)}
    record["duplicates"] = tuple(map(tuple, record["duplicates"]))
    record["noise_rate"] = NoiseRate(**record["noise_rate"])
    by_sample = [record[name] for name in ("score", "suggested", "confidence", "layers_against", "indices")]
    by_sample += [*record["components"].values(), *record["against_by_layer"].values(), *record["predicted"].values()]
    if any(values.shape != (n,) for values in by_sample) or (sketch is not None and len(sketch) != n):
        raise ValueError("The arrays differ in length.")
    return Suspects(
        **record,
        _precision=precision and PrecisionTable(**precision),
        _sketch=None if sketch is None else sketch.astype(np.float32),
    )


def _encoded(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        if value.dtype == np.int64 and value.size and np.abs(value).max() < 2**31:
            value = value.astype("<i4")
        array = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        return {ARRAY: base64.b64encode(array.tobytes()).decode(), "type": array.dtype.str, "shape": list(array.shape)}
    if isinstance(value, Mapping):
        return {str(key): _encoded(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_encoded(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict) and ARRAY in value:
        if value["type"] not in NUMBER_TYPES:
            raise ValueError(f"Arrays of {value['type']!r} are not stored.")
        array = np.frombuffer(base64.b64decode(value[ARRAY], validate=True), value["type"]).reshape(value["shape"])
        return array.astype(np.int64) if array.dtype.kind == "i" else array
    if isinstance(value, dict):
        return {key: _decoded(item) for key, item in value.items()}
    return [_decoded(item) for item in value] if isinstance(value, list) else value
