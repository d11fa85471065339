"""The report's section on suspects: how many labels look wrong, and the most suspicious samples with their pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmfdiag.diagnosis.suspects_text import class_sentence, expected_sentence, repeat_sentences
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.plots.sample_images import image_pixels, is_image, is_sound, png_uri
from nmfdiag.zoo.pool_rows import pool_rows
from nmfdiag.zoo.registry import ZooEntry

MOST_SUSPECTS = 50
"""Samples in the report, at most."""
MOST_VALUES = 6
"""Most feature values shown of a sample that is not an image."""


@dataclass(frozen=True)
class SuspectRow:
    """One suspicious sample.

    Attributes:
        picture: ``data:`` address of a PNG, empty where the sample is not an image.
        values: A few of its feature values as text, empty where it is an image.
        sample: Its number in the user's data.
        file: Its path, empty where it is unknown.
        given: Name of its given class.
        suggested: Name of the suggested class.
        score: In [0, 1], as text.
        confidence: Of the suggestion, as text.
        layers_against: How many layers speak against the given label, of how many, as text.
    """

    picture: str
    values: str
    sample: int
    file: str
    given: str
    suggested: str
    score: str
    confidence: str
    layers_against: str


@dataclass(frozen=True)
class SuspectsSection:
    """What the report says about suspects.

    Attributes:
        answer: How many labels look wrong, or why it isn't known.
        sentences: The most suspicious class, what is expected of the list, and samples with the same input.
        rows: The most suspicious samples, first.
        scope: Which samples were scored.
        remarks: What can't be said, or only with care.
    """

    answer: str
    sentences: tuple[str, ...] = ()
    rows: tuple[SuspectRow, ...] = ()
    scope: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def table(self) -> list[list[str]]:
        """Rows of a table of the samples, where they are not images."""
        return [
            [
                row.file or str(row.sample),
                row.given,
                row.suggested,
                row.score,
                row.confidence,
                row.layers_against,
                row.values,
            ]
            for row in self.rows
        ]


def listed_suspects(suspects: Suspects) -> np.ndarray:
    """Return the rows of the suspects that the report lists, the most suspicious first."""
    return suspects.order[:MOST_SUSPECTS]


def suspects_section(
    suspects: Suspects, samples: np.ndarray, pictures: Sequence[str] = (), *, per_class: int | None = None
) -> SuspectsSection:
    """Return the section.

    Args:
        suspects: The suspects, with the samples' own numbers.
        samples: The samples of :func:`listed_suspects` (m, ...), as they are stored.
        pictures: Their ``data:`` addresses (m,), where they are images.
        per_class: How many samples of each class were scored at most; None for all.
    """
    rows = listed_suspects(suspects)
    is_part = per_class is not None and np.bincount(suspects.given).max() >= per_class
    return SuspectsSection(
        suspects.noise_rate.statement,
        tuple(
            filter(
                None, [class_sentence(suspects), expected_sentence(suspects, len(rows)), *repeat_sentences(suspects)]
            )
        ),
        tuple(
            SuspectRow(
                pictures[i] if pictures else "",
                "" if pictures else _first_values(samples[i]),
                int(suspects.indices[row]),
                suspects.file_text(row),
                suspects.class_name(int(suspects.given[row])),
                suspects.class_name(int(suspects.suggested[row])),
                f"{suspects.score[row]:.3f}",
                f"{suspects.confidence[row]:.2f}",
                f"{suspects.layers_against[row]} of {len(suspects.layers)}",
            )
            for i, row in enumerate(rows)
        ),
        f"{len(suspects.given):,} training samples" + (f", up to {per_class:,} of each class" if is_part else ""),
        suspects.remarks,
    )


def zoo_section(entry: ZooEntry, suspects: Suspects) -> SuspectsSection:
    """Return the section on a network of the zoo, all of whose samples were scored.

    Raises:
        NmfdiagError: If its samples can't be read.
    """
    samples = pool_rows(entry, listed_suspects(suspects).tolist())
    sound = is_sound(entry.recipe.arch, entry.recipe.dataset)
    pictures = [png_uri(image_pixels(sample, sound=sound)) for sample in samples] if is_image(entry.input_shape) else []
    return suspects_section(suspects, samples, pictures)


def _first_values(sample: np.ndarray) -> str:
    values = sample.ravel()
    listed = ", ".join(f"{value:.3g}" for value in values[:MOST_VALUES].astype(float))
    return f"{listed}, … ({values.size:,} values)" if values.size > MOST_VALUES else listed
