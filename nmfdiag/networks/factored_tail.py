"""Run the rest of a network on a layer's factors: ``conv(W H)`` is ``conv(W)`` with H folded into its weight.

A convolution and a linear layer sum over channels, and so does ``W H``: the two sums commute. The layer then reads the
k channels of W instead of all channels, and W H is never formed. Padding, stride and dilation act on every channel
alike, so this is exact. Other readers of the activation (max pooling, a skip connection) get ``W H``.
"""

from typing import Any

import torch
from torch import Tensor, fx, nn

from nmfdiag.networks.activations import RELU_FUNCTIONS
from nmfdiag.networks.channels import function_name
from nmfdiag.networks.matrix_fold import fold, unfold

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
LINEAR_MAPS = (nn.Linear, *CONVOLUTIONS)
IDLE = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""Modules that do nothing in evaluation mode."""
POOLS = (
    nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
)  # fmt: skip
"""Modules that take means over places: these commute with the sum over channels, the maximum does not."""
POOL_NAMES = frozenset(f"{kind}{n}d" for kind in ("avg_pool", "adaptive_avg_pool") for n in (1, 2, 3))
PAYS = 0.75
"""Share of the channels up to which folding H pays: the convolution is still 1.2 to 1.7 times faster there, as measured."""


class Affine(nn.Module):
    """A convolution or linear layer, the batch norm after it and the ReLU after that, in one pass over the output.

    It reads the modules' parameters at every call, and keeps no copy.
    """

    module: Any  # its parameters and methods are used, which nn.Module does not declare
    norm: Any

    def __init__(self, module: nn.Module, norm: nn.Module | None, relu: bool):
        super().__init__()
        self.module, self.norm, self.relu = module, norm, relu

    def forward(self, x: Tensor, H: Tensor | None = None) -> Tensor:
        """Run on ``x`` (n, channels, ...), or on ``x H`` where x (n, k, ...) holds W."""
        module, norm, weight, bias = self.module, self.norm, self.module.weight, self.module.bias
        linear = isinstance(module, nn.Linear)
        if H is not None:
            weight = _with_factor(weight, H)
        # Scaling the weight is less work than scaling the output, unless the output is the smaller one.
        if norm is not None and x.numel() // x.shape[1] > weight[0].numel() and not (linear and x.ndim > 2):
            scale = torch.rsqrt(norm.running_var + norm.eps)
            shift = -norm.running_mean if bias is None else bias - norm.running_mean
            if norm.affine:
                scale = scale * norm.weight
            weight = weight * scale.view(-1, *[1] * (weight.ndim - 1))
            bias, norm = shift * scale + norm.bias if norm.affine else shift * scale, None
        # _conv_forward is what a convolution's own forward calls: it pads by the padding mode.
        y = nn.functional.linear(x, weight, bias) if linear else module._conv_forward(x, weight, bias)
        if norm is not None:
            y = norm(y)
        return y.relu_() if self.relu else y

    def sums_channels(self, n_dims: int, channel_dim: int, flat: bool) -> bool:
        """Return whether it sums over all channels of (n, channels, ...), or of (n, channels * places) if ``flat``."""
        if isinstance(self.module, nn.Linear):
            return flat or channel_dim == n_dims - 1 > 0
        dims = self.module.weight.ndim
        return not flat and channel_dim == 1 and n_dims == dims and bool(self.module.groups == 1)


def _with_factor(weight: Tensor, H: Tensor) -> Tensor:
    """Fold H (k, channels) into a weight (outputs, channels, ...) or (outputs, channels * places): k for channels."""
    places = weight.flatten(1).unflatten(1, (H.shape[1], -1)).to(H.dtype)
    if places.shape[2] == 1:  # one matrix product is faster than one for each output
        folded = product(places[:, :, 0], H.T)[:, :, None]
    else:
        folded = product(H, places)
    folded = folded.to(weight.dtype)  # (outputs, k, places)
    return folded.flatten(1) if weight.ndim == 2 else folded.unflatten(2, weight.shape[2:])


def product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply two matrices in their own type, also where the network runs in bfloat16."""
    with torch.autocast(left.device.type, enabled=False):
        return left @ right


def multiply(W: Tensor, H: Tensor, channel_dim: int) -> Tensor:
    """Form the activation ``W H`` from W with its k columns on the axis of the channels."""
    return unfold(product(fold(W, channel_dim), H.to(W.dtype)), W.shape, channel_dim)


def pays(rows: int, channels: int, k: int) -> bool:
    """Return whether reading k columns of W, and folding H, is less work than reading all channels."""
    return 0 < k * (rows + channels) <= PAYS * rows * channels


