"""Widgets that live in the URL: their values survive page switches and reloads, and errors in a link are noted; table columns."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

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


def start_run() -> None:
    """Start a run of a page: note what its link sets, whether the page was switched to, and the time."""
    st.session_state.setdefault("_link", {key: st.query_params.get_all(key) for key in st.query_params})
    st.session_state.setdefault("_kept", {})
    st.session_state.setdefault("_given", set())
    st.session_state["_switched"] = st.session_state.get("_page") != st.context.url
    st.session_state["_page"] = st.context.url
    st.session_state["_began"] = time.monotonic()


def run_seconds() -> float:
    """Return the time that this run of the page has taken so far."""
    return time.monotonic() - float(st.session_state["_began"])


def set_widgets(values: Mapping[str, Any]) -> None:
    """Set the widgets of these keys; for a button's callback."""
    st.session_state.update(values)
    st.session_state["_given"].update(values)


def select_one(
    label: str, options: Sequence[Any], key: str, *, default: int = 0, help: str | None = None, segmented: bool = False
) -> Any:
    """Draw a choice of one option, as a list or side by side.

    Returns:
        The URL's option, the last one, or the default.
    """
    _note_link_errors(label, [str(option) for option in options], key, str(options[default]))
    start: dict[str, Any] = {"default": options[default]} if segmented else {"index": default}
    has_value = _restore_value(key)
    if (clicked := st.session_state.pop(f"_clicked_{key}", None)) in options:
        set_widgets({key: clicked})
        has_value = True
    elif key in st.session_state and st.session_state[key] not in options:
        set_widgets({key: options[default]})
        has_value = True
    if has_value:
        start = {}
    if segmented:
        value = st.segmented_control(label, options, key=key, bind="query-params", required=True, help=help, **start)
    else:
        value = st.selectbox(label, options, key=key, bind="query-params", help=help, **start)
    _keep_value(key, value)
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
        The URL's options, the last ones, or the default; the first of the default where the reader has cleared all.
    """
    _note_link_errors(label, [format_func(o) for o in options], key, ", ".join(map(format_func, default)))
    has_value = _restore_value(key, format_func)
    clicked = st.session_state.pop(f"_clicked_{key}", None)
    if clicked and set(clicked) <= set(options):
        set_widgets({key: clicked})
        has_value = True
    elif key in st.session_state and not set(st.session_state[key]) <= set(options):
        set_widgets({key: [option for option in st.session_state[key] if option in options] or list(default)})
        has_value = True
    start: dict[str, Any] = {} if has_value else {"default": default}
    start |= {"key": key, "bind": "query-params", "format_func": format_func, "help": help, "disabled": disabled}
    if max_selections:
        values = st.multiselect(label, options, max_selections=max_selections, **start)
    else:
        values = st.pills(label, options, selection_mode="multi", **start)
    _keep_value(key, values)
    return list(values) or list(default[:1])


def select_number(
    label: str, key: str, low: int, high: int, *, placeholder: str = "", help: str | None = None
) -> int | None:
    """Draw a field for a whole number from ``low`` to ``high``.

    Returns:
        The URL's number, the last one, or None where none was entered.
    """
    [text] = st.session_state["_link"].pop(key, [])[-1:] or [""]
    if text and not (text.isascii() and text.isdigit() and len(text) < LONGEST_NUMBER and low <= int(text) <= high):
        note = f"The link asks for {label} {text[:MOST_CHARACTERS]}: there are {low:,} to {high:,}."
        st.session_state.setdefault("_new_notes", []).append(note)
    has_value = _restore_value(key)
    if isinstance(value := st.session_state.get(key), int) and not low <= value <= high:
        set_widgets({key: None})
        has_value = True
    default: dict[str, Any] = {} if has_value else {"value": None}
    number = st.number_input(
        label, low, high, step=1, key=key, bind="query-params", placeholder=placeholder, help=help, **default
    )
    _keep_value(key, number)
    return None if number is None else int(number)


def _restore_value(key: str, format_func: Callable[[Any], str] = str) -> bool:
    """Return whether the widget was set and not drawn since, so that it must not get a default too.

    After a page switch whose URL came without the widget's value, set the last one: Streamlit would fall back to the default.
    """
    values, new_keys = st.session_state["_kept"], st.session_state["_given"]
    if st.session_state["_switched"] and key in values and not (key in st.query_params or key in new_keys):
        value = values[key]
        set_widgets({key: value})
        with suppress(StreamlitAPIException):  # Streamlit refuses where it is going to write the URL itself
            st.query_params[key] = [format_func(v) for v in value] if isinstance(value, list) else format_func(value)
    return key in new_keys and key in st.session_state


def _keep_value(key: str, value: Any) -> None:
    """Note that the widget has been drawn; a run that ends before that leaves a new value to the next run."""
    st.session_state["_kept"][key] = value
    st.session_state["_given"].discard(key)


def _note_link_errors(label: str, options: Sequence[str], key: str, default: str) -> None:
    values = st.session_state["_link"].pop(key, [])
    unknown = [value[:MOST_CHARACTERS] for value in values if value not in options][:MOST_NAMED]
    if unknown:
        value = ", ".join(value for value in values if value in options) or default
        accepted = [*options[:MOST_NAMED]]
        if len(options) > MOST_NAMED:
            accepted.append(f"{len(options) - MOST_NAMED} more")
        note = f"The link asks for {label} {', '.join(unknown)}: there are {', '.join(accepted)}. Shown is {value}."
        st.session_state.setdefault("_new_notes", []).append(note)
