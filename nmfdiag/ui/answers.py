"""The answers on one network in full: the sentence, each answer with its interval and evidence, and what they can't see."""

import streamlit as st

from nmfdiag.diagnosis.answer_text import EXPECTED_ERROR, QUESTION_TEXTS, error_figure, share_figure
from nmfdiag.diagnosis.answers import WHERE
from nmfdiag.text import for_markdown
from nmfdiag.ui.trust_link import trust_link
from nmfdiag.views.answers import AnswersSoFar

ERROR_TEXT = "Share of new samples with right labels that it is expected to get wrong."


def draw_answers(state: AnswersSoFar) -> None:
    """Draw what is known of a network."""
    st.markdown(f"**{state.icon} {for_markdown(state.sentence)}**")
    if not state.answers:
        return
    blocks: list[tuple[str, str, tuple[str, ...]]] = []
    for name, answer in state.answers.items():
        figure = "" if name == WHERE else f"**{share_figure(answer)}**\n\n"
        blocks.append((QUESTION_TEXTS[name], f"{figure}{for_markdown(answer.text)}", answer.evidence))
    blocks.append((EXPECTED_ERROR, f"**{error_figure(state.error)}**\n\n{ERROR_TEXT}", ()))
    for row in (blocks[:2], blocks[2:]):
        for column, (title, text, evidence) in zip(st.columns(2, gap="medium"), row, strict=False):
            with column:
                st.markdown(f":gray[{title}]\n\n{text}")
                for sentence in evidence:
                    st.caption(for_markdown(sentence))
    limits = [(QUESTION_TEXTS[name], limit) for name, answer in state.answers.items() for limit in answer.limits]
    if limits:
        with st.expander("What the answers can't see", icon=":material/visibility_off:"):
            st.markdown("\n".join(f"- *{question}* {for_markdown(limit)}" for question, limit in limits))
    trust_link()
