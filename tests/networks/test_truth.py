"""A measured layer is that layer for every batch; where that is impossible, a sentence says so."""

import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.compression import compression_curve
from nmfdiag.measures.compute_profile import layer_profile
from nmfdiag.measures.preflight.network_check import preflight
from nmfdiag.networks.split import SplitNetwork, relu_layers

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 4


def block(width: int = 6) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, width), nn.ReLU())


class Ways(nn.Module):
    """The layers in between depend on the samples, in one of several ways."""

    def __init__(self, variant: str):
        super().__init__()
        self.variant = variant
        self.a, self.extra, self.shared, self.z, self.head = block(), block(), nn.ReLU(), block(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x)
        go = bool(x.mean() > 0) if self.variant != "numpy" else bool(x.numpy().mean() > 0)
        if self.variant == "exit" and go:
            return self.head(h)
        if self.variant == "shared":
            h = self.shared(h - 0.1) if go else h
            return self.head(self.shared(self.z[0](h)))
        if self.variant == "experts":
            out = torch.zeros(len(x), 6)
            for rows, expert in ((x[:, 0] > 0, self.extra), (x[:, 0] <= 0, self.z)):
                out[rows] = expert(h[rows])
            return self.head(out)
        return self.head(self.z(h + self.extra(h) if go else h))


@pytest.mark.parametrize("variant", ["branch", "numpy", "exit", "shared", "experts"])
def test_every_batch_is_cut_where_it_says(variant: str) -> None:
    """Check that the activation gives the logits, and a changed one those of the network's own code."""
    torch.manual_seed(0)
    model = Ways(variant).eval()
    network = SplitNetwork(model, X[:2], samples=(X, Y))
    batches = [X[X.mean(1) > 0.2][:5], X[X.mean(1) < -0.2][:5], X[:7]]
    reached: dict[str, int] = {}
    for name in [layer.name for layer in network.layers]:
        for batch in batches:
            try:
                cut = network.cut(name, batch)
            except NmfdiagError as error:
                assert "do not reach" in str(error) or (variant == "experts" and "do not depend on it" in str(error))
                continue
            reached[name] = reached.get(name, 0) + 1
            path = name.partition("_")[0] if variant != "shared" else ""
            if path:
                outputs: list[Tensor] = []
                handle = model.get_submodule(path).register_forward_hook(
                    lambda _m, _i, o, outputs=outputs: outputs.append(o.clone())
                )
                logits = model(batch)
                handle.remove()
                torch.testing.assert_close(cut.activation, outputs[0])
                torch.testing.assert_close(network.resume(cut, cut.activation), logits)
    assert len(reached) == (2 if variant == "exit" else 3)


class Returning(nn.Module):
    def __init__(self, wrap: Any):
        super().__init__()
        self.body, self.head, self.wrap = block(12), nn.Linear(12, 4), wrap

    def forward(self, x: Tensor) -> Any:
        features = self.body(x)
        return self.wrap(features, self.head(features))


WRAPS = {
    "features first": (lambda f, y: (f, y), "1"),
    "logits first": (lambda f, y: [y, f], "0"),
    "dictionary": (lambda f, y: {"embedding": f, "prediction": y}, "prediction"),
    "nested": (lambda f, y: {"a": (f, f + 1), "b": [y]}, "b.0"),
    "same width": (lambda f, y: (f[:, :4], y), "1"),
}


@pytest.mark.parametrize("name", WRAPS)
def test_the_logits_agree_with_the_labels(name: str) -> None:
    torch.manual_seed(0)
    wrap, path = WRAPS[name]
    model = Returning(wrap).eval()
    labels = model.head(model.body(X)).argmax(1)
    plain = compression_curve(nn.Sequential(model.body, model.head), "0.1", X, labels)
    curve = compression_curve(model, "body.1", X, labels)
    assert curve.baseline_accuracy == 1.0 and curve.accuracy == plain.accuracy
    assert any(f"'{path}' is taken for the logits" in remark for remark in preflight(model, X, labels).remarks)
    named_curve = compression_curve(model, "body.1", X, labels, logits=path)
    assert named_curve.accuracy == plain.accuracy
    with pytest.raises(NmfdiagError, match=r"logits='nothing' is not an output.*the network returns"):
        compression_curve(model, "body.1", X, labels, logits="nothing")


class Written(nn.Module):
    """An activation in place, of a tensor or of a part or view of it that is read whole afterwards."""

    def __init__(self, variant: str):
        super().__init__()
        self.variant, self.a, self.b = variant, nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.a(x).clone()
        {
            "whole": lambda: h.relu_(),
            "slice": lambda: h[:, :5].relu_(),
            "view": lambda: h.view(-1, 2, 4).relu_(),
            "halves": lambda: [part.relu_() for part in (h[:, :4], h[:, 4:])],
            "index": lambda: h.__setitem__(h < 0, 0.0),
            "clamp": lambda: h.clamp_(min=0),
            "select": lambda: torch.relu_(h.narrow(1, 2, 4)),
        }[self.variant]()
        return self.b(h)


@pytest.mark.parametrize("variant", ["whole", "slice", "view", "halves", "index", "clamp", "select"])
def test_what_is_put_in_place_has_its_effect(variant: str) -> None:
    torch.manual_seed(0)
    model = Written(variant).eval()
    network = SplitNetwork(model, X[:2])
    for layer in network.layers:
        cut = network.cut(layer.name, X)
        torch.testing.assert_close(network.resume(cut, cut.activation), model(X))
        assert not torch.allclose(network.resume(cut, torch.zeros_like(cut.activation)), model(X))
    assert len(network.layers) == (2 if variant == "halves" else 1)


