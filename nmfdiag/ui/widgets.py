"""Widgets that live in the URL: their values survive page switches and reloads, and what a link got wrong is said; columns of tables."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.errors import StreamlitAPIException

MOST_NAMED, MOST_SHOWN = 15, 200


def column_formats(table: pd.DataFrame) -> dict[str, Any]:
    """Three decimals for measured shares, thousands for counts."""
    formats = {"f": "%.3f", "i": "localized"}
    return {
        name: st.column_config.NumberColumn(format=formats[table[name].dtype.kind])
        for name in table.columns
        if name != "p" and table[name].dtype.kind in formats
    }


def start_run() -> None:
    """Start a run of a page: note what its link asks for, whether the page was switched to, and the time."""
    st.session_state.setdefault("_link", {key: st.query_params.get_all(key) for key in st.query_params})
    st.session_state.setdefault("_kept", {})
    st.session_state.setdefault("_given", set())
    st.session_state["_switched"] = st.session_state.get("_page") != st.context.url
    st.session_state["_page"] = st.context.url
    st.session_state["_began"] = time.monotonic()


def run_seconds() -> float:
    """How long this run of the page has taken."""
    return time.monotonic() - float(st.session_state["_began"])


def set_widgets(values: Mapping[str, Any]) -> None:
    """Set widgets of these keys, as a button's callback."""
    st.session_state.update(values)
    st.session_state["_given"].update(values)


def select_one(
    label: str, options: Sequence[Any], key: str, *, default: int = 0, help: str | None = None, segmented: bool = False
) -> Any:
    """A choice of one, from a list or side by side: the URL's, the last one, or the default."""
    _note_link_errors(label, [str(o) for o in options], key, str(options[default]))
    first = {"default": options[default]} if segmented else {"index": default}
    start: dict[str, Any] = {} if _restore_value(key) else first
    if (clicked := st.session_state.pop(f"_clicked_{key}", None)) in options:
        set_widgets({key: clicked})
        start = {}
    elif key in st.session_state and st.session_state[key] not in options:
        set_widgets({key: options[default]})
        start = {}
    if segmented:
        picked = st.segmented_control(label, options, key=key, bind="query-params", required=True, help=help, **start)
    else:
        picked = st.selectbox(label, options, key=key, bind="query-params", help=help, **start)
    _keep_value(key, picked)
    return picked


def select_several(
    label: str,
    options: Sequence[Any],
    key: str,
    default: Sequence[Any],
    *,
    help: str | None = None,
    format_func: Any = str,
    disabled: bool = False,
    most: int = 0,
) -> list[Any]:
    """A choice of at least one: the URL's, the last one, or the default; without any, the first of the default.

    Options side by side; where at ``most`` so many of a long list may be chosen, a list.
    """
    _note_link_errors(label, [format_func(o) for o in options], key, ", ".join(map(format_func, default)))
    start: dict[str, Any] = {} if _restore_value(key, format_func) else {"default": default}
    clicked = st.session_state.pop(f"_clicked_{key}", None)
    if clicked and set(clicked) <= set(options):
        set_widgets({key: clicked})
        start = {}
    elif key in st.session_state and not set(st.session_state[key]) <= set(options):
        set_widgets({key: [o for o in st.session_state[key] if o in options] or list(default)})
        start = {}
    start |= {"key": key, "bind": "query-params", "format_func": format_func, "help": help, "disabled": disabled}
    if most:
        picked = st.multiselect(label, options, max_selections=most, **start)
    else:
        picked = st.pills(label, options, selection_mode="multi", **start)
    _keep_value(key, picked)
    return list(picked) or list(default[:1])


def _restore_value(key: str, format_func: Any = str) -> bool:
    """Whether the widget has been given a value that it has not taken yet, so that it gets no default beside it.

    Brings back the last value after a page switch whose URL came without it: Streamlit then falls back to the default.
    """
    kept = st.session_state["_kept"]
    if (
        st.session_state["_switched"]
        and key in kept
        and not (key in st.query_params or key in st.session_state["_given"])
    ):
        set_widgets({key: kept[key]})
        value = kept[key]
        with suppress(StreamlitAPIException):  # Streamlit refuses where it is going to write the URL itself
            st.query_params[key] = [format_func(v) for v in value] if isinstance(value, list) else format_func(value)
    return key in st.session_state["_given"] and key in st.session_state


def _keep_value(key: str, picked: Any) -> None:
    """The widget has been drawn; until then a run that is cut short leaves what was given to the next one."""
    st.session_state["_kept"][key] = picked
    st.session_state["_given"].discard(key)


def _note_link_errors(label: str, options: Sequence[str], key: str, default: str) -> None:
    asked = st.session_state["_link"].pop(key, [])
    wrong = [value[:MOST_SHOWN] for value in asked if value not in options][:MOST_NAMED]
    if wrong:
        shown = ", ".join(value for value in asked if value in options) or default
        there = [*options[:MOST_NAMED], *([f"{len(options) - MOST_NAMED} more"] if len(options) > MOST_NAMED else [])]
        words = f"The link asks for {label} {', '.join(wrong)}: there are {', '.join(there)}. Shown is {shown}."
        st.session_state.setdefault("_new_notes", []).append(words)
