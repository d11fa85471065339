"""Small networks written in every way that is not ours, fitted to the digits: what `nmfdiag.diagnose` makes of each.

``python benchmarks/foreign/odd.py OUT.csv`` writes a line a network: the layers that were found, whether the network could be
cut (else its head runs again for every rank), the largest difference between its own logits and those after a cut with nothing
compressed, the mean AuC of each layer, and what was said where it did not work. It takes about two minutes on one core.
"""

import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nmfdiag
from nmfdiag.data.datasets import load
from nmfdiag.networks.split import SplitNetwork

SAMPLES, EPOCHS = 400, 25
CASES: dict[str, tuple[Callable[[], nn.Module], str]] = {}


def case(form: str = "image") -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Register a network by its docstring; ``form``: how it takes the digits (see :func:`digits`)."""

    def register(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        CASES[(make.__doc__ or "").rstrip(".")] = (make, form)
        return make

    return register


def conv(inner: int = 16, outer: int = 16) -> nn.Conv2d:
    """Return a 3x3 convolution that keeps the size."""
    return nn.Conv2d(inner, outer, 3, padding=1)


class Plain(nn.Module):
    """A convolutional network whose parts the cases below put together in other ways."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = conv(1), conv(), nn.Linear(16, 10)

    def answers(self, x: Tensor) -> Tensor:
        return self.head(x.mean((2, 3)))

    def forward(self, x: Tensor) -> Any:
        return self.answers(F.relu(self.second(F.max_pool2d(F.relu(self.first(x)), 2))))


@case()
class Dropping(Plain):
    """dropout, as a module and as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout2d(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(F.relu(self.first(x)), 0.1, self.training)
        return self.answers(F.relu(self.second(self.drop(x))))


@case()
class Reusing(Plain):
    """one ReLU module and one convolution, used three times."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        return self.answers(self.act(self.second(self.act(self.second(x)))))


@case()
class Looping(Plain):
    """a loop over blocks in forward."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(conv() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = F.relu(block(x))
        return self.answers(x)


@case()
class DataLoop(Plain):
    """a loop as long as the input says (cannot be traced)."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for _ in range(1 + int(x.shape[-1] > 4) + int(x.abs().sum() < 0)):
            x = F.relu(self.second(x))
        return self.answers(x)


@case()
class DictOutput(Plain):
    """dict output."""

    def forward(self, x: Tensor) -> Any:
        features = F.relu(self.second(F.relu(self.first(x))))
        return {"features": features, "logits": self.answers(features)}


@case()
class TupleOutput(Plain):
    """tuple output: logits first."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


@case()
class FeaturesFirst(Plain):
    """tuple output: features first."""

    def forward(self, x: Tensor) -> Any:
        features = F.relu(self.second(F.relu(self.first(x))))
        return features, self.answers(features)


@case()
class InPlaceSkip(Plain):
    """in-place ReLU on a sum with a skip connection."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x), inplace=True)
        skip = x
        x = F.relu_(self.second(x))
        x = x + skip
        return self.answers(x.relu_())


@case()
class Clamping(Plain):
    """ReLU as clamp(min=0)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.answers(self.second(self.first(x).clamp(min=0)).clamp(min=0))


@case("sequence")
class Sequence(nn.Module):
    """convolutions over a sequence (Conv1d)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(8, 24, 3, padding=1), nn.BatchNorm1d(24), nn.ReLU(), nn.Conv1d(24, 24, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(24, 10),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@case("vector")
def vectors() -> nn.Module:
    """Fully connected, on vectors."""
    return nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 10))


@case("tokens")
class Encoder(nn.Module):
    """PyTorch's own transformer encoder, ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(8, 16), nn.Linear(16, 10)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)).mean(1))


@case("tokens")
class Recurrent(nn.Module):
    """a recurrent network (LSTM), ReLU before its head."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.hidden, self.head = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(self.lstm(x)[0][:, -1])))


@case()
def gelu() -> nn.Module:
    """GELU only."""
    return nn.Sequential(
        conv(1), nn.GELU(), conv(), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)
    )


@case()
class Normed(Plain):
    """weight norm and spectral norm."""

    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.first)
        nn.utils.parametrizations.spectral_norm(self.second)


@case()
def batch_statistics() -> nn.Module:
    """Batch norm without running averages."""
    norm = nn.BatchNorm2d(16, track_running_stats=False)
    return nn.Sequential(conv(1), norm, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


@case()
class Checkpointed(Plain):
    """activation checkpointing."""

    def forward(self, x: Tensor) -> Tensor:
        from torch.utils.checkpoint import checkpoint

        x = checkpoint(lambda z: F.relu(self.first(z)), x, use_reentrant=False)
        return self.answers(F.relu(self.second(x)))


@case()
def lazy() -> nn.Module:
    """Lazy modules."""
    return nn.Sequential(nn.LazyConv2d(16, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


@case()
class Binary(Plain):
    """one logit (binary)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[:, :1]


@case()
class Segmenting(Plain):
    """a map of logits (segmentation)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.second(F.relu(self.first(x)))).movedim(1, -1)).movedim(-1, 1)


@case("rgb")
def hugging_resnet() -> nn.Module:
    """Hugging Face ResNetForImageClassification, random weights."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=10)
    return ResNetForImageClassification(config)


@case("rgb")
def hugging_vit() -> nn.Module:
    """Hugging Face ViTForImageClassification, random weights."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8,
        num_labels=10,
    )  # fmt: skip
    return ViTForImageClassification(config)


