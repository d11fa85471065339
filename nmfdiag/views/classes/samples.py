"""Samples of the class that the page *Classes* is about."""

from nmfdiag.data.batch_rows import rows_of_class
from nmfdiag.text import label_text, plural
from nmfdiag.views.suspects.thumbnails import picture_row
from nmfdiag.zoo.pool_rows import given_labels
from nmfdiag.zoo.registry import ZooEntry

MOST_PICTURES = 10


def class_pictures(entry: ZooEntry, class_idx: int, per_class: int) -> tuple[str, str]:
    """Return samples of a class's probe batch as HTML, and what they are.

    Raises:
        NmfdiagError: If the samples can't be read.
    """
    rows = rows_of_class(given_labels(entry), class_idx, per_class).tolist()
    first = rows[:MOST_PICTURES]
    size = plural(len(rows), "training sample")
    count = size if len(first) == len(rows) else f"{len(first)} of the {size}"
    text = f"{count} labelled {entry.class_names[class_idx]}{'' if entry.called else f', with {label_text(entry.label_noise)}'}"
    return picture_row(entry, first, text), text
