"""All our parsers as targets: each takes bytes, text or numbers, and either answers or raises a named error.

A target is a strategy of hypothesis and a function of what it draws and an empty folder. Whatever the function raises is a finding,
but for :class:`nmfdiag.NmfdiagError`; so is what runs code (each pickle that is drawn would write a file) and what leaves the folder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from stored_file_parsers import (
    CELLS,
    CHECK,
    ENTRY,
    RUN,
    SETTING,
    cache_file,
    cache_row,
    cache_settings,
    check,
    database,
    names,
    runs,
    zoo_entry,
)  # fmt: skip
from strategies import NAMES, archives_of_arrays, changed_record, mutated_bytes, text_of, write_file, zip_bytes
from user_file_parsers import (
    ACTIVATIONS,
    IDX,
    IMAGES,
    INDEX,
    PACKED,
    PICKLED,
    SAFE,
    SAMPLES,
    SOUNDS,
    TABLE,
    folder_of_images,
    match_architecture,
    mnist,
    pickled_file,
    safetensors_file,
    spoken_digits,
    states,
    urban_sound,
)  # fmt: skip

from nmfdiag.data.files import decode_image, load_image_folder, load_npz
from nmfdiag.data.imagenet import read_class_index
from nmfdiag.zoo.open_network import open_activations


@dataclass(frozen=True)
class Target:
    """One parser."""

    name: str
    strategy: st.SearchStrategy[Any]
    run: Callable[[Any, Path], object]
    slow: bool = False
    """Whether an example takes a tenth of a second or more."""


TARGETS: tuple[Target, ...] = (
    Target("checkpoint, safetensors", mutated_bytes(SAFE), safetensors_file),
    Target("checkpoint, pickled", mutated_bytes(PICKLED), pickled_file),
    Target("weights to architecture", states(), match_architecture, slow=True),
    Target("samples .npz", mutated_bytes(SAMPLES) | archives_of_arrays(("x", "y")), lambda c, f: load_npz(write_file(f, "a.npz", c))),
    Target("activations .npz", mutated_bytes(ACTIVATIONS) | archives_of_arrays(("x", "y", "weight")), lambda c, f: open_activations(write_file(f, "a.npz", c))),
    Target("zip of images", mutated_bytes(PACKED), lambda c, f: load_image_folder(write_file(f, "a.zip", c), "train")),
    Target("folder of images", st.lists(st.tuples(NAMES, st.sampled_from(IMAGES[:4])), max_size=4), folder_of_images),
    Target("image", mutated_bytes(IMAGES), lambda c, f: decode_image("a.png", c)),
    Target("UrbanSound8K", st.tuples(mutated_bytes(SOUNDS), mutated_bytes([TABLE]), st.just("1-3-0-0.wav") | NAMES.filter(lambda n: len(n.encode("utf-8", "replace")) < 99 and n.isprintable())), urban_sound),
    Target("spoken digits", st.tuples(mutated_bytes(SOUNDS), st.just(False)) | st.tuples(mutated_bytes([zip_bytes({"3_ann_9.wav": SOUNDS[0]}, 8)]), st.just(True)), spoken_digits),
    Target("MNIST's files", st.tuples(mutated_bytes(IDX), mutated_bytes(IDX)), mnist),
    Target("class index", changed_record(INDEX).map(text_of) | mutated_bytes([text_of(INDEX)]), lambda c, f: read_class_index(write_file(f, "a.json", c))),
    Target("runs", changed_record(RUN).map(lambda lines: b"\n".join(map(text_of, lines)) + b"\n") | mutated_bytes([b"\n".join(map(text_of, RUN)) + b"\n"]), runs, slow=True),
    Target("entry of the zoo", changed_record(ENTRY).map(text_of) | mutated_bytes([text_of(ENTRY)]), zoo_entry, slow=True),
    Target("check of a network", changed_record(CHECK).map(text_of) | mutated_bytes([text_of(CHECK)]), check, slow=True),
    Target("row of the cache", st.fixed_dictionaries({}, optional=CELLS), cache_row, slow=True),
    Target("settings of the cache", st.dictionaries(SETTING, st.text(max_size=8).map(lambda t: t.encode("utf-8", "replace").decode()) | st.integers(-9, 9) | st.none() | st.binary(max_size=8), min_size=1, max_size=3), cache_settings, slow=True),
    Target("file of the cache", mutated_bytes([database()]), cache_file, slow=True),
    Target("names and words", st.text(st.characters(codec=None), max_size=30) | st.from_regex(r"[\d.,/-]{0,20}", fullmatch=True), names),
)  # fmt: skip
