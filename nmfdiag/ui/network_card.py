"""Cards with the answers, one a network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from nmfdiag.diagnosis.answer_text import SECOND_OPINION
from nmfdiag.diagnosis.answers import WHERE
from nmfdiag.diagnosis.diagnose import Diagnosis, diagnosis_of
from nmfdiag.diagnosis.references import modified
from nmfdiag.jobs.open_process import copied_from
from nmfdiag.jobs.requests import CurveRequest, SuspectsRequest, keys_of
from nmfdiag.measures.suspects.controls import Controls
from nmfdiag.plots.modes import colour_in
from nmfdiag.text import for_markdown, label_kind
from nmfdiag.ui import live_results
from nmfdiag.ui.mode import page_mode
from nmfdiag.ui.trust_link import trust_link
from nmfdiag.views.answers import AnswersSoFar, answers_so_far
from nmfdiag.views.pair import network_name
from nmfdiag.views.selection import Choice
from nmfdiag.views.verdict_card import CHECK_HELP, Figure, figures, truth_of, truth_text
from nmfdiag.zoo.registry import ZooEntry

MARKS = {True: ":green[:material/check:]", False: ":red[:material/close:]", None: ""}
"""Of an answer beside the truth: right, wrong, not given."""
BASIS = (
    "The estimates come from controls on each network's own training samples and given labels: no test sample or true label takes part. In brackets "
    "95\u00a0% intervals, 90\u00a0% for the expected error, the share of new samples that it gets wrong; a tick where the truth agrees."
)

Results = Mapping[Any, Any]


def draw_cards(
    choice: Choice,
    requests: Sequence[CurveRequest],
    results: Results,
    failed: Mapping[str, str],
    *,
    has_opinions: bool = True,
    extra_control: Callable[[ZooEntry, Mapping[CurveRequest, Any]], None] | None = None,
) -> None:
    """Draw each network's answers as far as they are known.

    Args:
        choice: The sidebar's.
        requests: Of all curves.
        results: The curves and suspects that are available.
        failed: Why suspects could not be scored, by the key of their request.
        has_opinions: Draw below the cards where each network memorises, and what reference networks say.
        extra_control: Draws at the end of a card, from the network and its curves.
    """
    controls_by_name, states = live_results.controls_of(choice.all_networks, results), {}
    changes = modified()
    with st.container(key=f"{choice.place}network_cards"):
        for network in choice.all_networks:
            own_requests = [r for r in requests if r.entry == network.name]
            curves = {r: results[r] for r in own_requests if r in results}
            controls, is_complete = controls_by_name.get(network.name), len(curves) == len(own_requests)
            facts = (
                network.recipe.n_train,
                network.class_names,
                tuple(network.trained_with.items()),
                copied_from(network),
            )
            results_key = (
                *keys_of(own_requests),
                *(str(c.provenance.get("date")) for c in curves.values()),
                facts,
                *changes,
            )
            diagnosis = _diagnosis(results_key, controls, curves, network) if is_complete else None
            state = answers_so_far(controls, diagnosis, failed.get(SuspectsRequest(network.name).key, ""))
            if not is_complete:
                count = f"{len(curves)} of {len(own_requests)} curves done."
                state = replace(state, opinion=f"{state.opinion} {count}")
            truth = truth_of(network, controls) if controls else None
            with _draw_card(network, choice, state, figures(state, truth)):
                if extra_control is not None:
                    extra_control(network, curves)
            states[network.name] = state
    if has_opinions:
        _draw_opinions(choice, states)
    st.caption(BASIS)
    trust_link()


@st.cache_resource(max_entries=100, show_spinner=False)
def _diagnosis(
    results_key: tuple[Any, ...],
    controls: Controls | None,
    _curves: Mapping[CurveRequest, Any],
    _network: ZooEntry,
) -> Diagnosis:
    """Return the diagnosis of a network, cached by ``results_key`` and the controls."""
    return diagnosis_of(_curves, _network, without=copied_from(_network), suspects=controls)


def _draw_card(network: ZooEntry, choice: Choice, state: AnswersSoFar, card_figures: Sequence[Figure]) -> Any:
    has_truth = any(figure.truth for figure in card_figures)
    head = ["", "estimate", *(["true"] if has_truth else [])]
    rows = [
        [figure.name, figure.text, *([f"{figure.truth} {MARKS[figure.is_right]}"] if has_truth else [])]
        for figure in card_figures
    ]
    table = "\n".join(f"|{'|'.join(cells)}|" for cells in (head, ["-"] * len(head), *rows))
    line = "solid" if network in choice.networks else "dashed"  # as in the plots
    stripe = f"border-top: 0.25rem {line} {colour_in(page_mode(), network.label_noise)}"
    card = st.container(border=True, height="stretch", gap="small", key=f"{choice.place}network_card_{network.name}")
    with card:
        st.html(f'<div style="{stripe}"></div>')
        text = f"{for_markdown(_name(network, choice))}\n\n**{state.icon} {for_markdown(state.sentence)}**\n\n{table}"
        st.markdown(text.replace(" %", "\N{NO-BREAK SPACE}%"))
        st.caption(for_markdown(truth_text(network)), help=CHECK_HELP if has_truth else None)
    return card


def _draw_opinions(choice: Choice, states: Mapping[str, AnswersSoFar]) -> None:
    with st.expander("Where, and a second opinion", icon=":material/compare_arrows:"):
        for network in choice.all_networks:
            state = states[network.name]
            place = for_markdown(state.answers[WHERE].text) if WHERE in state.answers else ""
            st.markdown(f"**{for_markdown(_name(network, choice))}**\n\n{place}")
            st.caption(for_markdown(f"{SECOND_OPINION}. {state.opinion}"))


def _name(network: ZooEntry, choice: Choice) -> str:
    name = network_name(network, choice)
    return name if network.called else f"{name} · {label_kind(network.label_noise)}"
