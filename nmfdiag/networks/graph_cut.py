"""Cut a traced network in two after a node, and find what its second half writes to."""

import inspect
import operator
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import fx, nn

IN_PLACE_OPERATORS = frozenset({
    operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv, operator.imod, operator.ipow,
    operator.imatmul, operator.iand, operator.ior, operator.ixor, operator.ilshift, operator.irshift, operator.setitem,
})  # fmt: skip
NEW_MEMORY_MODULES = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.MaxPool2d,
)  # fmt: skip
NEW_MEMORY_FUNCTIONS = frozenset({
    F.conv1d, F.conv2d, F.conv3d, F.linear, F.batch_norm, F.relu, torch.relu, torch.cat, torch.add, operator.add,
    operator.mul,
})  # fmt: skip
"""Modules and functions whose outputs never share their inputs' memory."""
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


IN_PLACE_METHODS = frozenset(f"__i{name}__" for name in (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift",
)) | {"__setitem__"}  # fmt: skip
LIST_PREFIXES = ("_foreach_", "_fused_", "_amp_foreach_")
"""Prefixes of the functions that take lists of tensors, as optimizers use."""


def writes_in_place(name: str) -> bool:
    """Return whether a function or method, by its name, writes into its first argument, a tensor or a list of tensors."""
    if name.startswith(LIST_PREFIXES):
        return name.endswith("_")
    return name in IN_PLACE_METHODS or (name.endswith("_") and not name.startswith("_"))


def cut_graph(
    traced: fx.GraphModule, cut_node: fx.Node, in_place: set[fx.Node]
) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Return the head, whose outputs are the values that cross the cut, the cut node's first, and the tail, which takes them."""
    before, after = halves(traced, cut_node)
    later = set(after)
    # A ReLU in place changes its input too: later readers of the input read the activation.
    same = {cut_node, cut_node.all_input_nodes[0]} if cut_node in in_place else {cut_node}
    crossing = [cut_node] + [
        n for n in before if n not in same and n.op != "get_attr" and any(u in later for u in n.users)
    ]
    head, tail = fx.Graph(), fx.Graph()
    in_head: dict[fx.Node, fx.Node] = {}
    for node in before:
        in_head[node] = head.node_copy(node, in_head.__getitem__)
    head.output(tuple(in_head[node] for node in crossing))
    in_tail = {node: tail.placeholder(f"carried_{i}") for i, node in enumerate(crossing)}
    in_tail |= {node: in_tail[cut_node] for node in same}
    for node in before:
        if node.op == "get_attr" and node not in same and any(u in later for u in node.users):
            in_tail[node] = tail.node_copy(node, in_tail.__getitem__)
    for node in after:
        in_tail[node] = tail.node_copy(node, in_tail.__getitem__)
    return fx.GraphModule(traced, head), fx.GraphModule(traced, tail)


def halves(traced: fx.GraphModule, cut_node: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
    """Return the nodes up to and including the cut node, and those after it."""
    nodes = list(traced.graph.nodes)
    place = nodes.index(cut_node) + 1
    return nodes[:place], nodes[place:]


def writes_outside(traced: fx.GraphModule, after: Iterable[fx.Node], in_place: set[fx.Node]) -> bool:
    """Return whether the nodes of a tail may write into memory that they did not allocate."""
    own: set[fx.Node] = set()
    for node in after:
        target = node.args[0] if node.args else None
        if node in in_place and (target not in own or "out" in node.kwargs):
            return True
        inputs = node.all_input_nodes
        # A view of own memory is own memory, and so is what was written in place over it.
        if _makes_memory(traced, node) or (target in own and node in in_place) or (inputs and own.issuperset(inputs)):
            own.add(node)
    return False


def _makes_memory(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(traced.get_submodule(str(node.target)), NEW_MEMORY_MODULES)
    return node.op == "call_function" and node.target in NEW_MEMORY_FUNCTIONS and not is_in_place(traced, node)


def is_in_place(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node may write into its input tensors in evaluation mode."""
    if node.op == "call_module":
        module = graph.get_submodule(str(node.target))
        return bool(getattr(module, "inplace", False)) and not isinstance(module, DROPOUTS)
    if node.op not in ("call_function", "call_method"):
        return False
    if node.kwargs.get("out") is not None or node.target in IN_PLACE_OPERATORS:
        return True
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    if writes_in_place(name):
        return True
    return node.op == "call_function" and _has_in_place_option(node)


def _has_in_place_option(node: fx.Node) -> bool:
    try:
        arguments = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a built-in function, without signature
        return bool(node.kwargs.get("inplace"))
    return bool(arguments.arguments.get("inplace"))


def renormalises(name: str, args: tuple, kwargs: dict) -> bool:
    """Return whether a call of an embedding writes into its weight, as it does to limit the norm of its rows."""
    return (
        name in ("embedding", "embedding_bag")
        and kwargs.get("max_norm", args[3] if len(args) > 3 else None) is not None
    )


def nodes_reaching_output(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes that the output depends on."""
    reaching: set[fx.Node] = set()
    waiting = [node for node in graph.nodes if node.op == "output"]
    while waiting:
        node = waiting.pop()
        for source in node.all_input_nodes:
            if source not in reaching:
                reaching.add(source)
                waiting.append(source)
    return reaching
