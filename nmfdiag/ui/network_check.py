"""What the check of an opened network found, and removing the network."""

from dataclasses import replace
from typing import Any

import streamlit as st

from nmfdiag.text import estimated_range, estimated_size, for_markdown
from nmfdiag.ui import live_results
from nmfdiag.ui.address import choose
from nmfdiag.ui.network_opening import OPEN, open_network
from nmfdiag.ui.widgets import column_formats
from nmfdiag.views import your_network as view
from nmfdiag.zoo.registry import ZooEntry, remove


def draw_check(entry: ZooEntry, check: dict[str, Any], per_class: int) -> None:
    """Draw whether this is the network that its owner trained (its accuracy first), and what a diagnosis costs."""
    preflight = check.get("preflight", {})
    accuracy = preflight.get("accuracy", entry.pool_accuracy)
    with st.container(horizontal=True):
        st.metric("right by their given labels", f"{accuracy:.1%}", width=230, help=view.ACCURACY_HELP)
        st.metric("layers to measure", len(preflight.get("layers", entry.layers)), width=160)
        if preflight:
            seconds = view.takes(preflight, per_class)
            st.metric("estimated time", estimated_range(seconds), width=230, help=view.COST_HELP)
            st.metric("memory", estimated_size(preflight["bytes"]), width=140)
    if concerns := view.concerns(accuracy, check):
        st.warning("\n\n".join(concerns), icon=":material/warning:")
    _offer_other_openings(entry, check)


def _offer_other_openings(entry: ZooEntry, check: dict[str, Any]) -> None:
    """Offer to open the files again, with a better normalisation or with the checkpoint's other weights."""
    name, prepare = st.session_state.get("_opened_as", ("", None))
    if name != entry.name:
        return
    if normalization := view.better_normalization(check):
        st.button(
            f"Open again, normalised as {for_markdown(normalization)}", type="primary", icon=":material/autorenew:",
            on_click=open_network,
            args=(lambda folder: replace(prepare(folder), name=entry.name, normalization=normalization, replaces=True),),
        )  # fmt: skip
    for key in check.get("other_weights", ()):
        st.button(
            f"Open again, with the weights {for_markdown(key)}", icon=":material/autorenew:", key=f"_weights_{key}",
            on_click=open_network,
            args=(lambda folder, key=key: replace(prepare(folder), name=entry.name, weights_key=key, replaces=True),),
        )  # fmt: skip


def draw_details(entry: ZooEntry, check: dict[str, Any]) -> None:
    """Draw the tables of the check, folded."""
    with st.expander("What was opened, and what the check found", icon=":material/fact_check:"):
        for table in view.check_tables(entry, check):
            st.dataframe(table, hide_index=True, column_config=column_formats(table))
        if not check:
            st.caption(view.NO_CHECK.format(name=entry.name))


def offer_removal(entry: ZooEntry, device: str) -> None:
    """Draw a button that removes the network once that is confirmed."""

    def remove_network() -> None:
        live_results.forget(device)
        remove(entry)
        choose({"network": OPEN})

    with st.popover("Remove", icon=":material/delete:", width="stretch"):
        st.markdown(view.removal(entry))
        st.button(
            f"Remove {for_markdown(entry.name)}",
            type="primary",
            on_click=live_results.draw_safely,
            args=(remove_network,),
        )
