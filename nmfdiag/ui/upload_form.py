"""The form for opening a network: weights and training samples, or raw activations."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import browse
from nmfdiag.jobs.open_process import Opening, Prepare
from nmfdiag.text import for_markdown
from nmfdiag.ui.widgets import select_one
from nmfdiag.views import your_network as view

COLUMN_WIDTH = 440
"""Pixels."""
CHECKPOINT, RAW = "weights and samples", "raw activations"
SERVER, DATA_SET, UPLOAD = "file on this server", "data set", "upload"
AS_THEY_ARE = "as they are"

Source = tuple[str, Callable[[Path], Path]] | None
"""The name of a file, and a function that returns its path; it writes an upload into the given private folder."""


def form(start: Callable[[Prepare], None], *, is_busy: bool = False) -> None:
    """Draw the form, whose button calls ``start``; it waits while something else is being opened."""
    kind = select_one("What do you have?", [CHECKPOINT, RAW], "way", segmented=True)
    if kind == CHECKPOINT:
        st.markdown(view.ACCEPTED)
    with st.container(horizontal=True, gap="large"):
        left, right = st.container(width=COLUMN_WIDTH), st.container(width=COLUMN_WIDTH)
    options: dict[str, Any] = {}
    with left:
        source = _select_activations() if kind == RAW else _select_weights(options)
    with right:
        data = _select_samples(options) if kind == CHECKPOINT else ("", Path)
        size_key = _size_key(source, data)
        refusal = _draw_train_size(size_key) if kind == CHECKPOINT else ""
        if kind == RAW:
            st.markdown(view.ACTIVATIONS)
    name = browse.proposed_name(Path(source[0]).stem) if source else ""
    ready, key = bool(source and data and not refusal) and not is_busy, f"_name_{name}"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("name", name, key=key, max_chars=60, width=260, disabled=not source)
        st.button(
            "Open and check", type="primary", icon=":material/search_check:", disabled=not ready, on_click=start,
            args=(_prepare(kind, key, size_key, source, data, options),) if ready else (),
        )  # fmt: skip
        if not (source and data) and not is_busy:
            st.caption(view.missing(kind == RAW, bool(source), bool(data)), width="content")
    if kind == CHECKPOINT:
        with st.expander("A network of your own code, or files on this server", icon=":material/code:"):
            st.markdown(view.OWN_CODE)
            st.code(
                view.own_code_command(source[0] if source else "", data[0] if data else ""),
                language="sh",
                wrap_lines=True,
            )
            st.markdown(view.models_text(browse.models_folder()))
            st.code(view.save_lines(browse.models_folder(), browse.data_folder()), language="python", wrap_lines=True)


def _select_activations() -> Source:
    st.subheader("Activations")
    folder = browse.data_folder()
    return _select_source("activations", folder, browse.files(folder, browse.ACTIVATIONS), browse.ACTIVATIONS)


def _select_weights(options: dict[str, Any]) -> Source:
    """Draw the choice of a checkpoint; add its architecture and layers to ``options``."""
    st.subheader("Weights")
    folder = browse.models_folder()
    files = browse.files(folder, browse.WEIGHTS)
    source = _select_source("weights", folder, files, browse.WEIGHTS, help=view.WEIGHTS_HELP)
    architectures = view.architectures()
    options["arch"] = select_option("architecture", list(architectures), architectures, help=view.ARCH_HELP)
    layers = select_option("layers", list(view.LAYERS), view.LAYERS, help=view.LAYERS_HELP)
    options["signed"] = layers == view.ALL_LAYERS
    return source


def _select_samples(options: dict[str, Any]) -> Source:
    """Draw the choice of samples with their given labels; add how they are prepared to ``options``."""
    st.subheader("Training samples")
    folder = browse.data_folder()
    files, data_sets = browse.samples(folder), browse.data_sets(folder)
    source = _select_source("samples", folder, files, browse.SAMPLES, data_sets, help=view.SAMPLES_HELP)
    st.caption(view.LABELS)
    titles = view.NORMALIZATIONS
    options["normalization"] = select_option(
        "normalisation", list(titles), titles, accept_new=True, help=view.NORMALIZATION_HELP
    )
    sizes = [AS_THEY_ARE, "32", "64", "224", "299"]
    size = select_option("size of images", sizes, {}, accept_new=True, help=view.SIZE_HELP)
    options["size"] = "" if size == AS_THEY_ARE else size
    return source


def _size_key(*sources: Source) -> str:
    """Return the key of the field for the training-set size: another one, and so an empty field, for other files."""
    uploads = [st.session_state.get(f"_upload_{role}") for role in ("weights", "samples")]
    names = [source[0] if source else "" for source in sources]
    return "_".join(["_train_size", *names, *(getattr(upload, "file_id", "") for upload in uploads)])


def _draw_train_size(key: str) -> str:
    """Draw the field for the training-set size; return why what was typed can't be one, or an empty text."""
    text = st.text_input("training-set size", key=key, placeholder="optional", help=view.TRAIN_SIZE_HELP)
    try:
        view.train_size(text)
    except NmfdiagError as error:
        st.error(str(error), icon=":material/error:")
        return str(error)
    return ""


