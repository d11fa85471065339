"""Samples in a grid, one of them in detail, and the reader's marks: the middle of the page *Suspects*."""

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.text import for_markdown, plural
from nmfdiag.ui import charts
from nmfdiag.ui.address import choose
from nmfdiag.ui.widgets import select_number
from nmfdiag.views.suspects.figures import layers_figure
from nmfdiag.views.suspects.marks import FINE, UNSURE, WRONG, Mark, marks_json, marks_table
from nmfdiag.views.suspects.sentences import (
    SESSION_NOTE,
    empty_sentence,
    list_sentence,
    precision_sentence,
    repeat_sentence,
    sample_sentence,
    scope_sentence,
)
from nmfdiag.views.suspects.thumbnails import LARGE, kind_of, thumbnails
from nmfdiag.zoo.registry import ZooEntry

PICTURE = 150
"""Width of the large picture, in pixels."""
PER_PAGE = 30
"""Samples whose pictures are made and sent at once."""
SAMPLE, PAGE, LIST, TURN = "sample", "_suspects_page", "_suspects_list", "_suspects_turn"
"""Keys: the sample in the URL, the page of the grid, the list that this page belongs to, and whether to turn to the sample's page."""
VERDICTS = {
    WRONG: ("W", ":material/close:"),
    FINE: ("F", ":material/check:"),
    UNSURE: ("U", ":material/question_mark:"),
}
"""The key on the keyboard and the icon of each mark."""
COLOURS = {WRONG: "red", FINE: "green", UNSURE: "gray"}
KIND_NAMES = {"image": "image", "spectrogram": "spectrogram", "values": "feature values"}


@dataclass(frozen=True)
class Review:
    """What is reviewed.

    Attributes:
        entry: The network.
        suspects: Its samples.
        rows: Those that are listed, in order.
        list_name: The list's name.
        sort: What it is sorted by.
        class_idx: The given class that is listed; None for all.
        marks: The reader's, by index; changed by the buttons.
        truth: True labels (n,), where they are known.
    """

    entry: ZooEntry
    suspects: Suspects
    rows: np.ndarray
    list_name: str
    sort: str
    class_idx: int | None
    marks: MutableMapping[int, Mark]
    truth: np.ndarray | None

    @property
    def list_key(self) -> tuple[object, ...]:
        """What a page of the grid belongs to."""
        return self.entry.name, self.list_name, self.sort, self.class_idx

    @property
    def indices(self) -> list[int]:
        """The listed samples."""
        return [int(index) for index in self.suspects.indices[self.rows]]


def marks_of(key: str) -> MutableMapping[int, Mark]:
    """Return the reader's marks of one result; they live as long as the session."""
    marks: MutableMapping[int, Mark] = st.session_state.setdefault("_marks", {}).setdefault(key, {})
    return marks


def select_sample(suspects: Suspects) -> int | None:
    """Draw the field of the sample to look at; None while none was chosen."""
    first, last = map(int, suspects.indices[[0, -1]])
    number = select_number(SAMPLE, SAMPLE, first, last, placeholder="first listed", help="By its number.")
    if number is None or number in suspects.indices:
        return number
    st.info(f"Sample {number:,} was not kept with the network.", icon=":material/info:")
    return None


def draw_review(review: Review, number: int | None) -> None:
    """Draw what the marks say, the grid, and beside it a sample: the first one listed where ``number`` is None."""
    _draw_marks(review)
    with st.container(key="suspects_review"):
        left, right = st.columns([3, 2], gap="medium")
    indices = review.indices
    index = indices[0] if number is None and indices else number
    with left:
        _draw_grid(review, indices, index)
    with right:
        if index is not None:
            _draw_sample(review, indices, index)


