"""Networks that can't be run are refused in one sentence that says why, or measured all the same."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nmfdiag import diagnose
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.compression import compression_curve
from nmfdiag.networks.split import SplitNetwork, relu_layers
from nmfdiag.networks.survey import survey

X = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(40) % 4


def network(kind: Any = nn.Sequential, first: nn.Module | None = None) -> Any:
    torch.manual_seed(0)
    return kind(first or nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).eval()


def test_a_way_that_only_factors_take_is_no_error() -> None:
    class Refined(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            y = self[2](torch.relu(self[0](x))) * 20
            hard = y.softmax(1).amax(1) < 0.9
            return torch.where(hard[:, None], x[:, :4], y) if hard.any() else y

    for seed in range(5):
        torch.manual_seed(seed)
        model = Refined(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 4)).eval()
        with torch.no_grad():
            A = torch.relu(model[0](X))
            mean = A.mean(0).expand_as(A)
            y = model[2](mean) * 20
            answers = y if y.softmax(1).max() >= 0.9 else X[:, :4]
            expected = float((answers.argmax(1) == Y).double().mean())
        assert compression_curve(model, "relu", X, Y, method="pca").mean_accuracy == expected


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(NmfdiagError, match=rf"device='{device}'.*Accepted are"):
        compression_curve(network(), "1", X, Y, device=device)


def test_a_network_that_can_not_be_copied_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    model.lock = threading.Lock()
    monkeypatch.setattr("nmfdiag.measures.compression.inputs_on", lambda _, inputs: inputs)  # as if there were one
    with pytest.raises(NmfdiagError, match=r"Sequential can't be copied to device='meta': .*Give it on that device"):
        compression_curve(model, "1", X, Y, device="meta")


def test_a_network_without_sizes_is_named_and_stays_so() -> None:
    model = network(first=nn.LazyLinear(8))
    for use in (lambda: relu_layers(model, X), lambda: survey(model, X)):
        with pytest.raises(NmfdiagError, match=r"size of '0\.weight' in Sequential is not known yet: call"):
            use()
    assert isinstance(model[0], nn.LazyLinear)


@pytest.mark.parametrize("answer", [1, KeyError("nothing of that name")])
def test_attributes_that_a_network_makes_up_are_not_read(answer: Any) -> None:
    class MadeUp(nn.Sequential):
        def __getattr__(self, name: str) -> Any:
            try:
                return super().__getattr__(name)
            except AttributeError:
                if name.isdigit() or isinstance(answer, Exception):
                    raise AttributeError if name.isdigit() else answer from None
                return answer

        def forward(self, x: Tensor) -> Tensor:
            return self[2](self[1](self[0](x))).mean(1)

    [layer] = SplitNetwork(network(MadeUp), X.view(8, 5, 6)).layers
    assert (layer.channel_dim, layer.width) == (2, 8)


def test_what_eval_raises_is_said() -> None:
    class Training(nn.Sequential):
        def eval(self) -> Any:
            raise OSError("no evaluation here")

    model = Training(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    with pytest.raises(NmfdiagError, match="Training can't be set to evaluation mode: OSError: no evaluation here"):
        relu_layers(model, X)
    assert all(module.training for module in model.modules())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
@pytest.mark.parametrize("attribute", ["buffer", "parameter"])
def test_a_graph_network_of_a_sparse_matrix(layout: torch.layout, attribute: str) -> None:
    class Graph(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 4)
            sparse = (torch.eye(6) + torch.eye(6).roll(1, 0)).to_sparse(layout=layout)
            if attribute == "buffer":
                self.register_buffer("neighbours", sparse)
            else:
                self.neighbours = nn.Parameter(sparse, requires_grad=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.relu(self.a((self.neighbours @ x.t()).t())))

    torch.manual_seed(0)
    model = Graph().eval()
    network = SplitNetwork(model, X[:2], samples=(X, Y))
    [layer] = network.layers
    cut = network.cut(layer.name, X)
    dense = X @ (torch.eye(6) + torch.eye(6).roll(1, 0)).t()
    torch.testing.assert_close(cut.activation, torch.relu(model.a(dense)))
    replacement = torch.rand_like(cut.activation)
    torch.testing.assert_close(network.resume(cut, replacement), model.b(replacement))
    if (layout, attribute) == (torch.sparse_csr, "buffer"):
        assert len(diagnose(model, X, Y, methods=["pca"], ranks=[1]).profile.measured) == 4


ENTRIES: dict[str, Callable[[], Tensor | int]] = {
    "without values": lambda: torch.empty(3, device="meta"),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8),
    "conjugate": lambda: torch.ones(2, dtype=torch.complex64).conj(),
    "sparse": lambda: torch.eye(4).to_sparse(),
    "no tensor": lambda: 3,
}


@pytest.mark.filterwarnings("ignore:.*quantiz")
@pytest.mark.parametrize("kind", ENTRIES)
def test_what_a_state_dict_may_hold_is_no_obstacle_to_a_diagnosis(kind: str) -> None:
    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.b(torch.relu(self.a(x)))
            return y @ self.kept.to_dense() if kind == "sparse" else y

    torch.manual_seed(0)
    model, value = Keeping().eval(), ENTRIES[kind]()
    if isinstance(value, Tensor):
        model.register_buffer("kept", value)
    else:
        model.register_state_dict_post_hook(lambda module, state, prefix, metadata: state.update(kept=value))
    settings = {"methods": ["pca"], "ranks": [1]}
    diagnosis = diagnose(model, X, Y, **settings)
    assert len(diagnosis.profile.measured) == 4 and not diagnosis.profile.skipped
    wrapped = diagnose(nn.DataParallel(model), X, Y, **settings)
    assert wrapped.provenance["weights (sha256)"] == diagnosis.provenance["weights (sha256)"]


def test_an_exported_program_is_diagnosed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    program = torch.export.export(model, (X[:2],), dynamic_shapes=({0: torch.export.Dim("n")},))
    areas = [diagnose(m, X, Y, methods=["pca"], ranks=[1, 2]).profile.to_frame().auc.tolist() for m in (model, program)]
    assert len(areas[0]) == 4 and areas[0] == pytest.approx(areas[1])


def test_a_layer_that_the_network_differentiates_is_left_out_alone() -> None:
    class Energy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.e, self.a, self.b = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 4)

        def force(self, x: Tensor) -> Tensor:
            with torch.enable_grad():
                z = x.detach().requires_grad_()
                return torch.autograd.grad(torch.relu(self.e(z)).square().sum(), z)[0]

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.relu(self.a(x + self.force(x))))

    torch.manual_seed(0)
    model = Energy().eval()
    network = SplitNetwork(model, X[:2], samples=(X, Y))
    assert [layer.name for layer in network.layers] == ["relu_1"]
    assert "nothing else can be put in its place" in network.skipped["relu"] and "grad" in network.skipped["relu"]
    cut = network.cut("relu_1", X)
    torch.testing.assert_close(cut.activation, torch.relu(model.a(X + model.force(X))).detach())
    replacement = torch.rand_like(cut.activation)
    torch.testing.assert_close(network.resume(cut, replacement), model.b(replacement))


@pytest.mark.parametrize("variant", ["copied", "written", "written in part", "maximum"])
def test_a_copy_of_an_activation_is_no_second_layer(variant: str) -> None:
    class Copied(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            h = self[0](x).clone()
            if variant == "written in part":
                h[:, :4] = torch.relu(h[:, :4])
            else:
                a = torch.relu(h)
                h = {"copied": h.copy_, "written": lambda a: h.__setitem__(slice(None), a) or h, "maximum": h.max}[
                    variant
                ](a)
            return self[2](h)

    torch.manual_seed(0)
    model = Copied(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4)).eval()
    network = SplitNetwork(model, X)
    assert [layer.name for layer in network.layers] == ["relu"] and not network.skipped
    cut = network.cut("relu", X)
    h = model[0](X)
    torch.testing.assert_close(cut.activation, torch.relu(h[:, :4] if variant == "written in part" else h).detach())
    replacement = torch.rand_like(cut.activation)
    expected = {
        "written in part": lambda: torch.cat([replacement, h[:, 4:]], 1),
        "maximum": lambda: h.maximum(replacement),
    }
    torch.testing.assert_close(network.resume(cut, replacement), model[2](expected.get(variant, lambda: replacement)()))


def test_a_layer_that_is_made_in_the_memory_of_another_is_one() -> None:
    class Again(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return self[2](torch.relu_(self[0](x)).sub_(0.2).clamp_(min=0))

    layers = SplitNetwork(network(Again), X).layers
    assert [layer.name for layer in layers] == ["relu_", "clamp_"]
