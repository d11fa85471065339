"""Cut a network's graph at a layer, and check both halves against the network's own code."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.factored_tail import factored_tail, merge_affine
from nmfdiag.networks.graph_cut import cut_graph, halves, writes_outside
from nmfdiag.networks.matrix_fold import unfold
from nmfdiag.networks.outputs import same_logits
from nmfdiag.networks.prepare import SIZES, PreparedNetwork
from nmfdiag.networks.trace import OtherWay


@dataclass(frozen=True)
class GraphParts:
    """The halves of a graph at a layer.

    Attributes:
        head: The graph up to and including the layer.
        tail: The graph after it.
        tail_writes: Whether the tail may write into its inputs.
        factored: The tail on factors of the activation; None where that saves nothing.
    """

    head: fx.GraphModule
    tail: fx.GraphModule
    tail_writes: bool
    factored: fx.GraphModule | None


def checked_parts(network: PreparedNetwork, layer: str, inputs: Tensor) -> GraphParts | None:
    """Cut the graph at a layer, and check on a few samples that both halves do what the network's own code does.

    Returns:
        The halves; None where they do something else.

    Raises:
        NmfdiagError: If the logits do not depend on the layer.
    """
    batch = inputs[: SIZES[0]]
    moved = network.moved_activation(layer, batch)
    if moved is None and len(inputs) > len(batch):  # an expert may get none of the first samples
        batch = inputs
        moved = network.moved_activation(layer, batch)
    if moved is None:
        raise NmfdiagError(f"Layer {layer!r} can't be measured: the logits do not depend on it, on these samples.")
    moved_activation, moved_logits = moved
    node = network.nodes.get(layer)
    if network.graph is None or node is None or not len(moved_activation):
        return None
    channel_dim = network.layers[layer].channel_dim
    parts = _parts_at(network, layer, node)
    try:
        with network.running_graph(batch):
            activation, *carried = parts.head.forward(network.copy_in_layout(batch))
            values = (network.in_layout(moved_activation, channel_dim), *carried)
            logits = parts.tail.forward(*copy.deepcopy(values))
    except (OtherWay, NmfdiagError):
        return None
    if activation.shape != moved_activation.shape or not same_logits(logits, moved_logits):
        return None
    if not _factors_agree(network, parts, channel_dim, moved_activation, carried, batch):
        return replace(parts, factored=None)
    return parts


def _parts_at(network: PreparedNetwork, layer: str, node: fx.Node) -> GraphParts:
    """Cut the graph after a layer's node."""
    assert network.graph is not None
    head, tail = cut_graph(network.graph, node, network.in_place)
    tail_writes = writes_outside(network.graph, halves(network.graph, node)[1], network.in_place)
    merge_affine(head)
    merge_affine(tail)
    factored, description = None, network.layers[layer]
    if network.axes[layer].alone and not tail_writes:
        factored = factored_tail(tail, 1 + len(description.output_shape), description.channel_dim)
    return GraphParts(head, tail, tail_writes, factored)


def _factors_agree(
    network: PreparedNetwork, parts: GraphParts, dim: int, like: Tensor, carried: list[Any], inputs: Tensor
) -> bool:
    """Return whether the tail on factors gives what the tail gives on their product."""
    if parts.factored is None:
        return True
    generator = torch.Generator().manual_seed(0)
    size = float(like.abs().mean()) + 1e-6
    W = torch.rand(like.numel() // like.shape[dim], 2, generator=generator).to(like) * size
    H = torch.rand(2, like.shape[dim], generator=generator).to(like)
    whole, compact = (network.in_layout(unfold(value, like.shape, dim), dim) for value in (W @ H, W))
    try:
        with network.running_graph(inputs):
            expected = parts.tail.forward(*copy.deepcopy((whole, *carried)))
            return same_logits(parts.factored.forward(compact, H, *copy.deepcopy(carried)), expected)
    except (OtherWay, NmfdiagError):  # another way through the network: it says nothing of the factors
        return False
