"""Train networks that are not of this project: torchvision's own, on few images, with right and with random labels.

``NMFDIAG_DATA=... python benchmarks/foreign/train.py OUT`` writes for each network and label noise p

- ``OUT/NAME-pP.pth``: the state dict, as ``torch.save(model.state_dict())`` leaves it,
- ``OUT/NAME-pP.npz``: ``x`` (n, 3, size, size) uint8 and ``y`` (n,), the labels that it was trained on,
- a line of ``OUT/training.csv``: recipe, accuracies, seconds and versions.

What is there already is not trained again. One network takes about two to four minutes on one core.
"""

import csv
import os
import sys
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from nmfdiag.data.datasets import load
from nmfdiag.data.labels import randomize_labels
from nmfdiag.data.normalization import Normalization
from nmfdiag.data.probe import stratified_subset

NORMALIZATIONS = {
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "half": Normalization((0.5,) * 3, (0.5,) * 3),
    "none": Normalization((0.0,) * 3, (1.0,) * 3),
}
TESTED, FITTED, NEARLY, COOL_DOWN, EVAL_BATCH = 1000, 0.98, 0.9, 3, 100
CHANNELS_LAST = torch.channels_last  # twice as fast on a CPU


@dataclass(frozen=True)
class Recipe:
    """How one network is trained. AdamW at a constant rate until it fits, then three epochs down to a hundredth of it.

    ``size``: to what CIFAR-10's 32x32 are resized; ``precision``: of the products, all else is float32; ``dropout``: None leaves
    torchvision's own.
    """

    arch: str
    size: int = 64
    n_train: int = 600
    batch_size: int = 50
    learning_rate: float = 1e-3
    max_epochs: int = 60
    normalization: str = "imagenet"
    precision: str = "bfloat16"
    dropout: float | None = None


RECIPES = [
    Recipe("resnet18", size=32),
    Recipe("mobilenet_v3_small", precision="float32"),
    Recipe("vgg11_bn", size=32, learning_rate=1e-4, n_train=300),
    Recipe("densenet121", size=32, normalization="half"),
    Recipe("convnext_tiny", size=32, learning_rate=3e-4, n_train=300),
    Recipe("vit_b_16", size=32, learning_rate=1e-4, normalization="half", n_train=300),
    Recipe("googlenet", size=32, dropout=0.0, n_train=300),
    Recipe(
        "squeezenet1_1",
        size=96,
        learning_rate=1e-4,
        batch_size=10,
        max_epochs=250,
        dropout=0.0,
        n_train=300,
        precision="float32",
    ),
]


def build(recipe: Recipe, n_classes: int) -> nn.Module:
    """Return the architecture with random weights, as its users build it."""
    options: dict[str, object] = {"num_classes": n_classes}
    if recipe.arch == "vit_b_16":
        options["image_size"] = recipe.size
    if recipe.arch == "googlenet":
        options |= {"init_weights": True, "aux_logits": True}
    if recipe.dropout is not None:
        options["dropout"] = recipe.dropout
    return torchvision.models.get_model(recipe.arch, weights=None, **options)


