"""The options that name the user's own network; :mod:`nmfdiag.commands.target` reads them."""

import argparse

from nmfdiag.data.datasets import DATASETS
from nmfdiag.networks.architectures import ARCHITECTURES


def add_network_options(parser: argparse.ArgumentParser, *, code: bool = True) -> None:
    """Add the options that name the user's own network and its samples.

    Args:
        parser: The command's parser.
        code: Whether ``--help`` shows the options that run foreign code.
    """

    def of_code(text: str) -> str:
        return text if code else argparse.SUPPRESS

    group = parser.add_argument_group("your own network")
    group.add_argument(
        "--arch", help=f"{', '.join(ARCHITECTURES)} or one of torchvision's; auto finds what fits --weights"
    )
    group.add_argument("--weights", metavar="FILE", help="a checkpoint: .safetensors, .pt, .pth, .ckpt or .bin")
    group.add_argument(
        "--weights-key", metavar="NAME", help="key of the weights in a checkpoint with several, such as model_ema"
    )
    group.add_argument(
        "--model", metavar="MODULE:NAME", help=of_code("your function that returns the network; runs your code")
    )
    group.add_argument("--exported", metavar="FILE.pt2", help=of_code("a network saved by torch.export; needs --trust"))
    group.add_argument("--trust", action="store_true", help=of_code("open the --exported file, which can run code"))
    group.add_argument(
        "--activations", metavar="FILE.npz", help="activations and labels, with weight and bias of the last layer"
    )
    group.add_argument(
        "--data",
        help=f"training samples: a data set ({', '.join(DATASETS)}), an image folder, a zip of one, or an .npz",
    )
    group.add_argument(
        "--train-size",
        type=int,
        metavar="N",
        help="number of samples it was trained on, of which --data holds all or some (default: unknown)",
    )
    group.add_argument(
        "--normalization",
        metavar="HOW",
        help="as in training: auto (the default), none, data, imagenet, half, bytes, or MEAN,.../STD,...",
    )
    group.add_argument("--size", type=_size, metavar="PIXELS", help="resize images to this, such as 224 or 128x173")


def _size(text: str) -> int | tuple[int, int]:
    """Parse ``224``, or ``128x173`` for height and width."""
    try:
        height, *width = (int(number) for number in text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: expected 224 or 128x173, height first") from None
    if len(width) > 1:
        raise argparse.ArgumentTypeError(f"{text!r} has more than two sides")
    return (height, width[0]) if width else height
