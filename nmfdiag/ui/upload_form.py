"""The form that says what is to be opened: weights and training samples, or raw activations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from nmfdiag.jobs import browse
from nmfdiag.jobs.open_process import Opening, Prepare
from nmfdiag.text import for_markdown
from nmfdiag.ui.widgets import select_one
from nmfdiag.views import your_network as view

COLUMN = 440
CHECKPOINT, RAW = "weights and samples", "raw activations"
SERVER, NAMED, UPLOAD = "file on this server", "data set", "upload"
AS_THEY_ARE = "as they are"

Source = tuple[str, Callable[[Path], Path]] | None
"""What a file is called, and what brings it: given a private folder, for those that are uploaded."""


def form(start: Callable[[Prepare], None]) -> None:
    """What is to be opened, and the button that opens it by ``start``."""
    way = select_one("what there is", [CHECKPOINT, RAW], "way", segmented=True)
    with st.container(horizontal=True, gap="large"):
        left, right = st.container(width=COLUMN), st.container(width=COLUMN)
    options: dict[str, Any] = {}
    with left:
        source = activations() if way == RAW else weights(options)
    with right:
        data = training_samples(options) if way == CHECKPOINT else ("", Path)
        if way == RAW:
            st.markdown(view.ACTIVATIONS)
    first = browse.proposed_name(Path(source[0]).stem) if source else ""
    ready, key = bool(source and data), f"_name_{first}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("name", first, key=key, max_chars=60, width=260, disabled=not source)
        st.button(
            "Open and check", type="primary", icon=":material/search_check:", disabled=not ready, on_click=start,
            args=(prepare(way, key, source, data, options),) if ready else (),
        )  # fmt: skip
        if not ready:
            st.caption(view.missing(way == RAW, bool(source), bool(data)), width="content")
    if way == CHECKPOINT and not browse.files(browse.models_folder(), browse.WEIGHTS):
        st.caption(view.no_models(browse.models_folder()))
        st.code(view.save_lines(browse.models_folder(), browse.data_folder()), language="python", wrap_lines=True)


def activations() -> Source:
    """Recorded activations of one layer."""
    st.subheader("Activations")
    return source_of(
        "activations",
        browse.data_folder(),
        browse.files(browse.data_folder(), browse.ACTIVATIONS),
        browse.ACTIVATIONS,
    )


def weights(options: dict[str, Any]) -> Source:
    """A checkpoint; architecture and layers go into ``options``."""
    st.subheader("Weights")
    source = source_of(
        "weights",
        browse.models_folder(),
        browse.files(browse.models_folder(), browse.WEIGHTS),
        browse.WEIGHTS,
        help=view.WEIGHTS_HELP,
    )
    architectures = view.architectures()
    options["arch"] = pick("architecture", list(architectures), architectures, help=view.ARCH_HELP)
    layers = pick("layers", list(view.LAYERS), view.LAYERS, help=view.LAYERS_HELP)
    options["signed"] = layers == view.ALL_LAYERS
    return source


def training_samples(options: dict[str, Any]) -> Source:
    """Samples with their given labels; how they are prepared goes into ``options``."""
    st.subheader("Training samples")
    folder = browse.data_folder()
    source = source_of(
        "samples",
        folder,
        browse.samples(folder),
        browse.SAMPLES,
        browse.data_sets(folder),
        help=view.SAMPLES_HELP,
    )
    st.caption(view.LABELS)
    known = view.NORMALIZATIONS
    options["normalization"] = pick("normalisation", list(known), known, own=True, help=view.NORMALIZATION_HELP)
    size = pick("size of images", [AS_THEY_ARE, "32", "64", "224", "299"], {}, own=True, help=view.SIZE_HELP)
    options["size"] = "" if size == AS_THEY_ARE else size
    return source


def source_of(
    role: str, folder: Path, found: list[str], accepted: tuple[str, ...], named: list[str] | None = None, help: str = ""
) -> Source:
    """A file that is listed, or one that is uploaded; data sets go by their names."""
    kinds = [*([NAMED] if named else []), *([SERVER] if found else []), UPLOAD]
    kind = kinds[0] if len(kinds) == 1 else select_one(f"{role} from", kinds, f"{role}_from", segmented=True)
    if kind == UPLOAD:
        given = st.file_uploader(f"upload of {role}", [each[1:] for each in accepted], key=f"_upload_{role}", help=help)
        st.caption(view.upload(st.get_option("server.maxUploadSize")))
        if given is None:
            return None
        return given.name, lambda private: browse.received(private, role, given.name, given.getbuffer(), accepted)
    if kind == NAMED:
        name = pick("data set", named or [], {}, help=help)
        return name, lambda _: Path(name)
    name = pick(f"{role} in {for_markdown(str(folder))}", found, {}, help=help, key=role)
    return name, lambda _: browse.chosen(folder, name)


def pick(label: str, options: list[str], titles: Any, *, own: bool = False, help: str = "", key: str = "") -> str:
    """A choice from a list that survives a page switch; with ``own`` something else can be typed."""
    key = f"_pick_{key or label}"
    if not own and st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    picked = st.selectbox(
        label, options, key=key, help=help or None, accept_new_options=own, persist_state="session",
        format_func=lambda value: titles.get(value, value),
    )  # fmt: skip
    return picked if picked and (own or picked in options) else options[0]  # a browser may send what was not offered


def prepare(way: str, name_key: str, source: Source, data: Source, options: dict[str, Any]) -> Prepare:
    """From what was chosen to what is opened, once there is a private folder for uploads."""
    assert source is not None and data is not None
    bring, bring_data = source[1], data[1]

    def opening(folder: Path) -> Opening:
        name = browse.proposed_name(
            st.session_state.get(name_key) or source[0]
        )  # as it is typed when the button is clicked
        if way == RAW:
            return Opening(name, activations=bring(folder))
        return Opening(name, weights=bring(folder), data=str(bring_data(folder)), **options)

    return opening
