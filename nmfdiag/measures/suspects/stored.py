"""Suspects as a record that JSON can hold: arrays as base64 bytes of numbers, never a pickle.

About 235 bytes per sample, and 5 per sample and layer: 2.9 MB for 10,000 samples and 10 layers.
"""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from nmfdiag.measures.suspects.noise_rate import NoiseRate

ARRAY = "array"
NUMBER_TYPES = ("<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "|b1")
LARGEST_SKETCH = 6e4
"""Largest value of float16, nearly."""
RANKS_LISTED = 200
"""Numbers of most suspicious samples whose expected precision is stored; between them it is interpolated."""


@dataclass(frozen=True)
class PrecisionTable:
    """What remains of the swap control: the expected share of wrong labels among the most suspicious samples.

    Attributes:
        counts: Numbers of most suspicious samples, ascending (t,).
        values: The expected precision of each (t,).
        n_samples: All samples.
    """

    counts: np.ndarray
    values: np.ndarray
    n_samples: int

    def precision(self, share: float, rate: float) -> float:
        """Return the expected precision among a share of the samples, as the swap control does; the rate is the one it was made with."""
        return float(np.interp(share * self.n_samples, self.counts, self.values))


class StoredSuspects:
    """What :class:`nmfdiag.measures.suspects.result.Suspects` has to be stored with. It adds no field."""

    def to_payload(self) -> dict[str, Any]:
        """Return a record of JSON's types from which :meth:`from_payload` makes the object again.

        Of the swap control only the expected precision is kept, and the sketch in float16.
        """
        record = {entry.name: getattr(self, entry.name) for entry in fields(self)}  # type: ignore[arg-type]
        control, sketch = record.pop("_control"), record.pop("_sketch")
        n = len(record["given"])
        counts = np.unique(np.geomspace(1, n, RANKS_LISTED).round().astype(int))
        if control is not None:
            values = np.array([self.expected_precision(int(count)) for count in counts])  # type: ignore[attr-defined]
            record["precision"] = {"counts": counts, "values": values}
        if sketch is not None:
            record["sketch"] = np.clip(sketch, -LARGEST_SKETCH, LARGEST_SKETCH).astype("<f2")
        return _encoded(record | {"noise_rate": asdict(record["noise_rate"])})

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> Self:
        """Return the suspects of a record.

        Raises:
            ValueError, TypeError, KeyError: If it is not one of :meth:`to_payload`.
        """
        record = _decoded(dict(payload))
        precision, sketch = record.pop("precision", None), record.pop("sketch", None)
        n = len(record["given"])
        table = PrecisionTable(precision["counts"], precision["values"], n) if precision else None
        lists = {key: tuple(value) for key, value in record.items() if isinstance(value, list)}
        record |= lists | {"duplicates": tuple(map(tuple, record["duplicates"]))}
        record["noise_rate"] = NoiseRate(**record["noise_rate"])
        by_sample = [record[name] for name in ("score", "suggested", "confidence", "layers_against", "indices")]
        by_sample += [*record["components"].values(), *record["against_by_layer"].values()]
        if any(values.shape != (n,) for values in by_sample) or (sketch is not None and len(sketch) != n):
            raise ValueError("The arrays differ in length.")
        return cls(**record, _control=table, _sketch=None if sketch is None else sketch.astype(np.float32))  # type: ignore[call-arg]


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