def _draw_grid(review: Review, indices: Sequence[int], selected: int | None) -> None:
    suspects = review.suspects
    if not indices:
        st.info(empty_sentence(review.list_name, suspects), icon=":material/info:")
        return
    st.caption(list_sentence(len(indices), len(suspects.given), review.sort))
    n_pages = -(-len(indices) // PER_PAGE)
    if (
        st.session_state.get(LIST) != review.list_key
        or st.session_state.pop(TURN, False)
        or PAGE not in st.session_state
    ):
        st.session_state[PAGE] = 1 + indices.index(selected) // PER_PAGE if selected in indices else 1
    st.session_state[LIST] = review.list_key
    page = st.session_state[PAGE] = min(int(st.session_state[PAGE]), n_pages)  # a mark may have shortened the list
    first = (page - 1) * PER_PAGE
    with st.container(horizontal=True, gap="small", key="suspects_grid"):
        draw_cards(review, indices[first : first + PER_PAGE], "card", selected)
    if n_pages > 1:
        st.pagination(n_pages, key=PAGE, on_change=_look_at_page, args=(indices,))


def draw_cards(review: Review, indices: Sequence[int], place: str, selected: int | None = None) -> None:
    """Draw samples as buttons with their picture; a click looks at the sample."""
    rows = review.suspects.rows(indices)
    pictures = thumbnails(review.entry, rows.tolist())
    for index, row, picture in zip(indices, rows, pictures, strict=True):
        st.button(
            _card_text(review, index, row, picture, short=place != "card", selected=index == selected), key=f"_{place}_{index}",
            type="primary" if index == selected else "secondary", on_click=_look_at, args=(index,),
        )  # fmt: skip


def _card_text(review: Review, index: int, row: int, picture: str, *, short: bool, selected: bool) -> str:
    suspects = review.suspects
    given_name, suggested_name = (
        for_markdown(suspects.class_name(c[row])) for c in (suspects.given, suspects.suggested)
    )
    image = f"![{_alt(review, row)}{', looked at' if selected else ''}]({picture})"
    if short:
        return f"{image} **{given_name}**"
    mark = review.marks.get(index)
    note = f" :{COLOURS[mark.verdict]}-badge[{mark.verdict}]" if mark else ""
    against = f"{suspects.layers_against[row]}/{len(suspects.layers)}"
    return f"{image} **{given_name} → {suggested_name}** :gray[{suspects.score[row]:.2f} · {against}]{note}"


def _alt(review: Review, row: int) -> str:
    """Return the description of a sample's picture."""
    return f"{KIND_NAMES[kind_of(review.entry)]} of sample {review.suspects.indices[row]}"


def _draw_sample(review: Review, indices: Sequence[int], index: int) -> None:
    suspects, entry = review.suspects, review.entry
    [row] = suspects.rows([index])
    reasons = suspects.reasons(index)
    given_name, suggested_name = (for_markdown(suspects.class_name(c)) for c in (reasons.given, reasons.suggested))
    with st.container(horizontal=True, gap="medium", key="suspects_sample"):
        [picture] = thumbnails(entry, [row], LARGE)
        st.image(picture, width=PICTURE, alt=_alt(review, row))
        with st.container(width="stretch", gap="xsmall"):
            st.markdown(f"**Sample {index:,}**: given **{given_name}**, suggested **{suggested_name}**")
            if suspects.file_names:
                st.caption(for_markdown(suspects.file_names[row]))
            st.caption(sample_sentence(suspects, row, reasons))
    if repeat := repeat_sentence(suspects, reasons):
        st.warning(for_markdown(repeat), icon=":material/content_copy:")
    _draw_verdicts(review, indices, index, row)
    for class_idx, nearest in ((reasons.given, reasons.nearest_given), (reasons.suggested, reasons.nearest_suggested)):
        st.caption(f"Nearest trusted samples of **{for_markdown(suspects.class_name(class_idx))}**")
        if nearest:
            with st.container(horizontal=True, gap="small", key=f"suspects_near_{class_idx}"):
                draw_cards(review, nearest, f"near_{class_idx}")
        else:
            st.caption("None of this class is trusted.")
    table = pd.DataFrame({
        "layer": list(suspects.against_by_layer),
        "log odds against": [float(values[row]) for values in suspects.against_by_layer.values()],
        "read for the score": [layer in suspects.layers for layer in suspects.against_by_layer],
    })  # fmt: skip
    figure, stem = layers_figure(suspects, row, entry.label_noise), f"{entry.name}_sample-{index}_by-layer"
    alt = f"How strongly each layer speaks against the label of sample {index}"
    charts.plot(figure, stem, lambda: table, "suspects-layers", alt, partial(_link_to_class, review, reasons.given))


def _draw_verdicts(review: Review, indices: Sequence[int], index: int, row: int) -> None:
    """Draw the buttons that mark the sample and go on, and the choice of its right label."""
    suspects, mark = review.suspects, review.marks.get(index)
    place = indices.index(index) if index in indices else -1
    following = indices[place + 1] if place + 1 < len(indices) else None
    with st.container(horizontal=True, gap="small", key="suspects_marks"):
        for verdict, (key, icon) in VERDICTS.items():
            st.button(
                verdict.capitalize(), key=f"_mark_{verdict}", icon=icon, shortcut=key, on_click=_set_mark,
                args=(review, index, verdict, following), type="primary" if mark and mark.verdict == verdict else "secondary",
            )  # fmt: skip
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Back", key="_previous", icon=":material/chevron_left:", shortcut="B", disabled=place < 1, type="tertiary",
            on_click=_look_at, args=(indices[max(place - 1, 0)] if indices else None,),
        )  # fmt: skip
        st.button(
            "Next", key="_next", icon=":material/chevron_right:", shortcut="N", disabled=following is None, type="tertiary",
            on_click=_look_at, args=(following,),
        )  # fmt: skip
    if mark and mark.verdict == WRONG:
        classes = [c for c in range(suspects.n_classes) if c != suspects.given[row]]
        right = int(suspects.suggested[row]) if mark.label is None else mark.label
        label = st.selectbox(
            "right label", classes, index=classes.index(right), key=f"_label_{review.entry.name}_{index}",
            format_func=suspects.class_name, help="Exported as new_label.",
        )  # fmt: skip
        review.marks[index] = Mark(WRONG, label)
    if mark and review.truth is not None:
        true_name = suspects.class_name(int(review.truth[row]))
        verdict = "the given label is right" if review.truth[row] == suspects.given[row] else "the given label is wrong"
        st.caption(f"True label: {for_markdown(true_name)}, {verdict}.")


