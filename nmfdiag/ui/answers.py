"""The answers on one network in full: the sentence, each answer with its interval and evidence, and what they can't see."""

import streamlit as st

from nmfdiag.diagnosis.answer_text import EXPECTED_ERROR, QUESTION_TEXTS, error_figure, share_figure
from nmfdiag.diagnosis.answers import WHERE
from nmfdiag.text import for_markdown
from nmfdiag.ui.trust_link import trust_link
from nmfdiag.views.answers import AnswersSoFar

WIDTH = 312
"""Of an answer, in pixels."""
ERROR_TEXT = "Share of new samples with right labels that it is expected to get wrong."


def draw_answers(state: AnswersSoFar) -> None:
    """Draw what is known of a network."""
    st.markdown(f"**{state.icon} {for_markdown(state.sentence)}**")
    if not state.answers:
        return
    with st.container(horizontal=True):
        for name, answer in state.answers.items():
            figure = "" if name == WHERE else f"**{share_figure(answer)}**\n\n"
            _draw_block(QUESTION_TEXTS[name], f"{figure}{for_markdown(answer.text)}", answer.evidence)
        _draw_block(EXPECTED_ERROR, f"**{error_figure(state.error)}**\n\n{ERROR_TEXT}")
    limits = [(QUESTION_TEXTS[name], limit) for name, answer in state.answers.items() for limit in answer.limits]
    if limits:
        with st.expander("What the answers can't see", icon=":material/visibility_off:"):
            st.markdown("\n".join(f"- *{question}* {for_markdown(limit)}" for question, limit in limits))
    trust_link()


def _draw_block(title: str, text: str, evidence: tuple[str, ...] = ()) -> None:
    with st.container(width=WIDTH, gap="small"):
        st.markdown(f":gray[{title}]\n\n{text}")
        for sentence in evidence:
            st.caption(for_markdown(sentence))
