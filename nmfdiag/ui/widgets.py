"""Widgets whose values live in the address, errors in which are noted; table columns."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from nmfdiag.text import for_markdown
from nmfdiag.ui.address import keep, last_value, note, select, values_in_link

MOST_NAMED, MOST_CHARACTERS = 15, 200
"""Values that a note about a link lists at most, and the length of each."""
LONGEST_NUMBER = 16
"""Digits that a number in a link must stay below."""
NUMBER_FORMATS = {"f": "%.3f", "i": "localized"}
"""By NumPy's kind: three decimals for measured shares, thousands separators for counts."""


def column_formats(table: pd.DataFrame) -> dict[str, Any]:
    """Return the formats of a table's columns of numbers; ``p`` keeps its own."""
    return {
        name: st.column_config.NumberColumn(format=NUMBER_FORMATS[table[name].dtype.kind])
        for name in table.columns
        if name != "p" and table[name].dtype.kind in NUMBER_FORMATS
    }


def with_ticks(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a tick or a dash for yes or no, where Streamlit draws boxes that look as if they could be clicked."""
    answers = table.select_dtypes(bool).columns
    return table.assign(**{name: table[name].map({True: "✓", False: "–"}) for name in answers})


def select_one(
    label: str,
    options: Sequence[Any],
    key: str,
    *,
    default: int = 0,
    help: str | None = None,
    segmented: bool = False,
    slider: bool = False,
) -> Any:
    """Draw a choice of one option, as a list, side by side, or as a slider.

    Returns:
        The address's option, the last one, or the default.
    """
    first = options[default]
    linked = _linked_options(label, options, key, [first], str, several=False)
    value = linked[0] if linked else last_value(key, first)
    value = value if value in options else first
    select(key, value)
    if segmented:
        value = st.segmented_control(label, options, default=value, key=key, required=True, help=help)
    elif slider:
        value = st.select_slider(label, options, value, key=key, help=help)
    else:
        value = st.selectbox(label, options, list(options).index(value), key=key, help=help)
    keep(key, value, [str(value)], is_default=value == first)
    return value


def select_several(
    label: str,
    options: Sequence[Any],
    key: str,
    default: Sequence[Any],
    *,
    help: str | None = None,
    format_func: Callable[[Any], str] = str,
    disabled: bool = False,
    max_selections: int = 0,
) -> list[Any]:
    """Draw a choice of one or more options: side by side, or with ``max_selections`` as a list.

    Returns:
        The address's options, the last ones, or the default; the first of the default where the reader has cleared all.
    """
    last = _linked_options(label, options, key, default, format_func, several=True) or last_value(key, list(default))
    offered = [option for option in last if option in options]
    values = offered if offered or not last else list(default)
    select(key, values)
    widget_options: dict[str, Any] = {
        "default": values, "key": key, "format_func": format_func, "help": help, "disabled": disabled,
    }  # fmt: skip
    if max_selections:
        values = st.multiselect(label, options, max_selections=max_selections, **widget_options)
    else:
        values = st.pills(label, options, selection_mode="multi", **widget_options)
    if not values and default:
        st.caption(f"None is chosen: {for_markdown(format_func(default[0]))} is shown.")
    selection = list(values) or list(default[:1])
    keep(key, list(values), [format_func(value) for value in selection], is_default=list(values) == list(default))
    return selection


def select_number(
    label: str, key: str, low: int, high: int, *, placeholder: str = "", help: str | None = None
) -> int | None:
    """Draw a field for a whole number from ``low`` to ``high``.

    Returns:
        The address's number, the last one, or None where none was entered.
    """
    [text] = values_in_link(key)[-1:] or [""]
    value: int | None = None
    if text.isascii() and text.isdigit() and len(text) < LONGEST_NUMBER:
        value = int(text)
    elif not text:
        value = last_value(key, None)
    if value is not None and not low <= value <= high:
        value = None
    if text and value is None:
        note(f'No {label} "{text[:MOST_CHARACTERS]}". Available: {low:,} to {high:,}.')
    select(key, value)
    number = st.number_input(label, low, high, value, step=1, key=key, placeholder=placeholder, help=help)
    keep(key, number, [] if number is None else [str(int(number))], is_default=number is None)
    return None if number is None else int(number)


def _linked_options(
    label: str,
    options: Sequence[Any],
    key: str,
    default: Sequence[Any],
    format_func: Callable[[Any], str],
    *,
    several: bool,
) -> list[Any]:
    """Return the options that a new address names, the default where it names none that is known, and nothing where it has no such key; note its errors."""
    by_text, texts = {format_func(option): option for option in options}, values_in_link(key)
    linked_texts = list(dict.fromkeys(text for text in texts if text in by_text))
    unknown = [text for text in dict.fromkeys(texts) if text not in by_text]
    surplus = [] if several else linked_texts[:-1]
    shown_texts = linked_texts[len(surplus) :] or ([format_func(option) for option in default] if texts else [])
    if unknown or surplus:
        refused = ", ".join(f'"{text[:MOST_CHARACTERS]}"' for text in (unknown + surplus)[:MOST_NAMED])
        accepted = ", ".join([*by_text][:MOST_NAMED])
        more_text = f", {len(by_text) - MOST_NAMED} more" if len(by_text) > MOST_NAMED else ""
        reason = f"No {label} {refused}" if unknown else f"One {label} can be shown, not {refused} as well"
        note(f"{reason}. Showing {', '.join(shown_texts)}. Available: {accepted}{more_text}.")
    return [by_text[text] for text in shown_texts]
