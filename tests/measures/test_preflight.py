"""The pre-flight check: planted faults are named, and estimates are close to the cost of a profile."""

import json
import subprocess
import sys
from collections import OrderedDict
from typing import Any

import pytest
import torch
from timeouts import CEILING
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.compute_profile import layer_profile
from nmfdiag.measures.preflight import accuracy, cost
from nmfdiag.measures.preflight.network_check import preflight
from nmfdiag.measures.suspects.suspects import suspects
from nmfdiag.zoo.registry import lookup

CLASSES, EACH = 4, 12


class Echo(nn.Module):
    """Answers the class whose input is largest: samples are one-hot, so every one is right."""

    def __init__(self, order: tuple[int, ...] = tuple(range(CLASSES)), act: nn.Module | None = None):
        super().__init__()
        self.act, self.spare, self.gate, self.dead = act or nn.ReLU(), nn.ReLU(), nn.Sigmoid(), nn.ReLU()
        self.register_buffer("order", torch.eye(CLASSES)[list(order)])

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(x)
        y = y * self.gate(torch.ones_like(y)) + self.dead(-y.abs() - 1)
        return y @ self.order


def one_hot(columns: int = EACH) -> tuple[Tensor, Tensor]:
    labels = torch.arange(CLASSES).repeat_interleave(columns)
    return nn.functional.one_hot(labels, CLASSES).float() * 3 + 0.1 * torch.rand(len(labels), CLASSES), labels


def test_what_is_planned_and_what_is_not() -> None:
    inputs, labels = one_hot()
    labels = torch.cat([labels, torch.tensor([CLASSES, CLASSES + 1, 0])])
    inputs = torch.cat([inputs, inputs[:3]])
    result = preflight(Echo(), inputs, labels, per_class=10)
    assert [(layer.name, layer.kind, layer.width, layer.rows, layer.bytes) for layer in result.layers] == [
        ("act", "ReLU", CLASSES, 10, 10 * CLASSES * 4)
    ]
    assert result.batches == dict.fromkeys(range(CLASSES), 10)
    assert result.skipped == {
        "dead": "dead on these samples: all zero",
        "gate": "a gate (Sigmoid): it weighs other activations",
        "spare": "never called (ReLU)",
        "class 4": "is none of the network's 4 outputs",
        "class 5": "is none of the network's 4 outputs",
    }
    assert result.accuracy_by_class == {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 0.0, 5: 0.0}
    assert result.accuracy == pytest.approx(49 / 51)
    assert any("4 outputs, which are classes 0 to 3; the given labels 4, 5 are none" in r for r in result.remarks)
    assert result.seconds > 0 and result.bytes > 0
    again = json.loads(json.dumps(result.to_dict()))
    assert again["batches"]["3"] == 10 and again["layers"][0]["name"] == "act" and again["accuracy"] == result.accuracy


def test_nothing_is_said_of_a_network_that_is_right() -> None:
    inputs, labels = one_hot()
    assert preflight(Echo(), inputs, labels).remarks == ()


def test_activations_that_can_be_negative() -> None:
    inputs, labels = one_hot()
    model = Echo(act=nn.GELU())
    result = preflight(model, inputs, labels)
    assert result.layers == ()
    assert result.skipped["act"] == "GELU: its values can be negative; the method signed measures it"
    assert (result.seconds, result.bytes) == (0, 0)
    assert any("No layer can be measured with these methods: it calls GELU" in remark for remark in result.remarks)
    signed = preflight(model, inputs, labels, methods=("signed",), activations="all")
    assert [(layer.name, layer.kind) for layer in signed.layers] == [("act", "GELU")] and signed.seconds > 0
    assert "act" not in signed.skipped
    mixed = preflight(model, inputs, labels, methods=("nmf",), activations="all")
    assert "signed measures it" in mixed.skipped["act"]