def _set_mark(review: Review, index: int, verdict: str, following: int | None) -> None:
    """Mark a sample and go on to the next one; the same mark again takes it off."""
    mark = review.marks.get(index)
    if mark and mark.verdict == verdict:
        del review.marks[index]
        return
    review.marks[index] = Mark(verdict)
    _look_at(index if following is None else following)


def _look_at(index: int | None) -> None:
    """Look at a sample, and turn to its page of the grid."""
    if index is not None:
        choose({SAMPLE: index})
        st.session_state[TURN] = True


def _look_at_page(indices: Sequence[int]) -> None:
    """Look at the first sample of the page that was turned to, so that a mark goes to what is on the screen."""
    first = (int(st.session_state[PAGE]) - 1) * PER_PAGE
    choose({SAMPLE: indices[min(first, len(indices) - 1)]})


def _link_to_class(review: Review, class_idx: int) -> None:
    """Offer the page *Classes* with the sample's given class."""
    name = review.suspects.class_name(class_idx)
    if st.button(f"Class {for_markdown(name)} by layer", icon=":material/category:", type="tertiary", key="_to_class"):
        choose({"class": name, "map": f"{review.entry.label_noise:g}"})
        st.switch_page("pages/classes.py")


def _draw_marks(review: Review) -> None:
    """Draw what the marks say about the list, and the exports."""
    suspects, marks, stem = review.suspects, review.marks, review.entry.name
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="suspects_precision"
    ):
        st.markdown(precision_sentence(marks, suspects), width="stretch", help=SESSION_NOTE)
        with st.popover("Export samples", icon=":material/download:"):
            _download(
                "Marks (CSV)",
                lambda: marks_table(marks, suspects).to_csv(index=False),
                f"{stem}_marks.csv",
                disabled=not marks,
            )
            _download(
                "Marks (JSON)",
                lambda: marks_json(marks, suspects, review.entry),
                f"{stem}_marks.json",
                disabled=not marks,
            )
            _download("All samples (CSV)", lambda: suspects.to_frame().to_csv(index=False), f"{stem}_suspects.csv")
            left_out = [index for index, mark in marks.items() if mark.verdict == WRONG] if marks else None
            n_removed = len(suspects.given) - len(suspects.cleaned(left_out))
            remainder = f"without the {n_removed:,} {'marked wrong' if marks else 'that look wrong'}"
            _download(
                "Cleaned indices (CSV)",
                lambda: pd.DataFrame({"index": suspects.cleaned(left_out)}).to_csv(index=False), f"{stem}_cleaned.csv",
            )  # fmt: skip
            st.caption(f"Cleaned: {plural(len(suspects.given) - n_removed, 'sample')}, {remainder}.")
            st.caption(scope_sentence(review.entry, len(suspects.given)))


def _download(label: str, content: Callable[[], str], name: str, **options: Any) -> None:
    st.download_button(
        label, lambda: content().encode(), name, "text/csv" if name.endswith("csv") else "application/json",
        on_click="ignore", icon=":material/table:" if name.endswith("csv") else ":material/data_object:", width="stretch",
        key=f"_file_{label}", **options,
    )  # fmt: skip