def merge_affine(tail: fx.GraphModule) -> None:
    """Drop idle modules, and merge each linear map with its only reader, a norm or a ReLU, into one :class:`Affine`."""
    modules = dict(tail.named_modules(remove_duplicate=False))
    for node in list(tail.graph.nodes):
        if node.op == "call_module" and _behaves_like(modules[str(node.target)], IDLE) and len(node.args) == 1:
            node.replace_all_uses_with(node.args[0])
            tail.graph.erase_node(node)
    for i, node in enumerate(list(tail.graph.nodes)):
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if module is None or not _behaves_like(module, LINEAR_MAPS) or len(node.args) != 1:
            continue
        merged, norm, relu = [node], None, False
        reader = _only_reader(node)
        if reader and reader.op == "call_module" and _is_fixed_norm(modules[str(reader.target)], module):
            merged, norm = [reader, node], modules[str(reader.target)]
            reader = _only_reader(reader)
        if reader and _is_relu(reader, modules):
            merged, relu = [reader, *merged], True
        name = f"nmfdiag_affine_{i}"
        tail.add_submodule(name, Affine(module, norm, relu))
        with tail.graph.inserting_before(node):
            merged[0].replace_all_uses_with(tail.graph.call_module(name, node.args))
        for erased in merged:
            tail.graph.erase_node(erased)
    tail.recompile()


def factored_tail(tail: fx.GraphModule, n_dims: int, channel_dim: int) -> fx.GraphModule | None:
    """Return the tail that takes W, with its columns on the axis of the channels, and H instead of the activation.

    Args:
        tail: A tail after :func:`merge_affine`; it must not overwrite its activation.
        n_dims: Number of axes of the activation, with the batch axis.
        channel_dim: The axis of the activation's channels.

    Returns:
        The tail; None if no layer of it reads the activation by a linear map over channels.
    """
    graph, modules = fx.Graph(), dict(tail.named_modules(remove_duplicate=False))
    activation = next(iter(tail.graph.nodes))
    W, H = graph.placeholder("W"), graph.placeholder("H")
    compact = {activation: W}  # values that still lack the product with H
    flat: set[fx.Node] = set()  # those of shape (n, k * places)
    copies: dict[fx.Node, fx.Node] = {}
    folds = False

    def whole(node: fx.Node) -> fx.Node:
        if node not in copies:
            copies[node] = graph.call_function(multiply, (compact[node], H, channel_dim))
        return copies[node]

    for node in list(tail.graph.nodes)[1:]:
        source = node.args[0] if len(node.all_input_nodes) == 1 else None
        module = modules[str(node.target)] if node.op == "call_module" else None
        if not isinstance(source, fx.Node) or source not in compact:
            copies[node] = graph.node_copy(node, whole)
        elif isinstance(module, Affine) and module.sums_channels(n_dims, channel_dim, source in flat):
            copies[node] = graph.call_module(str(node.target), (compact[source], H))
            folds = True
        elif _pools(node, module, n_dims, channel_dim):
            compact[node] = graph.node_copy(node, compact.__getitem__)
        elif channel_dim == 1 and _flattens(node, module) and all(_is_linear(u, modules) for u in node.users):
            compact[node] = graph.node_copy(node, compact.__getitem__)
            flat.add(node)
        else:
            copies[node] = graph.node_copy(node, whole)
    return fx.GraphModule(tail, graph) if folds else None


def _behaves_like(module: nn.Module | None, kinds: tuple[type[nn.Module], ...]) -> bool:
    """Return whether a module has the forward of one of these classes, and no hook."""
    if not isinstance(module, kinds) or module._forward_hooks or module._forward_pre_hooks:
        return False
    inherited = [kind for kind in kinds if isinstance(module, kind)][-1]
    names = ("forward", "_conv_forward") if issubclass(inherited, CONVOLUTIONS) else ("forward",)
    return all(getattr(type(module), name) is getattr(inherited, name) for name in names)


def _is_fixed_norm(module: nn.Module, linear_map: Any) -> bool:
    """Return whether this is a batch norm by stored statistics that can be merged into the weight of the module before it."""
    return (
        _behaves_like(module, BATCH_NORMS)
        and module.running_mean is not None
        and linear_map.weight.dtype in (torch.float32, torch.float64)
    )


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return _behaves_like(modules[str(node.target)], (nn.ReLU,))
    is_named = function_name(node.target) in ("relu", "relu_")
    return is_named and (node.op == "call_method" or node.target in RELU_FUNCTIONS)


def _only_reader(node: fx.Node) -> fx.Node | None:
    """Return the only node that reads a node's value, if it reads nothing else."""
    if len(node.users) != 1:
        return None
    reader = next(iter(node.users))
    return reader if reader.args[:1] == (node,) and len(reader.all_input_nodes) == 1 else None


def _is_linear(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    affine = modules[str(node.target)] if node.op == "call_module" else None
    return isinstance(affine, Affine) and isinstance(affine.module, nn.Linear)


def _pools(node: fx.Node, module: nn.Module | None, n_dims: int, channel_dim: int) -> bool:
    """Return whether a node takes means over places, by channel."""
    name = type(module).__name__ if module is not None else function_name(node.target)
    is_pool = _behaves_like(module, POOLS) if module is not None else node.op == "call_function" and name in POOL_NAMES
    return is_pool and channel_dim == 1 and n_dims == int(name[-2]) + 2


def _flattens(node: fx.Node, module: nn.Module | None) -> bool:
    """Return whether a node turns (n, channels, ...) into (n, channels * places)."""
    if module is not None:
        return _behaves_like(module, (nn.Flatten,)) and (module.start_dim, module.end_dim) == (1, -1)
    is_flatten = node.target == "flatten" if node.op == "call_method" else node.target is torch.flatten
    return is_flatten and (tuple(node.args[1:]), node.kwargs) in (((1,), {}), ((1, -1), {}), ((), {"start_dim": 1}))