def test_classes_in_another_order() -> None:
    inputs, labels = one_hot()
    result = preflight(Echo(order=(1, 2, 3, 0)), inputs, labels)
    assert result.accuracy == 0
    assert result.remarks == (
        "The network gets 0% of these samples right by their given labels, but answers each class alike (class 0 as 1, 1 as 2, "
        "2 as 3, ...): its classes are in another order than these.",
    )


def test_a_constant_network_and_broken_logits() -> None:
    inputs, labels = one_hot()
    constant = nn.Sequential(OrderedDict(act=nn.ReLU(), out=nn.Linear(CLASSES, CLASSES)))
    for parameter in constant.parameters():
        nn.init.zeros_(parameter)
    remarks = preflight(constant, inputs, labels).remarks
    assert remarks[0] == "Every sample is answered with class 0: the network is constant on these samples."
    assert "The network gets 25% of these samples right" in remarks[1]
    with torch.no_grad():
        constant.out.bias[0] = torch.nan
    assert preflight(constant, inputs, labels).remarks[0].startswith("48 of 48 samples are answered with NaN")


@pytest.mark.parametrize("prepared", ["none", "bytes", "half"])
def test_another_normalisation_would_fit(prepared: str) -> None:
    """Classify images by the sign of their mean; samples lie in 0 .. 1, in 0 .. 255, or need no other normalisation."""

    class Bright(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            mean = x.flatten(1).mean(1)
            return torch.stack([self.act(mean) * 0 + 1e-3, self.act(mean)], 1)

    levels = torch.tensor([0.05, 0.4, 0.6]).repeat_interleave(torch.tensor([20, 10, 10]))
    inputs = levels[:, None, None, None].expand(-1, 1, 3, 3) + 0.02 * torch.rand(40, 1, 3, 3)
    labels = (levels > 0.5).long()
    inputs = {"none": inputs, "bytes": inputs * 255, "half": inputs * 2 - 1}[prepared]
    remarks = [r for r in preflight(Bright(), inputs, labels).remarks if "Normalised" in r]
    assert len(remarks) == (prepared != "half")
    assert all("Normalised as 'half' (100% of " in remark for remark in remarks)


def test_small_batches_and_few_classes() -> None:
    inputs, labels = one_hot(3)
    keep = labels < 2
    keep[0:2] = False
    result = preflight(Echo(), inputs[keep], labels[keep])
    assert result.batches == {1: 3} and result.skipped["class 0"] == "has one sample"
    assert any(remark.startswith("Class 1 has 3 samples; with fewer than 10 the curves") for remark in result.remarks)
    assert "With one class there are no error bars over classes." in result.remarks
    alone = preflight(Echo(), inputs[[0, 4, 8]], torch.tensor([0, 1, 2]))
    assert alone.batches == {} and alone.seconds == 0
    assert "No class has two samples: there is nothing to measure." in alone.remarks


def test_a_network_that_can_not_be_traced() -> None:
    class Branches(Echo):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if float(x.numpy().sum()) > -1e9 else x

    inputs, labels = one_hot()
    assert any("can't be written down" in remark for remark in preflight(Branches(), inputs, labels).remarks)


def test_when_there_is_no_time_for_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "LONGEST_RUN", 0.0)
    result = preflight(Echo(), *one_hot())
    assert result.remarks == ("Accuracy is of 32 of the 48 samples: there was no time for more.",)
    assert set(result.accuracy_by_class) == set(range(CLASSES))


def test_some_layers_and_what_is_refused() -> None:
    pool = lookup("digits-mlp-p0-s0").load_pool()
    model = lookup("digits-mlp-p0-s0").load_model()
    inputs, labels = pool.inputs, pool.given_labels
    result = preflight(model, inputs, labels, layers=["fc2", "fc4"])
    assert [layer.name for layer in result.layers] == ["fc2", "fc4"]
    assert not model.training
    for message, options in (
        ("Unknown layer 'fc9'", {"layers": ["fc9"]}),
        ("Unknown method 'svd': accepted are nmf", {"methods": ("svd",)}),
        ("Unknown activations 'some': accepted are relu, all", {"activations": "some"}),
    ):
        with pytest.raises(NmfdiagError, match=message):
            preflight(model, inputs, labels, **options)  # type: ignore[arg-type]
    with pytest.raises(NmfdiagError, match="needs at least 2 inputs and as many whole labels"):
        preflight(model, inputs, labels[:3])
    with pytest.raises(NmfdiagError, match="can't take inputs of shape"):
        preflight(model, inputs[:, :, :5], labels)
    with pytest.raises(NmfdiagError, match="must return logits"):
        preflight(nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, 1)), inputs, labels)