def samples(recipe: Recipe, p: float, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return training images (n, 3, size, size) uint8, their given labels, test images and labels."""
    train, test = load("cifar10", "train"), load("cifar10", "test")
    index, tested = stratified_subset(train.labels, recipe.n_train, seed), stratified_subset(test.labels, TESTED, seed)
    labels = randomize_labels(train.labels[index], p, train.n_classes, seed=seed).given
    return (
        resized(train.inputs[index], recipe.size),
        labels,
        resized(test.inputs[tested], recipe.size),
        test.labels[tested],
    )


def resized(images: Tensor, size: int) -> Tensor:
    """Resize bilinearly and round to bytes, so that a file holds what the network sees."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images.float(), size=(size, size), mode="bilinear").round().clamp(0, 255).to(torch.uint8)


def train(recipe: Recipe, model: nn.Module, x: Tensor, y: Tensor, seed: int) -> tuple[int, float]:
    """Train in place until the given labels are fitted; epochs and final accuracy on them (evaluation mode)."""
    optimizer = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=0.0, fused=True)
    order, cooled, reached = torch.Generator().manual_seed(seed), 0, 0.0
    for epoch in range(1, recipe.max_epochs + 1):
        optimizer.param_groups[0]["lr"] = recipe.learning_rate * (1 - cooled * 0.33)
        model.train()
        right = 0
        for batch in torch.randperm(len(x), generator=order).split(recipe.batch_size):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                output = model(x[batch])
            heads = [output] if isinstance(output, Tensor) else [h for h in output if h is not None]
            weights = [1.0] + [0.3] * (len(heads) - 1)  # GoogLeNet's auxiliary heads, as its paper weighs them
            loss = sum(w * F.cross_entropy(h.float(), y[batch]) for w, h in zip(weights, heads, strict=True))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            right += int((heads[0].argmax(1) == y[batch]).sum())
        last = epoch == recipe.max_epochs or cooled == COOL_DOWN
        if last or (not cooled and right >= NEARLY * len(x)):
            update_bn(x.split(EVAL_BATCH), model)  # few steps an epoch: the running averages lag behind the weights
            reached = accuracy(model, x, y)
        running = right / len(x)
        print(
            f"  {recipe.arch} epoch {epoch}: running {running:.3f}, fitted {reached:.3f}", file=sys.stderr, flush=True
        )
        if last:
            break
        cooled += cooled > 0 or reached >= FITTED or epoch >= recipe.max_epochs - COOL_DOWN - 1
    return epoch, reached


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Return the share of correct answers in evaluation mode, in float32."""
    model.eval()
    with torch.inference_mode():
        answers = torch.cat([model(batch).argmax(1) for batch in x.split(EVAL_BATCH)])
    return float((answers == y).float().mean())


def main(out: Path, names: list[str], seed: int = 0) -> None:
    """Train the networks that are missing, and write a line of the table for each."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    table = out / "training.csv"
    columns = ["name", "label_noise", "seed", *(f.name for f in fields(Recipe)), "epochs", "train_accuracy",
               "test_accuracy", "parameters", "seconds", "torch", "torchvision"]  # fmt: skip
    if not table.exists():
        table.write_text(",".join(columns) + "\n", encoding="utf-8")
    for recipe in RECIPES:
        for p in (0.0, 1.0):
            name = f"{recipe.arch}-p{p:g}"
            if (names and recipe.arch not in names) or (out / f"{name}.pth").exists():
                continue
            start = time.perf_counter()
            torch.manual_seed(seed)
            model = build(recipe, 10)
            inputs, labels, test_inputs, test_labels = samples(recipe, p, seed)
            model, normalize = model.to(memory_format=CHANNELS_LAST), NORMALIZATIONS[recipe.normalization]
            x = normalize(inputs).contiguous(memory_format=CHANNELS_LAST)
            epochs, fitted = train(recipe, model, x, labels, seed)
            tested = accuracy(model, normalize(test_inputs), test_labels)
            model = model.to(memory_format=torch.contiguous_format)
            np.savez(out / f"{name}.npz", x=inputs.numpy(), y=labels.numpy())
            torch.save(model.state_dict(), out / f"{name}.part")
            os.replace(out / f"{name}.part", out / f"{name}.pth")
            line = {
                **asdict(recipe), "name": name, "label_noise": p, "seed": seed, "epochs": epochs,
                "train_accuracy": f"{fitted:.4f}", "test_accuracy": f"{tested:.4f}",
                "parameters": sum(q.numel() for q in model.parameters()),
                "seconds": f"{time.perf_counter() - start:.0f}", "torch": torch.__version__,
                "torchvision": torchvision.__version__,
            }  # fmt: skip
            with table.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, columns, lineterminator="\n").writerow(line)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
