"""Images in the form that a torchvision classifier takes; every file is treated as hostile."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from nmfdiag.data.files import MAX_WORK, decode_image, decoding_work, image_bytes
from nmfdiag.data.normalization import Normalization
from nmfdiag.errors import NmfdiagError, printable
from nmfdiag.networks.architectures import torchvision_names

IMAGENET = "imagenet"
LONGEST_SIDE = 20
"""Longest side over the shortest: a strip of one pixel would be resized to gigabytes."""


@dataclass(frozen=True)
class Preset:
    """Torchvision's preparation of images for a set of weights, and its classes."""

    title: str
    resize: list[int]
    crop: int
    interpolation: Any
    antialias: bool
    normalization: Normalization
    class_names: tuple[str, ...]


def preset_of(arch: str, weights: str | Path) -> Preset:
    """Find the preset of one of torchvision's classifiers.

    Args:
        arch: Its name.
        weights: ``"imagenet"``, or a file: one with the name of a torchvision file gets that file's preset, another the default.

    Raises:
        NmfdiagError: If the architecture is unknown.
    """
    from torchvision import models

    if arch not in torchvision_names():
        raise NmfdiagError(
            f"Unknown architecture {arch!r}: accepted are torchvision's classifiers (vgg19, resnet18, ...)."
        )
    presets = models.get_model_weights(arch)
    of_file = (preset for preset in presets if Path(preset.url).name == Path(weights).name)
    member = next(of_file, presets.DEFAULT)  # type: ignore[attr-defined]
    transforms = member.transforms()
    title = str(member) if str(weights) == IMAGENET else printable(Path(weights).name)
    names = tuple(member.meta["categories"])
    normalization = Normalization(tuple(transforms.mean), tuple(transforms.std))
    return Preset(
        title,
        transforms.resize_size,
        transforms.crop_size[0],
        transforms.interpolation,
        transforms.antialias,
        normalization,
        names,
    )


class ImageReader:
    """Reads images one after another, up to a limit of unpacked data."""

    def __init__(self, preset: Preset):
        self.preset = preset
        self._work = 0

    def read(self, path: Path) -> Tensor:
        """Read an image, resize it and crop its middle; return it as uint8 (3, crop, crop).

        Raises:
            NmfdiagError: If it can't be read or decoded, is a strip, or the images so far are too large together.
        """
        from torchvision.transforms import functional

        preset, name, content = self.preset, f"{path.parent.name}/{path.name}", image_bytes(path)
        image = decode_image(name, content).convert("RGB")
        self._work += decoding_work(content, image)
        if self._work > MAX_WORK:
            raise NmfdiagError(
                f"The images in {path.parent.parent} are too large to be unpacked together: take fewer, or smaller ones."
            )
        if max(image.size) > LONGEST_SIDE * min(image.size):
            raise NmfdiagError(
                f"{name} is {image.size[0]}x{image.size[1]}: one side is over {LONGEST_SIDE} times the other."
            )
        resized = functional.resize(
            image, preset.resize, interpolation=preset.interpolation, antialias=preset.antialias
        )
        return functional.pil_to_tensor(functional.center_crop(resized, [preset.crop]))