class Work(TorchDispatchMode):
    """A clock that counts the work of operations, the same on every machine."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.numbers = FlopCounterMode(display=False), 0

    def __enter__(self) -> "Work":
        self.flops.__enter__()
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.flops.__exit__(*error)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        tensors = answer if isinstance(answer, tuple | list) else [answer]
        self.numbers += 1000 + sum(tensor.numel() for tensor in tensors if isinstance(tensor, Tensor))
        return answer

    def perf_counter(self) -> float:
        return (self.flops.get_total_flops() / 8 + self.numbers) / 1e9

    process_time = perf_counter


@pytest.mark.parametrize(("methods", "per_class"), [(("nmf",), 10), (("pca", "random"), 20)])
def test_the_time_is_that_of_the_work(
    methods: tuple[str, ...], per_class: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compare on a simulated clock; benchmarks/foreign/estimate.py does so on real ones."""
    entry = lookup("digits-cnn-p0.6-s0")
    model, pool = entry.load_model(), entry.load_pool()
    small = pool.given_labels < 2
    estimate: dict[str, Any] = {"per_class": per_class, "methods": methods, "layers": list(entry.layers)[-1:]}
    for constant in ("LABEL_SECONDS", "LABEL_SECONDS_PER_LAYER"):  # not of this clock
        monkeypatch.setattr(cost, constant, 0.0)
    with Work() as work:
        monkeypatch.setattr(cost, "time", work)
        check = preflight(model, pool.inputs[small], pool.given_labels[small], **estimate)
        start = work.perf_counter()
        layer_profile(model, pool.inputs[small], pool.given_labels[small], **estimate)
        curves_end = work.perf_counter()
        suspects(model, pool.inputs[small], pool.given_labels[small])
        end = work.perf_counter()
    assert (end - start) / 2 < check.seconds < (end - start) * 2
    assert (end - curves_end) / 2 < check.label_seconds < (end - curves_end) * 2


MEMORY = """
import ctypes, gc, sys, torch
from pathlib import Path
from nmfdiag.measures.preflight.network_check import preflight
from nmfdiag.measures.compute_profile import layer_profile
from nmfdiag.networks.architectures import build
from nmfdiag.networks.split import relu_layers
from nmfdiag.bench.peak_memory import peak, resident

torch.set_num_threads(1)
arch, side = sys.argv[1], int(sys.argv[2])
model = build(arch, (3, side, side), 4).eval()
generator = torch.Generator().manual_seed(0)
inputs, labels = torch.rand(24, 3, side, side, generator=generator), torch.zeros(24, dtype=torch.int64)
names = relu_layers(model, inputs[:2])[:1]
found = preflight(model, inputs, labels, layers=names)

layer_profile(model, inputs, labels, layers=names)  # what is read into memory once
gc.collect()
ctypes.CDLL(None).malloc_trim(0)
Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
before = resident()
layer_profile(model, inputs, labels, layers=names)
print(found.bytes, peak() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak can be reset on Linux only")
@pytest.mark.parametrize(
    ("arch", "side"),
    [("cnn", 32), *(pytest.param(*large, marks=pytest.mark.soak) for large in (("cnn", 48), ("resnet18", 64)))],
)
def test_the_memory_is_near_what_it_takes(arch: str, side: int) -> None:
    process = subprocess.run(
        [sys.executable, "-c", MEMORY, arch, str(side)], capture_output=True, text=True, check=True, timeout=CEILING
    )
    estimate, real = map(int, process.stdout.split())
    assert real / 2 < estimate < real * 2
