"""Activations as matrices and back."""

import torch
from torch import Tensor


def fold(activation: Tensor, channel_dim: int) -> Tensor:
    """Turn an activation into a matrix: ``n c h w -> (n h w) c``.

    Args:
        activation: A tensor (n, ...).
        channel_dim: Its axis of the channels.

    Returns:
        The activation matrix (rows, channels); a view where memory allows it, as it does for channels_last.
    """
    return activation.movedim(channel_dim, -1).reshape(-1, activation.shape[channel_dim])


def unfold(A: Tensor, shape: torch.Size | tuple[int, ...], channel_dim: int) -> Tensor:
    """Undo :func:`fold`.

    Args:
        A: A matrix (rows, channels), or W (rows, k).
        shape: Shape of the activation; its channels are not read.
        channel_dim: Its axis of the channels.

    Returns:
        A view of A of that shape with A's columns for channels (channels_last where it has four axes).
    """
    moved = [n for axis, n in enumerate(shape) if axis != channel_dim] + [A.shape[1]]
    return A.reshape(moved).movedim(-1, channel_dim)
