"""The JSON Schema (draft 2020-12) of a diagnosis."""

from typing import Any

from nmfdiag.diagnosis.answers import CODES, QUESTIONS

SCHEMA = "nmfdiag-diagnosis/3"
"""Name of the format. It adds ``code``, ``answers``, ``expected_error`` and ``second_opinion`` to ``nmfdiag-diagnosis/2``, where ``verdict`` was what the second
opinion is now. ``training_set`` came later: files of this format may lack it."""
BEFORE_ANSWERS = "nmfdiag-diagnosis/2"
"""Name of the format before; it extends ``nmfdiag-diagnosis/1``: a class has one object per layer, method and draw."""

_TEXT, _TRUTH = {"type": "string"}, {"type": "boolean"}
_WHOLE, _NUMBER = {"type": "integer"}, {"type": "number"}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_COUNT = {"type": "integer", "minimum": 0}
_TEXTS = {"type": "array", "items": _TEXT}


def schema(name: str = SCHEMA) -> dict[str, Any]:
    """Return the schema of :meth:`nmfdiag.Diagnosis.to_dict`: every key, its type, and whether it may be null.

    Args:
        name: Name of the format: the present one, or :data:`BEFORE_ANSWERS` for files that an earlier version wrote.
    """
    answers = {
        "code": {"enum": list(CODES)},
        "answers": _object(**dict.fromkeys(QUESTIONS, _answer())),
        "expected_error": _or_null(_object(estimate=_SHARE, low=_SHARE, high=_SHARE)),
        "second_opinion": _TEXT,
    }
    record = _object(
            **(answers if name == SCHEMA else {}),
            schema={"const": name},
            title=_TEXT,
            verdict=_TEXT,
            remarks=_TEXTS,
            phases=_object(feature_extraction=_TEXTS, memorisation=_TEXTS, clustering=_TEXTS, reason=_TEXT),
            layers=_list(layer=_TEXT, auc=_SHARE, auc_standard_error=_positive(), n_batches=_COUNT),
            classes=_list(
                **{"class": _WHOLE, "layer": _TEXT, "method": _TEXT, "auc": _SHARE, "auc_log": _SHARE},
                baseline_accuracy=_SHARE, n_samples=_COUNT, converged=_TRUTH, draw=_COUNT,
            ),
            class_readings=_list(
                **{"class": _COUNT, "name": _TEXT, "auc": _SHARE, "gap": _NUMBER, "layers": _COUNT, "below": _COUNT},
                auc_standard_error=_or_null(_positive()), gap_standard_error=_or_null(_positive()), n_draws=_COUNT,
                clear=_or_null(_TRUTH), lowest_layer=_TEXT, lowest_auc=_SHARE, n_samples=_COUNT,
            ),
            comparison=_or_null(_comparison()),
            skipped={"type": "object", "additionalProperties": _TEXT},
            provenance={"type": "object"},
        )  # fmt: skip
    if name == SCHEMA:
        count = _or_null(_COUNT)
        record["properties"]["training_set"] = _or_null(_object(samples=count, size=count, parameters=count))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name, **record}


def _answer() -> dict[str, Any]:
    share = _or_null(_SHARE)
    return _object(code=_TEXT, estimate=share, low=share, high=share, text=_TEXT, evidence=_TEXTS, limits=_TEXTS)


def _comparison() -> dict[str, Any]:
    pair = {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}
    level = _list(
        p=_SHARE, references=_COUNT, low=_SHARE, high=_SHARE, below=_COUNT, above=_COUNT, compatible=_or_null(_TRUTH)
    )
    return _object(
        kind=_TEXT,
        reason=_TEXT,
        remarks=_TEXTS,
        references=_list(network=_TEXT, p=_SHARE, auc=_SHARE, auc_log=_SHARE),
        places=_list(
            axis={"enum": ["linear", "log"]}, auc=_SHARE, standard_error=_positive(), finding=_TEXT,
            compatible_p=_or_null({"type": "array", "items": _SHARE}), between_data_sets=_or_null(_positive()), between_seeds=_or_null(_positive()),
            levels=level,
        ),
        layers=_list(layer=_TEXT, depth=_SHARE, auc=_SHARE, clean=pair, random=pair),
        checks=_list(
            kind=_TEXT, axis=_TEXT, left_out=_TEXT, ends=_COUNT, told=_COUNT, ranged=_COUNT, covered=_COUNT,
            width=_or_null(_positive()), correlation=_or_null(_NUMBER),
        ),
    )  # fmt: skip


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _list(**properties: Any) -> dict[str, Any]:
    return {"type": "array", "items": _object(**properties)}


def _or_null(subschema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [subschema, {"type": "null"}]}


def _positive() -> dict[str, Any]:
    return {"type": "number", "minimum": 0}
