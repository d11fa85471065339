"""The lowest classes: planted gaps are found, saturated layers ignored, and one draw decides nothing."""

from dataclasses import replace

import pytest
from planted_references import curve, profile

from nmfdiag.diagnosis.class_ranking import class_readings, unsaturated
from nmfdiag.measures.layer_profile import LayerProfile, ProfileCurve


def planted(n_draws: int, *, gap: float = 0.1, wobble: float = 0.002) -> LayerProfile:
    """Return a profile whose class 2 is lower by ``gap`` at two layers; the third is saturated, with class 0 slightly lower."""
    curves = [
        ProfileCurve(
            i, c, curve(1.0 - 0.004 * (c == 0) if layer == "full" else 0.8 - gap * (c == 2) + wobble * sign, layer), d
        )
        for d in range(n_draws)
        for i, layer in enumerate(("a", "b", "full"))
        for c in range(4)
        for sign in [(-1) ** (d + c)]
    ]
    return LayerProfile(("a", "b", "full"), tuple(curves), {})


def test_the_planted_class_is_first_and_clear() -> None:
    layer_profile = planted(4)
    assert unsaturated(layer_profile) == ["a", "b"]
    readings = class_readings(layer_profile)
    assert readings[0].class_idx == 2 and [r.clear for r in readings] == [True, False, False, False]
    lowest = readings[0]
    assert lowest.gap.mean == pytest.approx(-0.075) and lowest.auc.mean == pytest.approx(0.7)
    assert (lowest.layers, lowest.below, lowest.auc.n) == (2, 2, 4) and lowest.lowest[1] == pytest.approx(0.7)


def test_one_draw_can_not_say_and_much_noise_is_not_clear() -> None:
    assert {r.clear for r in class_readings(planted(1))} == {None}
    assert not any(r.clear for r in class_readings(planted(2, gap=0.03, wobble=0.05)))
    assert not any(r.clear for r in class_readings(planted(4, gap=0.01, wobble=1e-5)))  # clear, but negligible


def test_a_class_that_a_layer_is_missing_for_is_compared_where_it_was_measured() -> None:
    layer_profile = planted(2, wobble=0)
    curves = tuple(
        replace(m, curve=replace(m.curve, accuracy=[0.5] * 5)) if m.curve.layer == "b" else m
        for m in layer_profile.measured
        if (m.curve.layer, m.class_idx) != ("b", 1)
    )
    readings = {r.class_idx: r for r in class_readings(replace(layer_profile, measured=curves))}
    assert readings[1].layers == 1 and readings[1].gap.mean == pytest.approx(0.025)
    assert readings[0].gap.mean == pytest.approx(0.0125)


def test_nothing_to_compare_gives_no_reading() -> None:
    assert class_readings(profile(1.0, layers=["a"], accuracy=[1.0] * 5)) == ()
    assert class_readings(profile(0.8, n_classes=1)) == ()
