"""Pages of a network whose activations can be negative offer and draw signed NMF; those of other networks do not."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from headless_pages import open_page, plots, settled
from streamlit.testing.v1 import AppTest
from torch import nn

from nmfdiag.jobs.compute import compute
from nmfdiag.jobs.requests import CurveRequest, profile_requests
from nmfdiag.jobs.time_nmf import measure, runtime_requests
from nmfdiag.measures.methods import METHODS, PAPER_METHODS
from nmfdiag.networks import architectures
from nmfdiag.networks.architectures import ARCHITECTURES, Architecture, Shape
from nmfdiag.views.selection import BOTH, Choice, families, fitted, methods_of
from nmfdiag.zoo.add_network import add_opened
from nmfdiag.zoo.open_network import Opened
from nmfdiag.zoo.registry import ZooEntry, entries, lookup, refresh

ARCH, NAME, TITLE = "gelu_mlp", "own-gelus", METHODS["signed"].title


def make(input_shape: Shape, n_classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 4, 3),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(4 * 36, 8),
        nn.GELU(),
        nn.Linear(8, n_classes),
    )


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooEntry]:
    """Add a signed network to a temporary zoo beside the shipped one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NMFDIAG_ZOO", str(tmp_path_factory.mktemp("zoo")))
        patch.setitem(architectures.ARCHITECTURES, ARCH, Architecture(ARCH, "GELU network", make))
        refresh()
        torch.manual_seed(0)
        model, inputs = make((1, 8, 8), 3).eval(), torch.randn(24, 1, 8, 8)
        labels = torch.arange(24) % 3
        opened = Opened(
            "own",
            model,
            inputs,
            labels,
            ("a", "b", "c"),
            "none",
            {"from": "a test"},
            sample_rows=torch.arange(len(inputs)),
            arch=ARCH,
        )
        yield add_opened(NAME, opened, activations="all")
    refresh()


def visit(page: str, entry: ZooEntry, **link: str | list[str]) -> AppTest:
    query = {"data": entry.recipe.dataset, "arch": entry.recipe.arch, "n": "10", "grid": "coarse"}
    return open_page(page, **{**query, **link})


def test_the_zoo_computes_signed_curves(entry: ZooEntry) -> None:
    assert (entry.activations, entry.method, entry.layers) == ("all", "signed", {"1": 4, "4": 8})
    requests = profile_requests(entry, classes=[0], per_class=8)
    assert [(r.layer, r.method) for r in requests] == [("1", "signed"), ("4", "signed")]
    curves = [compute(request, device="cpu") for request in requests]
    assert [curve.full_rank for curve in curves] == [8, 8]
    assert all(curve.accuracy[-1] == curve.baseline_accuracy for curve in curves)
    compute(replace(requests[0], method="pca"), device="cpu")
    assert profile_requests(lookup("digits-mlp-p0-s0"), classes=[0])[0].method == "nmf"


def test_keys_of_earlier_requests_are_unchanged() -> None:
    request = CurveRequest("digits-mlp-p0-s0", "fc1", 0)
    content = request.key, replace(request, method="pca", operation="ablate").key
    fields = {
        "entry": "digits-mlp-p0-s0", "layer": "fc1", "class_idx": 0, "method": "nmf", "per_class": 50, "grid": "full", "solver": "hals",
        "tol": None, "max_iter": 200, "draws": 10, "seed": 0,
    }  # fmt: skip
    digest = lookup("digits-mlp-p0-s0").digest
    whole = [[3, fields, digest], [3, fields | {"method": "pca", "operation": "ablate"}, digest]]
    assert content == tuple(hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for part in whole)


def test_each_network_offers_the_methods_that_fit_it(entry: ZooEntry) -> None:
    plain = lookup("digits-mlp-p0-s0")
    assert methods_of(entry) == ("signed", "pca", "random") and methods_of(plain) == ("nmf", "pca", "random")
    own, shipped = Choice((entry,), "1", methods=("pca", "signed")), Choice((plain,), "fc1")
    assert own.method == "signed" and shipped.method == "nmf"
    assert fitted(own, "nmf").methods == ("signed",) and fitted(shipped, "signed").methods == ("nmf",)
    assert fitted(own, "pca").methods == ("pca",)
    methods = {
        choice.family: fitted(choice, "signed").methods for choice in families(replace(own, batch=BOTH), entries())
    }
    assert methods.pop(own.family) == ("signed",) and set(methods.values()) == {("nmf",)}
    assert PAPER_METHODS == ("nmf", "pca", "random") and ARCH in ARCHITECTURES
    assert len({method.dash for method in METHODS.values()}) == len(METHODS)


@pytest.mark.parametrize("page", ["network", "curves", "reconstruction", "classes"])
def test_pages_show_the_networks_own_method(page: str, entry: ZooEntry) -> None:
    app = settled(visit(page, entry, methods=["nmf"]))
    assert not app.exception and not app.error
    assert 'No methods "nmf". Showing signed. Available: signed, pca, random' in app.info[0].value
    assert list(app.session_state["methods"]) == ["signed"]
    assert page == "classes" or any(markdown.value.startswith(f"**{TITLE}") for markdown in app.markdown)
    assert plots(app)


@pytest.mark.parametrize("page", ["ablation", "batches"])
def test_pages_with_their_own_methods_follow(page: str, entry: ZooEntry) -> None:
    own = {"families": [f"{NAME} {ARCH}"]} if page == "batches" else {"removed": [METHODS["signed"].removed]}
    app = settled(visit(page, entry, **own))
    assert not app.exception and not app.error
    text = str(plots(app))
    if page == "ablation":
        assert list(app.session_state["removed"]) == ["signed"] and "signed NMF directions" in text
    else:
        assert app.session_state["by"] == "signed" and METHODS["signed"].dash in text


def test_the_timed_matrix_is_the_one_that_signed_nmf_factorises(entry: ZooEntry) -> None:
    request = runtime_requests(entry, "4", "rank", class_idx=0, per_class=8, solvers=["hals"], devices=["cpu"])[1]
    result = measure(request, device="cpu")
    assert (result.rows, result.channels, result.ranks) == (8, 16, [2])
