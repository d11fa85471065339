"""Write down what a network does with a batch, as a graph whose two halves run on their own.

The network's own code runs on real tensors, and every function that it calls is noted: nothing is patched, no stand-in for a tensor
enters the network, and threads do not interfere. Decisions by values are kept in the graph, too: where other samples would take another
way, the graph raises :class:`OtherWay` instead of giving an answer.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.weak import WeakTensorKeyDictionary

from nmfdiag.networks.channels import tensors_in
from nmfdiag.networks.graph_cut import renormalises, writes_in_place
from nmfdiag.networks.layers import Call
from nmfdiag.networks.snapshot import kept_at

METADATA = frozenset({
    "size", "dim", "ndimension", "numel", "nelement", "__len__", "stride", "is_contiguous", "element_size", "itemsize", "get_device",
    "is_floating_point", "is_complex", "is_signed", "type", "__hash__", "__repr__", "__format__", "storage_offset", "data_ptr",
    "is_pinned", "is_shared", "is_inference", "has_names", "is_conj", "is_neg", "can_cast", "result_type", "is_tensor",
    "is_same_size", "storage", "untyped_storage", "requires_grad_", "dense_dim", "register_hook", "retain_grad",
})  # fmt: skip
"""Functions that read no values: their results depend on shapes and types only."""
SIZE_BY_VALUES = frozenset({
    "nonzero", "argwhere", "masked_select", "unique", "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount", "one_hot",
    "repeat_interleave", "tensor_split", "_pack_padded_sequence", "_pad_packed_sequence", "to_sparse",
})  # fmt: skip
"""Functions whose number of output elements depends on the values of their inputs."""
READS_SIZE = frozenset({"size", "shape", "numel", "nelement", "nbytes", "__len__", "stride", "is_same_size"})
"""Functions and attributes that read the size of a tensor."""
PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    torch.dtype,
    torch.device,
    torch.memory_format,
    torch.layout,
    type(None),
    type(Ellipsis),
)
SPECIAL: dict[str, Callable[..., Any]] = {"__getitem__": operator.getitem, "__setitem__": operator.setitem}


class OtherWay(Exception):
    """The samples, or a replaced activation, take a way through the network that is not in the graph."""


class Untraceable(Exception):
    """A network's computation can't be written down as a graph."""


@dataclass
class Trace:
    """One run of a network, written down.

    Attributes:
        graph: The functions and modules called, in order.
        attributes: What the graph refers to by name: modules, parameters, constants.
        layers: The node of each activation call that was seen.
        decides: Whether the network's code reads values of tensors, so that its way may depend on them.
    """

    graph: fx.Graph
    attributes: dict[str, Any]
    layers: dict[Call, fx.Node] = field(default_factory=dict)
    decides: bool = False

    def module(self) -> fx.GraphModule:
        """Return a module that runs the whole graph."""
        return fx.GraphModule(self.attributes, self.graph)


class Recorder:
    """Writes a run down; pass it to :meth:`nmfdiag.networks.intercept.Replay.survey` as observer.

    Args:
        model: The network.
    """

    def __init__(self, model: nn.Module):
        self.trace = Trace(fx.Graph(), {})
        self.problem = ""
        self._nodes: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._names: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        for name, value in (
            *model.named_parameters(remove_duplicate=False),
            *model.named_buffers(remove_duplicate=False),
        ):
            self._names[value] = name
        self._own = {value.untyped_storage().data_ptr() for value in self._names if value.layout is torch.strided}
        self._input = self.trace.graph.placeholder("x")
        self._sized_by_values: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
        self._inside = False
        self._waiting: list[tuple[Call, Tensor]] = []

    def start(self, inputs: Tensor) -> None:
        """Register the network's input."""
        self._nodes[inputs] = self._input

    def finish(self, logits: Tensor) -> Trace:
        """Close the graph with the logits as its output.

        Raises:
            Untraceable: If a step of the run couldn't be written down.
        """
        if logits not in self._nodes:
            self.problem = self.problem or "the logits are made outside of PyTorch's functions"
        if self.problem:
            raise Untraceable(self.problem)
        self.trace.graph.output(self._nodes[logits])
        for node in reversed(self.trace.graph.nodes):
            if node.target is operator.getitem and not node.users and node not in self.trace.layers.values():
                self.trace.graph.erase_node(node)
        return self.trace

    def enter(self, module: nn.Module) -> None:
        """Stop noting calls while a leaf module runs."""
        self._inside = True

    def leave(self, path: str, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        """Note a leaf module that has run."""
        self._inside = False
        if isinstance(module, _NormBase) and module.training and module.track_running_stats:
            self.problem = f"{path} updates its running statistics"
        if getattr(module, "max_norm", None) is not None:
            self.problem = f"{path} renormalises its weights"
        self.trace.attributes[path] = module
        self._follow_size(tensors_in((*args, *kwargs.values())), output)
        self._note(lambda: self.trace.graph.call_module(path, self._mapped(args), self._mapped(kwargs)), output)
        for call, results in self._waiting:
            if results is output and results in self._nodes:
                self.trace.layers[call] = self._nodes[results]
        self._waiting.clear()

    def called(self, function: Any, name: str, args: tuple, kwargs: dict, output: Any) -> None:
        """Note a function that has run outside of leaf modules."""
        if not isinstance(output, Tensor) and not tensors_in((output,)):
            self._note_value(function, name, args, kwargs, output)
            return
        if name == "requires_grad_":  # a graph has no gradients
            self._note(lambda: self._mapped(args[0]), output)
            return
        tensors = tensors_in((*args, *kwargs.values()))
        self._follow_size(tensors, output, _size_by_values(name, args, kwargs, tensors))
        if self.problem:
            return
        if self._writes_into_network(name, args, kwargs) or _updates_statistics(name, args, kwargs):
            self.problem = f"{name} writes into the network's own parameters or buffers"
            return
        self._note(lambda: self._call(function, name, args, kwargs), output)

    def layer(self, call: Call, output: Tensor) -> None:
        """Note an activation's call, by the function just noted or inside a leaf module."""
        if self._inside:
            self._waiting.append((call, output))
        elif output in self._nodes:
            self.trace.layers[call] = self._nodes[output]

    def _note_value(self, function: Any, name: str, args: tuple, kwargs: dict, output: Any) -> None:
        """Note a value that the network's code reads: for another value it may take another way."""
        if name in SPECIAL or writes_in_place(name):
            if self._writes_into_network(name, args, kwargs):
                self.problem = f"{name} writes into the network's own parameters or buffers"
            else:
                self._note(lambda: self._call(function, name, args, kwargs), None)
            return
        tensors = tensors_in((*args, *kwargs.values()))
        attribute = getattr(function.__self__, "__name__", "") if name == "__get__" else name
        if attribute in READS_SIZE:
            if not any(value in self._sized_by_values for value in tensors):
                return
        elif name in METADATA or name == "__get__" or output is None or not tensors:
            return
        self.trace.decides = True
        if not _is_plain(output):
            self.problem = self.problem or f"{name} takes values out of PyTorch"
            return
        value = tuple(output) if isinstance(output, torch.Size) else output
        self._note(lambda: self._hold(self._call(function, name, args, kwargs), value), None)

    def _hold(self, node: fx.Node, value: Any) -> fx.Node:
        return self.trace.graph.call_function(expect, (node, value))

    def _follow_size(self, sources: list[Tensor], output: Any, by_values: bool = False) -> None:
        """Register tensors whose size depends on values: the size is then a value, too."""
        if by_values or any(value in self._sized_by_values for value in sources):
            for value in tensors_in((output,)):
                self._sized_by_values[value] = True
            self.trace.decides |= isinstance(output, list | tuple)  # the number of parts depends on the size

    def _call(self, function: Any, name: str, args: tuple, kwargs: dict) -> fx.Node:
        graph, nodes, keyword_nodes = self.trace.graph, self._mapped(args), self._mapped(kwargs)
        if name in SPECIAL:
            return graph.call_function(SPECIAL[name], nodes)
        if name == "__get__":
            return graph.call_function(getattr, (nodes[0], function.__self__.__name__))
        if getattr(Tensor, name, None) is function:
            return graph.call_method(name, nodes, keyword_nodes)
        return graph.call_function(function, nodes, keyword_nodes)

    def _note(self, make: Callable[[], fx.Node], output: Any) -> None:
        if self.problem:
            return
        try:
            self._assign(output, make())
        except Untraceable as problem:
            self.problem = str(problem)

    def _assign(self, output: Any, node: fx.Node) -> None:
        if isinstance(output, Tensor):
            self._nodes[output] = node
        elif isinstance(output, tuple | list):
            if any(value in self._sized_by_values for value in tensors_in(output)):
                self._hold(self.trace.graph.call_function(len, (node,)), len(output))
            for index, value in enumerate(output):
                if tensors_in((value,)):
                    self._assign(value, self.trace.graph.call_function(operator.getitem, (node, index)))
        elif isinstance(output, dict):
            for key, value in output.items():
                if tensors_in((value,)):
                    self._assign(value, self.trace.graph.call_function(operator.getitem, (node, key)))

    def _mapped(self, value: Any) -> Any:
        """Return arguments with nodes in place of tensors.

        Raises:
            Untraceable: If an argument's type can't be in a graph.
        """
        if isinstance(value, Tensor):
            return self._nodes[value] if value in self._nodes else self._constant(value)
        if isinstance(value, dict):
            return {key: self._mapped(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [self._mapped(entry) for entry in value]
        if isinstance(value, tuple):
            return tuple(self._mapped(entry) for entry in value)
        if isinstance(value, slice):
            return slice(*(self._mapped(entry) for entry in (value.start, value.stop, value.step)))
        if not isinstance(value, PLAIN):
            raise Untraceable(f"a function is given a {type(value).__name__}")
        return value

    def _constant(self, value: Tensor) -> fx.Node:
        """Return a node for a tensor from before the run, such as a parameter or a buffer."""
        name = self._names.get(value) or f"nmfdiag_constant_{len(self.trace.attributes)}"
        self.trace.attributes[name] = value
        node = self.trace.graph.get_attr(name)
        self._nodes[value] = node
        return node

    def _writes_into_network(self, name: str, args: tuple, kwargs: dict) -> bool:
        writes = writes_in_place(name)
        renormalised = [kwargs.get("weight", args[1])] if renormalises(name, args, kwargs) else []
        targets = [*(args[:1] if writes else ()), kwargs.get("out"), *renormalised]
        memory = [
            value.untyped_storage().data_ptr()
            for value in tensors_in(targets) if value.layout is torch.strided and value.numel() > 0
        ]  # fmt: skip
        return any(pointer in self._own or kept_at(pointer) for pointer in memory)


def _size_by_values(name: str, args: tuple, kwargs: dict, tensors: list[Tensor]) -> bool:
    """Return whether the size of a function's output depends on the values of tensors."""
    if name in SIZE_BY_VALUES or (name == "where" and len(args) + len(kwargs) == 1):
        return True
    if name == "__getitem__":  # by a mask, or by a slice with a tensor as an end
        index = args[1] if isinstance(args[1], tuple | list) else args[1:]
        ends = [end for entry in index if isinstance(entry, slice) for end in (entry.start, entry.stop, entry.step)]
        masks = (value.dtype in (torch.bool, torch.uint8) for value in tensors_in(index))
        return bool(tensors_in(ends)) or any(masks)
    whole = (not (value.is_floating_point() or value.is_complex() or value.dtype is torch.bool) for value in tensors)
    return any(value.ndim == 0 and is_whole for value, is_whole in zip(tensors, whole, strict=True))


def _updates_statistics(name: str, args: tuple, kwargs: dict) -> bool:
    """Return whether a call of batch or instance norm writes running statistics."""
    names = {"batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training"),
             "instance_norm": ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats")}.get(name)  # fmt: skip
    arguments = dict(zip(names or (), args, strict=False)) | kwargs
    default = name == "instance_norm"
    return names is not None and arguments.get("running_mean") is not None and bool(arguments.get(names[-1], default))


def expect(value: Any, expected: Any) -> None:
    """Check that a value which the network's code reads is the one that it read while it was traced.

    Raises:
        OtherWay: If it differs.
    """
    if value != expected and not (value != value and expected != expected):
        raise OtherWay(f"{expected!r} was expected, got {value!r}")


def generalised(small: Trace, large: Trace, sizes: tuple[int, int]) -> Trace:
    """Make a trace independent of the batch size, by comparison with one of another size.

    Args:
        small: The trace of one batch.
        large: The trace of a larger one.
        sizes: Number of samples in each.

    Returns:
        The first trace, with the integers that differ computed from the batch size.

    Raises:
        Untraceable: If the two differ in any other way.
    """
    nodes = list(small.graph.nodes)
    larger_nodes = list(large.graph.nodes)
    if [(node.op, node.target if node.op != "get_attr" else "") for node in nodes] != [
        (node.op, node.target if node.op != "get_attr" else "") for node in larger_nodes
    ]:
        raise Untraceable("the network does other things with batches of other sizes")
    places = {node: index for index, node in enumerate(larger_nodes)}
    small_places = {node: index for index, node in enumerate(nodes)}
    samples: list[fx.Node] = []

    def merge(a: Any, b: Any, before: fx.Node) -> Any:
        if isinstance(a, fx.Node) and isinstance(b, fx.Node):
            if small_places.get(a) != places.get(b):
                raise Untraceable("the network does other things with batches of other sizes")
            return a
        if type(a) is not type(b):
            raise Untraceable("the network does other things with batches of other sizes")
        if isinstance(a, tuple | list) and len(a) == len(b):
            return type(a)(merge(x, y, before) for x, y in zip(a, b, strict=True))
        if isinstance(a, dict) and a.keys() == b.keys():
            return {key: merge(a[key], b[key], before) for key in a}
        if isinstance(a, slice):
            return slice(*(merge(getattr(a, part), getattr(b, part), before) for part in ("start", "stop", "step")))
        if a == b or (a != a and b != b):
            return a
        if type(a) is not int:
            raise Untraceable("the network does other things with batches of other sizes")
        slope, remainder = divmod(b - a, sizes[1] - sizes[0])
        if remainder:
            raise Untraceable("a number in the network does not grow with the size of the batch evenly")
        if not samples:
            with small.graph.inserting_after(nodes[0]):
                samples.append(small.graph.call_function(samples_of, (nodes[0],)))
        with small.graph.inserting_before(before):
            return small.graph.call_function(by_size, (samples[0], slope, a - slope * sizes[0]))

    for node, larger_node in zip(nodes, larger_nodes, strict=True):
        if node.op == "get_attr":
            a, b = small.attributes[str(node.target)], large.attributes[str(larger_node.target)]
            if a is not b and not (a.shape == b.shape and torch.equal(a, b)):
                raise Untraceable("the network keeps something of its last batch")
            continue
        node.args, node.kwargs = (
            merge(tuple(node.args), tuple(larger_node.args), node),
            merge(dict(node.kwargs), dict(larger_node.kwargs), node),
        )
    return small


def samples_of(x: Tensor) -> int:
    """Return the number of samples of a batch (n, ...)."""
    return len(x)


def by_size(n: int, slope: int, offset: int) -> int:
    """Return a number that grows linearly with the batch size."""
    return n * slope + offset


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, bool | int | float | complex | str | type(None))
