"""Cut a traced network in two after a node, and tell what its second half writes to."""

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
# Their outputs are new memory, never their input's.
NEW_MEMORY_MODULES = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.MaxPool2d,
)  # fmt: skip
NEW_MEMORY_FUNCTIONS = frozenset({
    F.conv1d, F.conv2d, F.conv3d, F.linear, F.batch_norm, F.relu, torch.relu, torch.cat, torch.add, operator.add,
    operator.mul,
})  # fmt: skip
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


IN_PLACE_METHODS = frozenset(f"__i{name}__" for name in (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift",
)) | {"__setitem__"}  # fmt: skip
OF_LISTS = ("_foreach_", "_fused_", "_amp_foreach_")
"""How functions begin that take lists of tensors, as optimizers do."""


def writes_in_place(name: str) -> bool:
    """Tell by its name whether a function or method writes into its first argument, a tensor or a list of them."""
    if name.startswith(OF_LISTS):
        return name.endswith("_")
    return name in IN_PLACE_METHODS or (name.endswith("_") and not name.startswith("_"))


def cut_graph(traced: fx.GraphModule, at: fx.Node, in_place: set[fx.Node]) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Make the head, which returns what crosses the cut, ``at``'s value first, and the tail, which takes that."""
    before, after = halves(traced, at)
    later = set(after)
    # A ReLU in place changes its input too: there, whatever reads the input later reads the activation.
    same = {at, at.all_input_nodes[0]} if at in in_place else {at}
    crossing = [at] + [n for n in before if n not in same and n.op != "get_attr" and any(u in later for u in n.users)]
    head, tail = fx.Graph(), fx.Graph()
    in_head: dict[fx.Node, fx.Node] = {}
    for node in before:
        in_head[node] = head.node_copy(node, in_head.__getitem__)
    head.output(tuple(in_head[node] for node in crossing))
    in_tail = {node: tail.placeholder(f"carried_{i}") for i, node in enumerate(crossing)}
    in_tail |= {node: in_tail[at] for node in same}
    for node in before:
        if node.op == "get_attr" and node not in same and any(u in later for u in node.users):
            in_tail[node] = tail.node_copy(node, in_tail.__getitem__)
    for node in after:
        in_tail[node] = tail.node_copy(node, in_tail.__getitem__)
    return fx.GraphModule(traced, head), fx.GraphModule(traced, tail)


def halves(traced: fx.GraphModule, at: fx.Node) -> tuple[list[fx.Node], list[fx.Node]]:
    """The nodes up to and including one, and those after it."""
    nodes = list(traced.graph.nodes)
    place = nodes.index(at) + 1
    return nodes[:place], nodes[place:]


def writes_outside(traced: fx.GraphModule, after: Iterable[fx.Node], in_place: set[fx.Node]) -> bool:
    """Whether the nodes of a tail may write into memory that they did not make themselves."""
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
    """Whether a node may write into the tensors that it is given, in evaluation mode."""
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
    return node.op == "call_function" and _asks_in_place(node)


def _asks_in_place(node: fx.Node) -> bool:
    try:
        given = inspect.signature(node.target).bind(*node.args, **node.kwargs)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # built-in functions have no signature, and no such argument
        return bool(node.kwargs.get("inplace"))
    return bool(given.arguments.get("inplace"))


def renormalises(name: str, args: tuple, kwargs: dict) -> bool:
    """Tell whether a call of an embedding writes into its weight: it does so where rows have a largest norm."""
    return (
        name in ("embedding", "embedding_bag")
        and kwargs.get("max_norm", args[3] if len(args) > 3 else None) is not None
    )


def nodes_reaching_output(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that the output is made of."""
    reaching: set[fx.Node] = set()
    waiting = [node for node in graph.nodes if node.op == "output"]
    while waiting:
        node = waiting.pop()
        for source in node.all_input_nodes:
            if source not in reaching:
                reaching.add(source)
                waiting.append(source)
    return reaching
