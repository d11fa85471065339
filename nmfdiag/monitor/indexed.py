"""A data set that also gives each sample's number, for :meth:`nmfdiag.MemorizationMonitor.on_batch`."""

from collections.abc import Mapping
from operator import index
from typing import Any

from torch.utils.data import Dataset

from nmfdiag.errors import NmfdiagError


class Indexed(Dataset[Any]):
    """Gives ``(number, sample, label)`` where the data set gives ``(sample, label)``, and an entry ``"index"`` more where it gives a dictionary.

    The number is the sample's place in the data set that is wrapped: wrap the whole set first, and take a ``Subset`` of that.

    Args:
        dataset: Any data set with ``len()`` that is read by number.

    Raises:
        NmfdiagError: If it can't be read by number.

    >>> Indexed([("a", 3), ("b", 5)])[1]
    (1, 'b', 5)
    """

    def __init__(self, dataset: Any):
        if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")):
            raise NmfdiagError(
                f"Samples of the type {type(dataset).__name__} are not read by number: give a data set with __len__ and __getitem__."
            )
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: Any) -> Any:
        item = self.dataset[number]
        i = index(number)
        i += len(self) * (i < 0)
        if isinstance(item, Mapping):
            return {**item, "index": i}
        return (i, *item) if isinstance(item, tuple | list) else (i, item)