class Heads(nn.Module):
    """A second head beside the logits', one that is thrown away, and a branch with a weight of zero."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.logits = block(), nn.Linear(6, 4)
        self.projection, self.unused, self.gated = block(), block(), block()
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        h = self.body(x)
        self.unused(h)
        return {"logits": self.logits(h + self.gate * self.gated(h)), "projection": self.projection(h)}


def test_layers_that_the_logits_do_not_depend_on_are_left_out() -> None:
    model = Heads()
    assert relu_layers(model, X[:2]) == ["body.1", "gated.1"]
    profile = layer_profile(model, X, Y, per_class=5)
    assert set(profile.auc_by_layer()) == {"body.1"}
    assert profile.skipped["projection.1"] == profile.skipped["unused.1"] == "the logits do not depend on it"
    assert all(
        "do not depend on it" in reason for name, reason in profile.skipped.items() if name.startswith("gated.1")
    )


RELUS: dict[str, Any] = {
    "clamp": lambda x: x.clamp(min=0),
    "clip": lambda x: torch.clip(x, 0),
    "maximum": lambda x: torch.maximum(x, torch.zeros(())),
    "max": lambda x: torch.max(x, torch.zeros_like(x)),
    "threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "hardtanh": lambda x: F.hardtanh(x, 0.0, 1e6),
    "product": lambda x: x * (x > 0),
    "product of numbers": lambda x: x * (x > 0).float(),
    "where": lambda x: torch.where(x > 0, x, 0.0),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0.0),
    "clipped": lambda x: x.clamp(0, 1),
    "Threshold": nn.Threshold(0.0, 0.0),
    "Hardtanh": nn.Hardtanh(0.0, 20.0),
}


@pytest.mark.parametrize("name", RELUS)
def test_relus_written_otherwise(name: str) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.first = nn.Linear(6, 8), nn.Linear(8, 4), RELUS[name]

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.first(self.a(x)))

    torch.manual_seed(0)
    model = Net().eval()
    network = SplitNetwork(model, X)
    [layer] = network.layers
    cut = network.cut(layer.name, X[:30])
    torch.testing.assert_close(cut.activation, RELUS[name](model.a(X[:30])))
    assert torch.allclose(network.resume(cut, torch.zeros_like(cut.activation)), model.b.bias)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_relus_that_cannot_be_seen_are_named() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(6, 6, nonlinearity="relu", batch_first=True)
            self.script = torch.jit.script(nn.Sequential(nn.Linear(6, 6), nn.ReLU()))
            self.alone, self.head = torch.jit.trace(nn.ReLU(), X[:2]), block()
            self.mapped = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            h = self.alone(self.script(self.rnn(x[:, None])[0][:, 0]) - 0.2)
            return self.head(h + torch.vmap(lambda row: torch.relu(self.mapped(row)))(h))

    network = SplitNetwork(Net().eval(), X)
    assert [layer.name for layer in network.layers] == ["alone", "head.1"]
    assert "recurrent" in network.skipped["rnn"] and "TorchScript" in network.skipped["script"]
    assert "vmap" in network.skipped["relu"]


class Drawing(nn.Module):
    def __init__(self, source: str):
        super().__init__()
        self.source, self.a, self.b = source, block(), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        noise = {"torch": lambda: torch.randn(()), "numpy": lambda: np.random.rand(), "random": lambda: random.random()}
        return self.b(
            F.dropout(self.a(x)) if self.source == "dropout" else self.a(x) * (1 + float(noise[self.source]()))
        )


@pytest.mark.parametrize("source", ["dropout", "torch", "numpy", "random"])
def test_chance_is_named_and_one_question_has_one_answer(source: str) -> None:
    torch.manual_seed(0)
    model = Drawing(source).eval()
    curves = [compression_curve(model, "a.1", X, Y, ranks=[1, 3, 6]).accuracy for _ in range(2)]
    assert curves[0] == curves[1]
    [remark] = [remark for remark in layer_profile(model, X, Y, per_class=5).remarks if "random" in remark]
    assert {"torch": "randn", "numpy": "numpy"}.get(source, source) in remark


@pytest.mark.parametrize("variant", ["norm", "training", "mean"])
def test_what_depends_on_the_batch_is_measured_on_mixtures(variant: str) -> None:
    class Centred(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x - x.mean(0)

    class Frozen(nn.BatchNorm1d):
        def train(self, mode: bool = True) -> "Frozen":
            return super().train(True)

    torch.manual_seed(0)
    norm = {"norm": nn.BatchNorm1d(6, track_running_stats=False), "training": Frozen(6), "mean": Centred()}[variant]
    model = nn.Sequential(nn.Linear(6, 6), norm, nn.ReLU(), nn.Linear(6, 4)).eval()
    profile = layer_profile(model, X, Y, per_class=5)
    assert {m.class_idx for m in profile.measured} == {None}
    [remark] = profile.remarks
    assert "depends on the others of its batch" in remark and (
        "BatchNorm1d" in remark or "Frozen" in remark or variant == "mean"
    )
    with pytest.raises(NmfdiagError, match="a batch of one class can't be measured"):
        compression_curve(model, "2", X[Y == 1], Y[Y == 1])
