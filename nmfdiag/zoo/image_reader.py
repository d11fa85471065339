"""Images as a classifier of torchvision wants them; every file is treated as hostile."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from nmfdiag.data.files import MAX_WORK, decode_image, decoding_work, image_bytes
from nmfdiag.data.normalization import Normalization
from nmfdiag.errors import NmfdiagError, printable
from nmfdiag.networks.architectures import torchvision_names

IMAGENET = "imagenet"
LONGEST_SIDE = 20  # times the shortest: a strip of one pixel would be resized to gigabytes


@dataclass(frozen=True)
class Preset:
    """What torchvision says of a set of weights: how images are prepared for it, and its classes."""

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
        weights: ``"imagenet"``, or a file: one that is called as torchvision's own is taken for it, another for the default.

    Raises:
        NmfdiagError: If the architecture is unknown.
    """
    from torchvision import models

    if arch not in torchvision_names():
        raise NmfdiagError(
            f"Unknown architecture {arch!r}: accepted are torchvision's classifiers (vgg19, resnet18, ...)."
        )
    known = models.get_model_weights(arch)
    of_file = (one for one in known if Path(one.url).name == Path(weights).name)
    chosen = next(of_file, known.DEFAULT)  # type: ignore[attr-defined]
    how = chosen.transforms()
    title = str(chosen) if str(weights) == IMAGENET else printable(Path(weights).name)
    names = tuple(chosen.meta["categories"])
    normalization = Normalization(tuple(how.mean), tuple(how.std))
    return Preset(title, how.resize_size, how.crop_size[0], how.interpolation, how.antialias, normalization, names)


class ImageReader:
    """Reads images one after another, until it has unpacked more than accepted."""

    def __init__(self, preset: Preset):
        self.preset = preset
        self._work = 0

    def read(self, path: Path) -> Tensor:
        """Read an image, resize it and crop its middle; uint8 (3, crop, crop).

        Raises:
            NmfdiagError: If it can't be read or decoded, is a strip, or all images so far are too large.
        """
        from torchvision.transforms import functional

        preset, shown, content = self.preset, f"{path.parent.name}/{path.name}", image_bytes(path)
        image = decode_image(shown, content).convert("RGB")
        self._work += decoding_work(content, image)
        if self._work > MAX_WORK:
            raise NmfdiagError(
                f"The images in {path.parent.parent} are too large to be all unpacked: take fewer, or smaller ones."
            )
        if max(image.size) > LONGEST_SIDE * min(image.size):
            raise NmfdiagError(
                f"{shown} is {image.size[0]}x{image.size[1]}: one side is over {LONGEST_SIDE} times the other."
            )
        resized = functional.resize(
            image, preset.resize, interpolation=preset.interpolation, antialias=preset.antialias
        )
        return functional.pil_to_tensor(functional.center_crop(resized, [preset.crop]))
