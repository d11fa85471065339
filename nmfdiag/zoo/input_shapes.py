"""Arrays of any number of axes in the form that your network takes, which is found by trying."""

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

N_EXAMPLES = 2
"""Samples on which a form is tried."""


def accepted_form(model: nn.Module, dataset: Dataset, channels: int | None) -> tuple[Dataset, str]:
    """Find the form of stored samples that a network takes.

    Images are tried first where the network begins with a convolution of images, else the array as it is stored; integers stay integers
    where it begins with an embedding, or takes nothing else.

    Args:
        model: The network.
        dataset: Samples with the axes that they were stored with.
        channels: Channels of the network's images, where known.

    Returns:
        The samples as images, vectors, sequences or volumes, not yet normalised; and a note about their channels.

    Raises:
        NmfdiagError: If the network takes none of these; it is the error of the first.
    """
    first_error: NmfdiagError | None = None
    for inputs, note in _forms(model, dataset, channels):
        example = inputs[:N_EXAMPLES]
        try:
            answers(model, example if example.dtype == torch.int64 else normalization("none", example)(example))
        except NmfdiagError as error:
            first_error = first_error or error
        else:
            return replace(dataset, inputs=inputs), note
    assert first_error is not None
    raise first_error


def _forms(model: nn.Module, dataset: Dataset, channels: int | None) -> Iterator[tuple[Tensor, str]]:
    """Yield the possible forms and notes, the most likely first."""
    stored = dataset.inputs
    images, note = in_channels(replace(dataset, inputs=torch.from_numpy(channels_first(stored.numpy()))), channels)
    layer = first_layer(model)
    forms = [(stored, "")]
    if images.inputs.shape != stored.shape:
        is_image = stored.ndim == 4 or isinstance(layer, nn.Conv2d | None)
        forms.insert(0 if is_image else 1, (images.inputs, note))
    is_whole = not stored.is_floating_point()
    if isinstance(layer, EMBEDDINGS) and (is_whole or torch.equal(stored, stored.round())):
        yield from ((inputs.long(), note) for inputs, note in forms)
    for inputs, note in forms:
        yield inputs if inputs.dtype == torch.uint8 or not is_whole else inputs.float(), note
    if is_whole and not isinstance(layer, EMBEDDINGS):
        yield from ((inputs.long(), note) for inputs, note in forms)