def _select_source(
    role: str, folder: Path, files: list[str], suffixes: tuple[str, ...], data_sets: Sequence[str] = (), help: str = ""
) -> Source:
    """Draw the choice of a data set, a listed file, or an upload."""
    kinds = [UPLOAD, *([DATA_SET] if data_sets else []), *([SERVER] if files else [])]
    kind = kinds[0] if len(kinds) == 1 else select_one(f"{role} from", kinds, f"{role}_from", segmented=True)
    if kind == UPLOAD:
        extensions = [suffix.removeprefix(".") for suffix in suffixes]
        upload = st.file_uploader(f"upload of {role}", extensions, key=f"_upload_{role}", help=help)
        st.caption(view.upload(st.get_option("server.maxUploadSize")))
        if upload is None:
            return None
        return upload.name, lambda private: browse.save_upload(private, role, upload.name, upload.getbuffer(), suffixes)
    if kind == DATA_SET:
        name = select_option("data set", data_sets, {}, help=help)
        return name, lambda _: Path(name)
    name = select_option(f"{role} in {for_markdown(str(folder))}", files, {}, help=help, key=role)
    return name, lambda _: browse.path_inside(folder, name)


def select_option(
    label: str,
    options: Sequence[str],
    titles: Mapping[str, str],
    *,
    accept_new: bool = False,
    help: str = "",
    key: str = "",
) -> str:
    """Draw a choice of one option that survives page switches; with ``accept_new`` another value can be typed."""
    key = f"_pick_{key or label}"
    if not accept_new and st.session_state.get(key) not in options:
        st.session_state.pop(key, None)
    value = st.selectbox(
        label, options, key=key, help=help or None, accept_new_options=accept_new, persist_state="session",
        format_func=lambda option: titles.get(option, option),
    )  # fmt: skip
    return value if value and (accept_new or value in options) else options[0]  # a browser may send an unknown option


def _prepare(kind: str, name_key: str, size_key: str, source: Source, data: Source, options: dict[str, Any]) -> Prepare:
    """Return the function that turns the choices into what is opened, once there is a private folder for uploads."""
    assert source is not None and data is not None
    (file_name, file_path), (_, data_path) = source, data

    def opening(folder: Path) -> Opening:
        name = browse.proposed_name(st.session_state.get(name_key) or file_name)  # as typed when the button is clicked
        if kind == RAW:
            return Opening(name, activations=file_path(folder))
        if size_key in st.session_state:  # else the network is opened again
            options["train_size"] = view.train_size(st.session_state[size_key])
        return Opening(name, weights=file_path(folder), data=str(data_path(folder)), **options)

    return opening
