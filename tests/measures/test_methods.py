"""A method that is added as one record, from outside, is measured, offered and drawn like any other."""

from dataclasses import replace

import pytest
from torch import nn

import nmfdiag
from nmfdiag.cli import main
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.requests import CurveRequest
from nmfdiag.measures.methods import METHODS, leading_method, method_of, methods_for
from nmfdiag.measures.preflight.network_check import preflight
from nmfdiag.views.curve_figures import curve_figure
from nmfdiag.views.curve_tables import data_table
from nmfdiag.views.selection import methods_of
from nmfdiag.zoo.registry import entries, lookup

NETWORK = "digits-mlp-p0-s0"
TOY = replace(
    METHODS["pca"], name="toy", title="Toy directions", phrase="toy directions", dash="longdash", in_paper=False
)


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, TOY.name, TOY)


def test_it_is_measured_as_its_function_says() -> None:
    entry = lookup(NETWORK)
    pool = entry.load_pool()
    network: nn.Module = entry.load_model()
    toy, pca = (
        nmfdiag.compression_curve(network, "fc2", pool.inputs[:40], pool.given_labels[:40], method=method)
        for method in ("toy", "pca")
    )
    assert (toy.method, toy.accuracy, toy.relative_error) == ("toy", pca.accuracy, pca.relative_error)
    profile = nmfdiag.layer_profile(network, pool.inputs[:60], pool.given_labels[:60], methods=("toy",), layers=["fc2"])
    assert set(profile.to_frame()["method"]) == {"toy"} == {profile.main_method}
    check = preflight(network, pool.inputs[:60], pool.given_labels[:60], methods=("toy",))
    assert check.layers and check.bytes > 0


def test_it_is_offered_on_pages_and_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert methods_of(lookup(NETWORK)) == ("nmf", "pca", "random", "toy")
    assert main(["diagnose", NETWORK, "--methods", "toy", "--layers", "fc5", "--json"]) == 0
    assert '"toy"' in capsys.readouterr().out


def test_figures_and_tables_name_it() -> None:
    request = CurveRequest(NETWORK, "fc2", 0, method="toy", per_class=10, grid="coarse")
    curve = compute(request, device="cpu")
    figure = curve_figure({(0.0, "toy"): [curve], (0.0, "nmf"): [curve]}, layer="fc2", axis="linear", batch="")
    assert {trace.line.dash for trace in figure.data if TOY.title in (trace.name or "")} == {TOY.dash}
    assert set(data_table({request: curve}, entries())["method"]) == {"toy"}


def test_an_unknown_method_lists_those_there_are() -> None:
    with pytest.raises(NmfdiagError, match="Unknown method 'svd': accepted are nmf, signed, pca, random, toy"):
        method_of("svd")


def test_the_zoos_own_method_is_the_leading_one() -> None:
    for activations in ("relu", "all"):
        assert replace(lookup(NETWORK), activations=activations).method == leading_method(activations)
        assert methods_for(activations)[0] == leading_method(activations)
