"""The jury's architectures, in plain PyTorch as users write them: modules and functional calls, with and without normalisation."""

import torch.nn.functional as F
from torch import Tensor, nn

NARROW, WIDE = 16, 64
"""Channels of the first stage of a convolutional network, and of its last."""
HIDDEN = 128
"""Units of a hidden layer."""
LARGE_SIDE, SMALL_SIDE = 64, 8
"""Sides of images from which on the first convolution has stride 2, and up to which the first stage keeps it."""


def build(arch: str, input_shape: tuple[int, ...], n_classes: int, dropout: float = 0.0) -> nn.Module:
    """Return a network with random weights.

    Args:
        arch: One of ``recipe.ARCHITECTURES``.
        input_shape: Of a sample: (c, h, w), or (d,) for a table's row.
        n_classes: Number of outputs.
        dropout: Probability before the last layer; in multi-layer perceptrons after each hidden one. Not in ResNet-18.
    """
    if arch == "resnet18":
        from torchvision.models import resnet18

        model = resnet18(num_classes=n_classes)
        model.conv1 = nn.Conv2d(input_shape[0], 64, 7, stride=2, padding=3, bias=False)
        return model
    if arch == "conv1d":
        return Conv1d(input_shape, n_classes, dropout)
    if arch == "mlp" or len(input_shape) == 1:
        return perceptron(input_shape, n_classes, nn.GELU if arch == "gelu" else nn.ReLU, dropout)
    if arch == "residual":
        return Residual(input_shape, n_classes, dropout)
    if arch == "no_norm":
        return Unnormalised(input_shape, n_classes, dropout)
    return convolutional(arch, input_shape, n_classes, dropout)


def perceptron(input_shape: tuple[int, ...], n_classes: int, activation: type[nn.Module], dropout: float) -> nn.Module:
    """Return a multi-layer perceptron with two hidden layers."""
    width = 1
    for side in input_shape:
        width *= side
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(2):
        layers += [nn.Linear(width, HIDDEN), activation(), nn.Dropout(dropout)]
        width = HIDDEN
    return nn.Sequential(*layers, nn.Linear(width, n_classes))


def stem_stride(input_shape: tuple[int, ...]) -> int:
    """Return the stride of the first convolution."""
    return 2 if input_shape[-1] >= LARGE_SIDE else 1


def has_large_maps(input_shape: tuple[int, ...]) -> bool:
    """Return whether the first stage halves its maps."""
    return input_shape[-1] > SMALL_SIDE


def convolutional(arch: str, input_shape: tuple[int, ...], n_classes: int, dropout: float) -> nn.Module:
    """Return three stages of convolutions in a row: batch norm, group norm, depthwise, or GELU with group norm of one group."""

    def block(n_in: int, n_out: int, stride: int = 1) -> list[nn.Module]:
        if arch == "depthwise" and n_in > input_shape[0]:
            return [
                *(nn.Conv2d(n_in, n_in, 3, stride, 1, groups=n_in, bias=False), nn.BatchNorm2d(n_in), nn.ReLU6()),
                *(nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU6()),
            ]
        norm = {
            "group_norm": lambda: nn.GroupNorm(4, n_out),
            "gelu": lambda: nn.GroupNorm(1, n_out),
        }.get(arch, lambda: nn.BatchNorm2d(n_out))
        return [nn.Conv2d(n_in, n_out, 3, stride, 1), norm(), nn.GELU() if arch == "gelu" else nn.ReLU()]

    first = 2 if has_large_maps(input_shape) else 1
    return nn.Sequential(
        *block(input_shape[0], NARROW, stem_stride(input_shape)),
        *block(NARROW, NARROW, first),
        *(*block(NARROW, 2 * NARROW), *block(2 * NARROW, 2 * NARROW), nn.MaxPool2d(2)),
        *(*block(2 * NARROW, WIDE), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        *(nn.Linear(4 * WIDE, HIDDEN), nn.GELU() if arch == "gelu" else nn.ReLU(), nn.Dropout(dropout)),
        nn.Linear(HIDDEN, n_classes),
    )


class Block(nn.Module):
    """Two convolutions around a skip, with functional ReLUs."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.skip = nn.Identity() if n_in == n_out and stride == 1 else nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output (n, c, h, w)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.skip(x))


class Residual(nn.Module):
    """Three residual blocks."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, dropout: float):
        super().__init__()
        self.stem = nn.Conv2d(input_shape[0], NARROW, 3, stem_stride(input_shape), 1, bias=False)
        self.bn = nn.BatchNorm2d(NARROW)
        self.block1 = Block(NARROW, NARROW, 2 if has_large_maps(input_shape) else 1)
        self.block2 = Block(NARROW, 2 * NARROW, 2)
        self.block3 = Block(2 * NARROW, WIDE, 1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(WIDE, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, classes)."""
        x = F.relu(self.bn(self.stem(x)))
        x = self.block3(self.block2(self.block1(x)))
        return self.fc(self.dropout(x.mean((2, 3))))


class Unnormalised(nn.Module):
    """A convolutional network without normalisation, as LeNet is."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, dropout: float):
        super().__init__()
        self.conv1 = nn.Conv2d(input_shape[0], NARROW, 5, stem_stride(input_shape), 2)
        self.conv2 = nn.Conv2d(NARROW, 2 * NARROW, 3, 1, 1)
        self.conv3 = nn.Conv2d(2 * NARROW, WIDE, 3, 1, 1)
        self.is_pooled = has_large_maps(input_shape)
        self.fc1 = nn.Linear(4 * WIDE, HIDDEN)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(HIDDEN, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, classes)."""
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(x, 2) if self.is_pooled else x
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.adaptive_max_pool2d(F.relu(self.conv3(x)), 2).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(x))))


class Conv1d(nn.Module):
    """Convolutions along one axis: of a spectrogram's frames, an image's columns, or a table's columns."""

    def __init__(self, input_shape: tuple[int, ...], n_classes: int, dropout: float):
        super().__init__()
        self.is_table = len(input_shape) == 1
        n_in = 1 if self.is_table else input_shape[0] * input_shape[1]
        self.conv1 = nn.Conv1d(n_in, 2 * NARROW, 5, padding=2)
        self.bn1 = nn.BatchNorm1d(2 * NARROW)
        self.conv2 = nn.Conv1d(2 * NARROW, WIDE, 3, padding=1)
        self.bn2 = nn.BatchNorm1d(WIDE)
        self.conv3 = nn.Conv1d(WIDE, WIDE, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool1d(2)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(4 * WIDE, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, classes)."""
        x = x.unsqueeze(1) if self.is_table else x.flatten(1, 2)
        x = self.pool(self.relu(self.bn1(self.conv1(x))))
        x = self.relu(self.bn2(self.conv2(x)))
        x = F.adaptive_avg_pool1d(self.relu(self.conv3(x)), 4).flatten(1)
        return self.fc(self.dropout(x))
