"""Weights identify their architecture and its sizes; the oracle is the network that they come from."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.architectures import ARCHITECTURES, build
from nmfdiag.networks.checkpoints.match import input_channels, nearest_architectures, network_for, options_for
from nmfdiag.zoo.registry import entries

RGB = (3, 224, 224)
SMALL, LARGE = ["mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"], ["convnext_tiny", "inception_v3"]
MORE_SMALL = [
    "resnet18", "mobilenet_v3_large", "densenet121", "googlenet", "efficientnet_b0", "regnet_y_400mf", "mnasnet0_5",
]  # fmt: skip
MORE_LARGE = ["vgg11_bn", "vgg19", "vit_b_16", "swin_t"]


def soaked(names: list[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.soak) for name in names]


def torchvision(arch: str, n_classes: int = 7, **options: Any) -> nn.Module:
    """Return a network of torchvision with random batch norm statistics."""
    if arch in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    torch.manual_seed(0)
    return shaken(models.get_model(arch, weights=None, num_classes=n_classes, **options))


def shaken(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        for name, value in model.named_buffers():
            if value.ndim and value.is_floating_point():
                value.copy_(torch.rand_like(value) + (0.5 if name.endswith("var") else 0))
    return model.eval()


def zeros(arch: str, n_classes: int = 7) -> dict[str, Tensor]:
    """Return a state dict of a large network, without the time for initial weights."""
    options: dict[str, Any] = {"init_weights": False} if arch == "inception_v3" else {}
    with torch.device("meta"):
        model = models.get_model(arch, weights=None, num_classes=n_classes, **options)
    return {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    return torchvision("resnet18")


@pytest.fixture(scope="module")
def googlenet() -> nn.Module:
    return torchvision("googlenet")


@pytest.fixture(scope="module")
def vit_b_16() -> dict[str, Tensor]:
    return zeros("vit_b_16")


# ---------------------------------------------------------------- torchvision's


@pytest.mark.parametrize("arch", [*SMALL, *soaked(MORE_SMALL)])
def test_torchvision_at_another_class_count(arch: str) -> None:
    model = torchvision(arch)
    network, n_outputs = network_for(arch, model.state_dict(), RGB)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(x), model(x))
    assert n_outputs == 7 and not any(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert nearest_architectures(model.state_dict())[0] == (arch, 1.0)


@pytest.mark.parametrize("arch", [*LARGE, *soaked(MORE_LARGE)])
def test_large_ones(arch: str) -> None:
    state = zeros(arch)
    network, n_outputs = network_for(arch, state, RGB)
    assert n_outputs == 7
    assert {name: value.shape for name, value in network.state_dict().items()} == {k: v.shape for k, v in state.items()}
    assert not any(value.is_meta for value in (*network.parameters(), *network.buffers()))


@pytest.mark.parametrize("heads", ["none", "of other classes", "of these classes"])
def test_auxiliary_heads(heads: str, googlenet: nn.Module) -> None:
    state = googlenet.state_dict()
    if heads == "of other classes":  # the weights of ImageNet with a new last layer
        for aux in ("aux1", "aux2"):
            state |= {f"{aux}.fc2.weight": torch.zeros(1000, 1024), f"{aux}.fc2.bias": torch.zeros(1000)}
    elif heads == "none":
        state = {name: value for name, value in state.items() if not name.startswith("aux")}
    options = options_for("googlenet", state)
    assert options == ({} if heads == "of these classes" else {"aux_logits": 0})
    network, _ = network_for("googlenet", state, RGB, options=options)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(x), googlenet(x))
    assert (network.aux1 is None) == (heads != "of these classes")
    assert nearest_architectures(state)[0] == ("googlenet", 1.0)


def test_only_torchvisions_own_weights_have_another_normalisation_inside(googlenet: nn.Module) -> None:
    state = {name: value for name, value in googlenet.state_dict().items() if not name.startswith("aux")}
    for title in ("mine.pth", "googlenet-1378be20.pth", "GoogLeNet_Weights.IMAGENET1K_V1"):
        network, _ = network_for("googlenet", state, RGB, title=title)
        assert bool(network.transform_input) == (title != "mine.pth")
    assert network_for("googlenet", state, RGB, options={"transform_input": 1, "aux_logits": 0})[0].transform_input


def test_a_vision_transformer_of_another_image_size(vit_b_16: dict[str, Tensor]) -> None:
    state = vit_b_16 | {"encoder.pos_embedding": torch.zeros(1, (96 // 16) ** 2 + 1, 768)}
    assert options_for("vit_b_16", state) == {"image_size": 96}
    network, _ = network_for("vit_b_16", state, (3, 96, 96))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 96, 96)).shape == (1, 7)
    with pytest.raises(NmfdiagError, match=r"The weights w\.pth are for images of 96x96 .* got 224x224: .*--size 96"):
        network_for("vit_b_16", state, RGB, title="w.pth")


@pytest.mark.parametrize("side", [16, 32, 64])
def test_patches_that_do_not_fit_the_image_are_another_transformer_s(side: int, vit_b_16: dict[str, Tensor]) -> None:
    state = vit_b_16 | {"encoder.pos_embedding": torch.zeros(1, (side // 16) ** 2 + 1, 768)}
    assert nearest_architectures(state)[0][0] == "vit_b_16"  # vit_h_14 is among the candidates


def test_names_from_before_torchvision_renamed_layers(vit_b_16: dict[str, Tensor]) -> None:
    model = torchvision("densenet121")
    state = {
        name.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2.") if "denselayer" in name else name: value
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in state
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network_for("densenet121", state, RGB)[0](x), model(x))
    state = dict(vit_b_16)
    for old, new in (("linear_1", "0"), ("linear_2", "3")):
        for kind in ("weight", "bias"):
            name = "encoder.layers.encoder_layer_0.mlp.{}." + kind
            state[name.format(old)] = state.pop(name.format(new))
    assert network_for("vit_b_16", state, RGB)[1] == 7


def test_a_table_of_indices_stays_as_the_network_makes_it() -> None:
    state = zeros("swin_t")
    name = "features.1.0.attn.relative_position_index"
    state[name] = torch.full_like(state[name], 10**9)
    network, _ = network_for("swin_t", state, RGB)
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


# ---------------------------------------------------------------- ours


OURS: list[tuple[str, tuple[int, ...], dict[str, int]]] = [
    ("cnn", (3, 32, 32), {"width": 32}),
    ("cnn", (1, 8, 8), {"width": 5}),
    ("cnn", (2, 6, 7), {"width": 4}),
    ("cnn", (4, 16, 20), {"width": 3, "convs": 1}),
    ("cnn", (3, 32, 32), {"width": 4, "convs": 4}),
    ("mlp", (1, 28, 28), {"width": 16, "depth": 3}),
    ("mlp", (40,), {"width": 9, "depth": 12}),
    ("resnet", (1, 16, 16), {"width": 6, "blocks_a_stage": 3}),
    ("resnet", (5, 8, 8), {"width": 4, "blocks_a_stage": 1}),
    ("audio_cnn", (1, 32, 20), {"width": 6}),
    ("audio_cnn", (2, 16, 16), {"width": 3}),
]


@pytest.mark.parametrize(
    ("arch", "shape", "options", "dtype"),
    [*((*case, torch.float32) for case in OURS), *((*OURS[i], torch.float16) for i in (1, 5, 8, 10))],
)
def test_ours_at_other_sizes(arch: str, shape: Any, options: dict[str, int], dtype: torch.dtype) -> None:
    model = shaken(build(arch, (*shape, 1, 1)[:3], 4, **options)).to(dtype)
    state = model.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    assert options_for(arch, state) == options
    network, n_outputs = network_for(arch, state, shape)
    x = torch.randn(3, *shape)
    with torch.no_grad():
        assert torch.equal(network(x), model.float()(x)) and n_outputs == 4
        for parameter in network.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[name]) for name, value in state.items())
    assert nearest_architectures(state)[0] == (arch, 1.0)


def test_channels_of_the_inputs(googlenet: nn.Module) -> None:
    for arch, shape, options in OURS:
        state = {
            f"model.{name}": value for name, value in build(arch, (*shape, 1, 1)[:3], 4, **options).state_dict().items()
        }
        assert input_channels(arch, state) == (None if arch == "mlp" else shape[0])
    assert input_channels("googlenet", googlenet.state_dict()) == 3


def test_all_of_ours_are_here() -> None:
    assert {arch for arch, _, _ in OURS} == set(ARCHITECTURES)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_networks_that_are_shipped(arch: str) -> None:
    """Compare the options with those in their records."""
    shipped = [entry for entry in entries().values() if entry.recipe.arch == arch]
    if not shipped:
        pytest.skip(f"no {arch} is shipped")
    model = shipped[0].load_model()
    network, n_outputs = network_for(arch, model.state_dict(), shipped[0].input_shape)
    x = torch.randn(2, *shipped[0].input_shape)
    with torch.no_grad():
        assert torch.equal(network(x), model.eval()(x)) and n_outputs == shipped[0].n_classes


# ---------------------------------------------------------------- what is around them


def test_a_prefix_and_what_is_beside_it(resnet18: nn.Module) -> None:
    state = {f"_orig_mod.model.net.{name}": value for name, value in resnet18.state_dict().items()}
    state |= {"_orig_mod.criterion.weight": torch.ones(7)}
    network, _ = network_for("resnet18", state, RGB)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(x), resnet18(x))
    assert nearest_architectures(state)[0] == ("resnet18", 1.0)


def test_two_networks_in_one(resnet18: nn.Module) -> None:
    state = {
        f"{owner}.{name}": value for name, value in resnet18.state_dict().items() for owner in ("student", "teacher")
    }
    with pytest.raises(NmfdiagError, match=r"w\.pth hold 2 networks that fit resnet18, under 'student\.', 'teacher\.'"):
        network_for("resnet18", state, RGB, title="w.pth")
    student = {name: value for name, value in state.items() if name != "teacher.conv1.weight"}
    assert network_for("resnet18", student, RGB)[1] == 7


def test_names_that_would_make_many_networks() -> None:
    """Limit the number of candidates: without a limit each would be compared."""
    state = {f"a{i}.fc.bias": torch.zeros(2) for i in range(5000)} | {"fc123456.linear.weight": torch.zeros(1, 1)}
    with pytest.raises(NmfdiagError, match="don't fit resnet18"):
        network_for("resnet18", state, RGB)


def test_sizes_that_no_memory_could_hold() -> None:
    """Compare weights before allocating any."""
    names = build("mlp", (10, 1, 1), 2).state_dict()
    state = {name: torch.zeros(1) for name in names} | {"fc1.linear.weight": torch.zeros(10**7, 1)}
    with pytest.raises(NmfdiagError, match=r"fc1\.bn\.weight: \(1,\) here, \(10000000,\) in mlp"):
        network_for("mlp", state, (1, 1, 1))


# ---------------------------------------------------------------- what doesn't fit


def test_another_first_layer(resnet18: nn.Module) -> None:
    state = resnet18.state_dict() | {"conv1.weight": torch.zeros(64, 3, 3, 3)}
    with pytest.raises(NmfdiagError) as caught:
        network_for("resnet18", state, RGB, title="cifar.pth")
    message = "The weights cifar.pth don't fit resnet18: shapes differ in 1 (conv1.weight: (64, 3, 3, 3) here, (64, 3, 7, 7) in resnet18)."
    assert str(caught.value).startswith(message) and "resnet18 (99%), resnet34" in str(caught.value)


def test_another_architecture(resnet18: nn.Module) -> None:
    with pytest.raises(NmfdiagError) as caught:
        network_for("resnet34", resnet18.state_dict(), RGB)
    assert "The weights don't fit resnet34: they lack 80 of its 218 tensors ('layer1.2.conv1.weight', " in str(
        caught.value
    )
    assert "Share of tensors that agree with other architectures: resnet18 (100%)" in str(caught.value)
    with pytest.raises(
        NmfdiagError, match=r"they have no tensor 'classifier\.1\.bias', whose length is the number of classes"
    ):
        network_for("squeezenet1_1", {"x": torch.zeros(2)}, RGB)
    with pytest.raises(NmfdiagError, match=r"don't fit resnet18: .*No architecture here is near"):
        network_for("resnet18", {"x": torch.zeros(2)}, RGB)


def test_other_inputs() -> None:
    state = build("cnn", (1, 32, 32), 4).state_dict()
    with pytest.raises(
        NmfdiagError, match=r"cnn for inputs of \(3, 32, 32\): .*\(32, 1, 3, 3\) here, \(32, 3, 3, 3\) in cnn"
    ):
        network_for("cnn", state, (3, 32, 32))
    with pytest.raises(
        NmfdiagError,
        match=r"for inputs of \(1, 8, 8\): it lacks .* of theirs \('conv4_1|for inputs of \(1, 8, 8\): .*it lacks \d+ of theirs \('conv3_1",
    ):
        network_for("cnn", state, (1, 8, 8))
    with pytest.raises(NmfdiagError, match=r"'cnn' needs inputs of at least 4x4, got \(3, 3\)"):
        network_for("cnn", state, (1, 3, 3))
    for shape in ((40,), (3, 4), (3, 0, 4), ()):
        with pytest.raises(NmfdiagError, match=r"cnn takes inputs of \(channels, height, width\), got"):
            network_for("cnn", state, shape)
    with pytest.raises(NmfdiagError, match=r"torchvision's 'resnet18' takes three channels"):
        network_for("resnet18", {"fc.bias": torch.zeros(3)}, (1, 64, 64))


@pytest.mark.parametrize(
    ("arch", "message"), [("resnet19", r"resnet18, "), ("", r"\(vgg19, resnet18"), ("../x", "vgg19")]
)
def test_an_unknown_architecture(arch: str, message: str) -> None:
    with pytest.raises(
        NmfdiagError, match=f"Unknown architecture .*: accepted are cnn, mlp, resnet, audio_cnn .*{message}"
    ):
        network_for(arch, {"x": torch.zeros(1)}, RGB)
    with pytest.raises(NmfdiagError, match="Unknown architecture"):
        options_for(arch, {})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.tensor([0.0, torch.nan]), "hold NaN or infinite values, in classifier.bias"),
        (torch.tensor([0.0, torch.inf]), "hold NaN or infinite values, in classifier.bias"),
        (torch.tensor([0.0, 1e300], dtype=torch.float64), "hold NaN or infinite values, in classifier.bias"),
        (
            torch.tensor([0, 1], dtype=torch.int8),
            r"hold torch\.int8 in 'classifier\.bias': accepted are floating-point",
        ),
        (torch.zeros(0), r"classifier\.bias: \(0,\) here"),
        (torch.tensor(1.0), r"classifier\.bias: \(\) here"),
    ],
)
def test_values_that_are_none(value: Tensor, message: str) -> None:
    state = build("mlp", (1, 4, 4), 2).state_dict() | {"classifier.bias": value}
    with pytest.raises(NmfdiagError, match=message):
        network_for("mlp", state, (1, 4, 4))


# ---------------------------------------------------------------- the nearest


def test_the_nearest_are_ranked(resnet18: nn.Module) -> None:
    ranked = nearest_architectures(resnet18.state_dict(), n=5)
    assert [arch for arch, _ in ranked[:3]] == ["resnet18", "resnet34", "resnet50"]
    shares = [share for _, share in ranked]
    assert shares == sorted(shares, reverse=True) and shares[0] == 1 and len(ranked) == 5
    without_counters = 218 - 36
    assert shares[1] == pytest.approx((without_counters - 80) / without_counters)
    assert nearest_architectures({}) == []
    assert nearest_architectures({"x": torch.zeros(1)}) == []
