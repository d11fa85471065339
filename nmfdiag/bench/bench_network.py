"""Real activations of the five shapes: a small VGG-like network, briefly trained on first use and saved.

It has one convolution per resolution and one fully-connected layer, so that 50 images of one class give 51200x64, 12800x128,
3200x256, 800x512 and 50x512 activation matrices. It is trained on CIFAR-10 if that is on the disk, else on the
Fashion-MNIST images of the zoo.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nmfdiag.bench.table import results_folder
from nmfdiag.data.datasets import load
from nmfdiag.data.normalization import Normalization
from nmfdiag.data.probe import stratified_subset
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.zoo_networks import ConvBlock, LinearBlock
from nmfdiag.zoo.registry import entries

LAYERS = ("conv1", "conv2", "conv3", "conv4", "fc1")
SIDE = 32
HELD_OUT = 500
Say = Callable[[str], None]


@dataclass(frozen=True)
class BenchRecipe:
    """Everything that the network depends on, except for the data set."""

    n_train: int = 4000
    epochs: int = 4
    batch_size: int = 64
    learning_rate: float = 2e-3
    n_classes: int = 10
    per_class: int = 50
    seed: int = 0


@dataclass(frozen=True)
class Bench:
    """The trained network and its probe images.

    ``model`` in evaluation mode; ``inputs`` (classes * per_class, c, 32, 32) normalised, sorted by class; ``data`` names
    the data set; ``accuracy`` is the network's on held-out images.
    """

    model: nn.Module
    inputs: Tensor
    labels: Tensor
    data: str
    accuracy: float

    def batch(self, class_idx: int) -> tuple[Tensor, Tensor]:
        """Return the images (n, c, 32, 32) and labels (n,) of one class."""
        in_class = self.labels == class_idx
        return self.inputs[in_class], self.labels[in_class]


def network(channels: int, n_classes: int) -> nn.Sequential:
    """Build the network for 32x32 images; each layer name is the path of a block that ends in a ReLU."""
    return nn.Sequential(
        OrderedDict(
            conv1=ConvBlock(channels, 64),
            pool1=nn.MaxPool2d(2),
            conv2=ConvBlock(64, 128),
            pool2=nn.MaxPool2d(2),
            conv3=ConvBlock(128, 256),
            pool3=nn.MaxPool2d(2),
            conv4=ConvBlock(256, 512),
            mean=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc1=LinearBlock(512, 512),
            classifier=nn.Linear(512, n_classes),
        )
    )


def bench_network(root: str | None = None, say: Say = lambda text: None, recipe: BenchRecipe = BenchRecipe()) -> Bench:
    """Read the network trained by an earlier benchmark, or train it, which takes about a minute on one core.

    Args:
        root: Folder of the data sets; default as for :func:`nmfdiag.data.datasets.load`.
        say: Called with progress messages.
        recipe: Recipe of the network.
    """
    for data in ("cifar10", "fashion_mnist"):
        path = _path(data, recipe)
        if path.is_file():
            return _read(path, data, recipe)
        try:
            images, labels = _cifar10(root) if data == "cifar10" else _shipped_fashion()
        except NmfdiagError as error:
            say(f"{data} can't be used: {error}")
            continue
        say(
            f"training the network of the benchmark on {min(recipe.n_train, len(labels) - HELD_OUT):,} images of {data}, once"
        )
        _train(images, labels, recipe, path, say)
        return _read(path, data, recipe)
    raise NmfdiagError(
        "The benchmark needs CIFAR-10 in the data folder, or the zoo that comes with nmfdiag: neither is."
    )


def _path(data: str, recipe: BenchRecipe) -> Path:
    digest = hashlib.sha256(json.dumps(asdict(recipe), sort_keys=True).encode()).hexdigest()
    return results_folder() / f"network-{data}-{digest[:12]}.safetensors"


def _cifar10(root: str | None) -> tuple[Tensor, Tensor]:
    dataset = load("cifar10", "train", root=root)
    return dataset.inputs, dataset.labels


def _shipped_fashion() -> tuple[Tensor, Tensor]:
    """Return the Fashion-MNIST images of the zoo's probe pools, zero-padded from 28x28, with their true labels."""
    pools = {e.pool: e for e in entries().values() if e.recipe.dataset == "fashion_mnist" and e.pool}
    if not pools:
        raise NmfdiagError("The zoo has no Fashion-MNIST network.")
    images = torch.cat([load_file(e.files["pool"])["inputs"] for e in pools.values()])
    labels = torch.cat([load_file(e.files["labels"])["true"].long() for e in pools.values()])
    margin = (SIDE - images.shape[-1]) // 2
    return F.pad(images, [margin] * 4), labels


def _train(images: Tensor, labels: Tensor, recipe: BenchRecipe, path: Path, say: Say) -> None:
    """Train with Adam and a linear decay; write weights (float32), probe images and held-out accuracy."""
    training_rows = stratified_subset(labels, min(recipe.n_train, len(labels) - HELD_OUT), recipe.seed)
    is_remaining = torch.ones(len(labels), dtype=torch.bool)
    is_remaining[training_rows] = False
    remaining_rows = is_remaining.nonzero().flatten()
    held_out = remaining_rows[
        torch.randperm(len(remaining_rows), generator=torch.Generator().manual_seed(recipe.seed))[:HELD_OUT]
    ]
    normalize = Normalization.measure(images[training_rows])
    x, y = normalize(images[training_rows]).to(memory_format=torch.channels_last), labels[training_rows]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = network(x.shape[1], recipe.n_classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.Adam(model.parameters(), recipe.learning_rate)
        steps = recipe.epochs * (len(x) // recipe.batch_size)
        decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
        for epoch in range(1, recipe.epochs + 1):
            hits = 0
            batches = torch.randperm(len(x)).split(recipe.batch_size)
            for batch in batches[: len(x) // recipe.batch_size]:
                logits = model(x[batch])
                optimizer.zero_grad(set_to_none=True)
                F.cross_entropy(logits, y[batch]).backward()
                optimizer.step()
                decay.step()
                hits += int((logits.argmax(1) == y[batch]).sum())
            say(f"epoch {epoch} of {recipe.epochs}: training accuracy {hits / len(x):.3f}")
    with torch.inference_mode():
        predicted = model.eval()(normalize(images[held_out])).argmax(1)
    accuracy = float((predicted == labels[held_out]).float().mean())
    probe = torch.cat([training_rows[y == c][: recipe.per_class] for c in range(recipe.n_classes)])
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {f"model.{name}": value.contiguous() for name, value in model.state_dict().items()}
        | {"images": images[probe].contiguous(), "labels": labels[probe].contiguous()}
        | {"mean": torch.tensor(normalize.mean), "std": torch.tensor(normalize.std)}
        | {"accuracy": torch.tensor([accuracy])},
        path,
    )


def _read(path: Path, data: str, recipe: BenchRecipe) -> Bench:
    tensors = load_file(path)
    images = tensors["images"]
    normalize = Normalization(tuple(tensors["mean"].tolist()), tuple(tensors["std"].tolist()))
    model = network(images.shape[1], recipe.n_classes)
    model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    return Bench(model.eval(), normalize(images), tensors["labels"], data, float(tensors["accuracy"]))
