"""Turn activations into matrices and back."""

import torch
from torch import Tensor


def fold(activation: Tensor, channel_dim: int) -> Tensor:
    """Turn an activation into a matrix: ``n c h w -> (n h w) c``.

    Args:
        activation: A tensor (n, ...).
        channel_dim: The axis of its channels.

    Returns:
        The activation matrix (rows, channels); a view if the memory layout allows it, as channels_last does.
    """
    return activation.movedim(channel_dim, -1).reshape(-1, activation.shape[channel_dim])


def unfold(A: Tensor, shape: torch.Size | tuple[int, ...], channel_dim: int) -> Tensor:
    """Undo :func:`fold`.

    Args:
        A: A matrix (rows, channels), or W (rows, k).
        shape: Shape of the activation; its number of channels is ignored.
        channel_dim: The axis of its channels.

    Returns:
        A view of A of that shape, with A's columns as channels (channels_last if it has four axes).
    """
    moved = [n for axis, n in enumerate(shape) if axis != channel_dim] + [A.shape[1]]
    return A.reshape(moved).movedim(-1, channel_dim)
