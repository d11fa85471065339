"""The paper's run-time figure: NMF of a batch of ImageNet size in VGG-19, time against rank, on either device."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmfdiag.bench.bench_network import Say
from nmfdiag.bench.cases import Case, Options, grid, load_subject
from nmfdiag.bench.peer_comparison import compare_solvers
from nmfdiag.bench.peers import warm_up
from nmfdiag.bench.table import Section
from nmfdiag.networks.architectures import build
from nmfdiag.networks.matrix_fold import fold

LAYER, PATH = "conv4_4", "features.26"
SIDE = 224
IMAGES = {"cpu": 16, "cuda": 64}
SINGLE_RANKS, QUICK_SINGLE_RANKS = (1, 2, 4, 8, 16, 32, 64), (1, 4)
BUDGET = 60.0


@dataclass(frozen=True)
class Vgg:
    """VGG-19 in evaluation mode, and the source of its weights."""

    model: nn.Module
    weights: str


def runtime_section(options: Options, say: Say) -> Section:
    """Time HALS and the paper's multiplicative updates on one layer of VGG-19: a rank at a time, then the whole grid.

    References:
        Collins, Bigdeli, Suesstrunk, Detecting Memorization in ReLU Networks, 2018, figure 11.
    """
    images = torch.cat([batch for batch, _ in load_subject(options, say).batches])
    images = images[: 1 if options.quick else IMAGES[options.device]]
    say(f"runtime: {LAYER} of VGG-19 on {len(images)} images of {SIDE}x{SIDE}")
    vgg = load_vgg()
    A = activations(vgg.model.to(options.device), images)
    note = f"VGG-19, {vgg.weights}, {len(images)} images upsampled to {SIDE}x{SIDE}"
    warm_up(("hals", "dff_mu"), options.device)
    whole = Case(f"vgg19 {LAYER}", A[None], grid(min(A.shape), options.quick))
    rows = []
    for k in QUICK_SINGLE_RANKS if options.quick else SINGLE_RANKS:
        say(f"runtime: rank {k}")
        rows += compare_solvers(
            replace(whole, layer=f"{whole.layer} k={k}", ranks=(k,)), ("hals", "dff_mu"), options.device, options.repeats,
            section="runtime", note=note, budget=BUDGET,
        )  # fmt: skip
    say("runtime: all ranks")
    rows += compare_solvers(
        whole, ("hals", "dff_mu"), options.device, options.repeats, section="runtime", note=note, budget=BUDGET
    )
    return Section(rows)


def load_vgg() -> Vgg:
    """Return VGG-19 with torchvision's weights if they were downloaded before, else with random initial ones."""
    model = build("vgg19", (3, SIDE, SIDE), 1000)
    weight_files = sorted(Path(torch.hub.get_dir(), "checkpoints").glob("vgg19-*.pth"))
    if not weight_files:
        return Vgg(model.eval(), "random weights (torchvision's are not in its folder)")
    model.load_state_dict(torch.load(weight_files[-1], map_location="cpu", weights_only=True))
    return Vgg(model.eval(), "torchvision's weights")


def activations(model: nn.Module, images: Tensor) -> Tensor:
    """Compute the activation matrix (rows, channels) of the layer on images (n, c, h, w), upsampled, grey ones in three channels."""
    features = model.get_submodule(PATH.split(".")[0])
    assert isinstance(features, nn.Sequential)
    head = features[: int(PATH.split(".")[1]) + 1]
    with torch.no_grad():
        x = images if images.shape[1] == 3 else images[:, :1].expand(-1, 3, -1, -1)
        large = F.interpolate(x, (SIDE, SIDE), mode="bilinear")
        return fold(torch.cat([head(image) for image in large.split(1)]), 1).contiguous()