# What is done to a network after it was trained.
AFTER: dict[str, Callable[[nn.Module], Any]] = {
    "float16 weights": lambda model: model.half(),
    "float64 weights": lambda model: model.double(),
    "bfloat16 weights": lambda model: model.bfloat16(),
    "torch.compile": lambda model: torch.compile(model, backend="eager"),
    "DataParallel": nn.DataParallel,
    "averaged (swa_utils.AveragedModel)": lambda model: torch.optim.swa_utils.AveragedModel(model),
    "torch.jit.trace": lambda model: torch.jit.trace(model.eval(), torch.zeros(2, 1, 8, 8)),
    "torch.jit.script": lambda model: torch.jit.script(torch.nn.Sequential(conv(1), nn.ReLU(), nn.Flatten())),
    "torch.fx.symbolic_trace": torch.fx.symbolic_trace,
    "torch.export": lambda model: torch.export.export(
        model.eval(), (torch.zeros(4, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
    ).module(),
    "in training mode": lambda model: model.train(),
    "a forward hook of the user's": lambda model: [model.second.register_forward_hook(lambda m, i, o: o * 1.0), model][
        1
    ],
    "all parameters frozen": lambda model: model.requires_grad_(False),
}


def digits(form: str) -> tuple[Tensor, Tensor]:
    """Return the first digits in the form that a network takes."""
    data = load("digits")
    x, y = data.inputs[:SAMPLES].float() / 255, data.labels[:SAMPLES]
    forms = {
        "image": lambda: x,
        "rgb": lambda: F.interpolate(x, 32).repeat(1, 3, 1, 1),
        "sequence": lambda: x[:, 0],
        "tokens": lambda: x[:, 0],
        "vector": lambda: x.flatten(1),
    }
    return forms[form](), y


def fit(model: nn.Module, x: Tensor, y: Tensor) -> nn.Module:
    """Train a network whose answers are ten logits a sample; return others unchanged."""

    def logits(samples: Tensor) -> Any:
        output = model(samples)
        if isinstance(output, dict):
            return output["logits"]
        return next((part for part in output if part.ndim == 2), None) if isinstance(output, tuple) else output

    with torch.no_grad():
        answers = logits(x[:2])
    if not isinstance(answers, Tensor) or answers.shape != (2, 10) or hasattr(model, "config"):
        return model
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x)).split(40):
            optimizer.zero_grad()
            F.cross_entropy(logits(x[batch]), y[batch]).backward()
            optimizer.step()
    return model.eval()


def try_network(model: Any, x: Tensor, y: Tensor) -> dict[str, Any]:
    """Diagnose a network, and compare every cut with the network's own answers."""
    start = time.perf_counter()
    line: dict[str, Any] = {"layers": "", "traced": "", "difference": "", "auc": "", "outcome": "works"}
    try:
        network = SplitNetwork(model, x[:2])
        line |= {"layers": len(network.layers), "traced": network.traced}
        own = network.logits(x[:20])
        cuts = [network.cut(layer.name, x[:20]) for layer in network.layers]
        differences = [float((network.resume(cut, cut.activation) - own).abs().max()) for cut in cuts]
        line["difference"] = f"{max(differences):.1e}"
        diagnosis = nmfdiag.diagnose(model, x, y, per_class=10)
        areas = diagnosis.profile.auc_by_layer("nmf")
        line["auc"] = " ".join(f"{layer}={area.mean:.2f}" for layer, area in areas.items())
        if diagnosis.profile.skipped:
            line["outcome"] = f"works; skipped: {next(iter(diagnosis.profile.skipped.items()))}"
    except nmfdiag.NmfdiagError as error:
        line["outcome"] = f"says: {error}"
    except Exception as error:
        line["outcome"] = f"BREAKS: {type(error).__name__}: {error}"
    return line | {"seconds": f"{time.perf_counter() - start:.1f}"}


def main(out: Path) -> None:
    """Try all, a line each."""
    torch.set_num_threads(1)
    with out.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(
            file, ["network", *try_network(None, torch.zeros(2, 1), torch.zeros(2))], lineterminator="\n"
        )
        table.writeheader()
        for name, (make, form) in CASES.items():
            torch.manual_seed(0)
            x, y = digits(form)
            line = {"network": name, **try_network(fit(make(), x, y), x, y)}
            table.writerow(line)
            print(line, file=sys.stderr, flush=True)
        x, y = digits("image")
        for name, change in AFTER.items():
            torch.manual_seed(0)
            model = fit(Plain(), x, y)
            try:
                changed = change(model)
            except Exception as error:
                print(f"{name}: can't be made here: {error}", file=sys.stderr)
                continue
            line = {"network": name, **try_network(changed, x, y)}
            table.writerow(line)
            print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
