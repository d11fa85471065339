"""Tooltips define every term once; a button says what it starts."""

from dataclasses import replace

import pytest

from nmfdiag.jobs.requests import CurveRequest, SupportRequest
from nmfdiag.views import cost
from nmfdiag.views.glossary import TERMS
from nmfdiag.zoo.registry import lookup


def test_every_term_has_one_sentence() -> None:
    assert {"p", "AuC", "k", "layer phases", "references", "suspects", "expected error"} <= set(TERMS)
    for text in TERMS.values():
        assert text[0].isupper() and text.endswith(".") and ". " not in text


def test_the_cost_grows_with_what_is_missing() -> None:
    requests = [CurveRequest("digits-cnn-p1-s0", "conv2_1", c, "random", per_class=20) for c in range(10)]
    assert cost.cost_text(requests).startswith("10 curves, about 5 s on an idle core.")
    assert cost.cost_text(requests[:1]).startswith("1 curve, about 1 s")
    larger = [replace(request, entry="cifar10-cnn-p1-s0") for request in requests]
    assert cost.cost_text(larger).startswith("10 curves, about 15 s")
    coarse = [replace(request, grid="coarse") for request in larger]
    assert cost.cost_text(coarse).startswith("10 curves, about 7 s")
    assert cost.cost_text([SupportRequest("digits-mlp-p0-s0", "fc1", 0)]).startswith("1 support, about 1 s")


def test_nobody_has_timed_a_network_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(lookup("digits-cnn-p1-s0"), called="mine")
    monkeypatch.setattr(cost, "lookup", lambda _: own)
    assert "depends on your network" in cost.cost_text([CurveRequest("mine", "conv2_1", 0)])
