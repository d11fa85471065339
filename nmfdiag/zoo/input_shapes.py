"""Arrays of any number of axes as a network of the user's own takes them: it is tried what it takes."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from nmfdiag.data.datasets import Dataset
from nmfdiag.data.files import channels_first
from nmfdiag.data.normalization import normalization
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.input_hints import EMBEDDINGS, first_layer
from nmfdiag.zoo.fit_inputs import answers, in_channels

TRIED = 2  # samples


def as_taken(model: nn.Module, dataset: Dataset, channels: int | None) -> tuple[Dataset, str]:
    """Find the form of stored samples that a network takes.

    Images come first where the network begins with a convolution of images, else the array as it is stored; integers stay integers
    where it begins with an embedding, or takes nothing else.

    Args:
        model: The network.
        dataset: Samples with the axes that they were stored with.
        channels: How many the network's images have, where that is known.

    Returns:
        The samples as images, vectors, sequences or volumes, not yet normalised; and what was done to their channels.

    Raises:
        NmfdiagError: If the network takes none of these; what it said of the first.
    """
    first_error: NmfdiagError | None = None
    for inputs, about in _forms(model, dataset, channels):
        example = inputs[:TRIED]
        try:
            answers(model, example if example.dtype == torch.int64 else normalization("none", example)(example))
        except NmfdiagError as error:
            first_error = first_error or error
        else:
            return replace(dataset, inputs=inputs), about
    assert first_error is not None
    raise first_error


def _forms(model: nn.Module, dataset: Dataset, channels: int | None) -> Iterator[tuple[Tensor, str]]:
    """What may be meant, the most likely first."""
    stored = dataset.inputs
    images, about = in_channels(replace(dataset, inputs=torch.from_numpy(channels_first(stored.numpy()))), channels)
    layer = first_layer(model)
    forms = [(stored, "")]
    if images.inputs.shape != stored.shape:
        is_image = stored.ndim == 4 or isinstance(layer, nn.Conv2d | None)
        forms.insert(0 if is_image else 1, (images.inputs, about))
    whole = not stored.is_floating_point()
    if isinstance(layer, EMBEDDINGS) and (whole or torch.equal(stored, stored.round())):
        yield from ((inputs.long(), about) for inputs, about in forms)
    for inputs, about in forms:
        yield inputs if inputs.dtype == torch.uint8 or not whole else inputs.float(), about
    if whole and not isinstance(layer, EMBEDDINGS):
        yield from ((inputs.long(), about) for inputs, about in forms)
