"""Which axis of an activation holds its channels, told by the operation that made it.

A convolution writes its channels to axis 1, a linear map to the last axis, and a layer norm over one axis works on the last one; what
works place by place leaves them where they are, and a permutation moves them along. Where none of these is found, the axis is the last
one of (n, tokens, channels) and axis 1 of anything else.

So the GELU of ConvNeXt, behind a linear map inside a block that works on (n, h, w, channels), has its channels on axis 3, and the ReLU
of a convolution network on axis 1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx, nn

from nmfdiag.networks.activations import KINDS, MODULES

CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
CONVOLUTION_NAMES = frozenset(f"conv{transposed}{n}d" for transposed in ("", "_transpose") for n in (1, 2, 3))
KEEPS = (
    nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.GroupNorm, nn.LocalResponseNorm,
    nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.Identity,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, *MODULES,
)  # fmt: skip
"""Modules that leave every axis where it is."""
_POOLS = {f"{adaptive}{kind}_pool{n}d" for adaptive in ("", "adaptive_") for kind in ("max", "avg") for n in (1, 2, 3)}
_ARITHMETIC = {
    f"{before}{word}{after}" for word in ("add", "sub", "mul", "div", "truediv")
    for before, after in (("", ""), ("", "_"), ("i", ""), ("__", "__"), ("__i", "__"), ("__r", "__"), ("r", ""))
}  # fmt: skip
_ACTIVATIONS = {function.__name__ for kind in KINDS.values() for function in kind.functions} | {"hardtanh", "hardtanh_"}
SPLITS = frozenset({"chunk", "split", "tensor_split"})
KEEPS_NAMES = frozenset({
    "batch_norm", "group_norm", "instance_norm", "dropout", "dropout_", "feature_dropout", "stochastic_depth", "clone", "contiguous",
    "to", "float", "half", "bfloat16", "detach", "cat", "concat", *SPLITS, *_POOLS, *_ARITHMETIC, *_ACTIVATIONS,
})  # fmt: skip
"""Functions and methods, by their names, that do so."""


@dataclass(frozen=True)
class Axis:
    """Where the channels of a tensor are: by the convolution, or else by the linear map or norm, that they come from."""

    of_convolution: int | None = None
    of_linear: int | None = None

    def resolve(self, n_dims: int) -> int:
        """The axis, or the usual one where none is known."""
        known = self.of_linear if self.of_convolution is None else self.of_convolution
        return usual_axis(n_dims) if known is None else known


def usual_axis(n_dims: int) -> int:
    """Axis of the channels where nothing is known: 1, but the last of (n, tokens, channels), and 0 where there is no other."""
    return max(0, n_dims - 1) if n_dims <= 3 else 1


def axis_after(name: str, given: Sequence[Any], named: Mapping[str, Any], inputs: Iterable[Axis], n_dims: int) -> Axis:
    """Where an operation leaves the channels.

    Args:
        name: Name of the function or method.
        given: Its positional arguments, the tensor first.
        named: Its arguments by name.
        inputs: Where the channels of the tensors that it is given are.
        n_dims: Axes of its output.
    """
    if name in CONVOLUTION_NAMES:
        return Axis(of_convolution=1)
    if name == "linear":
        return Axis(of_linear=n_dims - 1)
    found = _first(inputs)
    if name == "layer_norm":
        shape = [*given[1:2], named.get("normalized_shape", ())][0]
        over_last = isinstance(shape, Sequence) and len(shape) == 1
        return Axis(found.of_convolution, n_dims - 1 if over_last else found.of_linear)
    if name in KEEPS_NAMES:
        return found
    order = _order(name, given[1:], named, n_dims)
    if order is None:
        return Axis()
    return Axis(*(None if axis is None else order.index(axis) for axis in (found.of_convolution, found.of_linear)))


def axes_in(graph: fx.GraphModule, n_dims: int) -> dict[fx.Node, Axis]:
    """Where the channels of each node's value are, wherever that has ``n_dims`` axes (of other values it says nothing)."""
    found: dict[fx.Node, Axis] = {}
    for node in graph.graph.nodes:
        name, args, kwargs = "", node.args, node.kwargs
        if node.op == "call_module":
            name, *more = _as_function(graph.get_submodule(str(node.target)))
            args = (*args[:1], *more)
        elif node.op in ("call_function", "call_method"):
            name = function_name(node.target)
            if name == "getitem" and isinstance(args[0], fx.Node) and function_name(args[0].target) in SPLITS:
                name = "chunk"
        found[node] = axis_after(name, args, kwargs, [found[source] for source in node.all_input_nodes], n_dims)
    return found


def function_name(target: Any) -> str:
    """Name of a function, or of a method given by its name."""
    return target if isinstance(target, str) else getattr(target, "__name__", "")


def tensors_in(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among arguments, and in lists of them."""
    flat = (one for value in values for one in (value if isinstance(value, list | tuple) else (value,)))
    return [one for one in flat if isinstance(one, Tensor)]


def _as_function(module: nn.Module) -> tuple[Any, ...]:
    """Name of a function that does with the axes what a module does, and its arguments; empty where that is unknown."""
    if isinstance(module, CONVOLUTIONS):
        return ("conv2d",)
    if isinstance(module, nn.Linear):
        return ("linear",)
    if isinstance(module, nn.LayerNorm):
        return "layer_norm", module.normalized_shape
    return ("clone",) if isinstance(module, KEEPS) else ("",)


def _first(inputs: Iterable[Axis]) -> Axis:
    """The first axis of either kind that is known."""
    some = list(inputs)
    convolution = next((one.of_convolution for one in some if one.of_convolution is not None), None)
    return Axis(convolution, next((one.of_linear for one in some if one.of_linear is not None), None))


def _order(name: str, given: Sequence[Any], named: Mapping[str, Any], n_dims: int) -> list[int] | None:
    """The old places of the axes in their new order, for an operation that permutes them."""
    axes = [axis for value in (*given, *named.values()) for axis in (value if isinstance(value, Sequence) else [value])]
    if not all(isinstance(axis, int) and -n_dims <= axis < n_dims for axis in axes):
        return None
    axes = [axis % n_dims for axis in axes]
    if name == "permute" and sorted(axes) == list(range(n_dims)):
        return axes
    if name in ("transpose", "swapaxes", "swapdims") and len(axes) == 2:
        order, (a, b) = list(range(n_dims)), axes
        order[a], order[b] = b, a
        return order
    return None
