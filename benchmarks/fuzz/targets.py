"""What is fuzzed: every parser of ours takes bytes, text or numbers, and either answers or says what is wrong.

A target is a strategy of hypothesis and a function of what it draws and an empty folder. Whatever the function raises is a finding,
but for :class:`nmfdiag.NmfdiagError`; so is what runs code (each pickle that is drawn would write a file) and what leaves the folder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brought import (
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
    matching,
    mnist,
    pickled_file,
    safetensors_file,
    spoken_digits,
    states,
    urban_sound,
)  # fmt: skip
from drawing import NAMES, archives_of_arrays, changed, mutated, text_of, written, zipped
from hypothesis import strategies as st
from kept import (
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
    runs,
    words,
    zoo_entry,
)  # fmt: skip

from nmfdiag.data.files import decode_image, load_image_folder, load_npz
from nmfdiag.data.imagenet import read_class_index
from nmfdiag.zoo.open_network import open_activations


@dataclass(frozen=True)
class Target:
    """One parser."""

    name: str
    drawn: st.SearchStrategy[Any]
    run: Callable[[Any, Path], object]
    slow: bool = False
    """Whether an example takes a tenth of a second or more."""


TARGETS: tuple[Target, ...] = (
    Target("checkpoint, safetensors", mutated(SAFE), safetensors_file),
    Target("checkpoint, pickled", mutated(PICKLED), pickled_file),
    Target("weights to architecture", states(), matching, slow=True),
    Target("samples .npz", mutated(SAMPLES) | archives_of_arrays(("x", "y")), lambda c, f: load_npz(written(f, "a.npz", c))),
    Target("activations .npz", mutated(ACTIVATIONS) | archives_of_arrays(("x", "y", "weight")), lambda c, f: open_activations(written(f, "a.npz", c))),
    Target("zip of images", mutated(PACKED), lambda c, f: load_image_folder(written(f, "a.zip", c), "train")),
    Target("folder of images", st.lists(st.tuples(NAMES, st.sampled_from(IMAGES[:4])), max_size=4), folder_of_images),
    Target("image", mutated(IMAGES), lambda c, f: decode_image("a.png", c)),
    Target("UrbanSound8K", st.tuples(mutated(SOUNDS), mutated([TABLE]), st.just("1-3-0-0.wav") | NAMES.filter(lambda n: len(n.encode("utf-8", "replace")) < 99 and n.isprintable())), urban_sound),
    Target("spoken digits", st.tuples(mutated(SOUNDS), st.just(False)) | st.tuples(mutated([zipped({"3_ann_9.wav": SOUNDS[0]}, 8)]), st.just(True)), spoken_digits),
    Target("MNIST's files", st.tuples(mutated(IDX), mutated(IDX)), mnist),
    Target("class index", changed(INDEX).map(text_of) | mutated([text_of(INDEX)]), lambda c, f: read_class_index(written(f, "a.json", c))),
    Target("runs", changed(RUN).map(lambda lines: b"\n".join(map(text_of, lines)) + b"\n") | mutated([b"\n".join(map(text_of, RUN)) + b"\n"]), runs, slow=True),
    Target("entry of the zoo", changed(ENTRY).map(text_of) | mutated([text_of(ENTRY)]), zoo_entry, slow=True),
    Target("check of a network", changed(CHECK).map(text_of) | mutated([text_of(CHECK)]), check, slow=True),
    Target("row of the cache", st.fixed_dictionaries({}, optional=CELLS), cache_row, slow=True),
    Target("settings of the cache", st.dictionaries(SETTING, st.text(max_size=8).map(lambda t: t.encode("utf-8", "replace").decode()) | st.integers(-9, 9) | st.none() | st.binary(max_size=8), min_size=1, max_size=3), cache_settings, slow=True),
    Target("file of the cache", mutated([database()]), cache_file, slow=True),
    Target("names and words", st.text(st.characters(codec=None), max_size=30) | st.from_regex(r"[\d.,/-]{0,20}", fullmatch=True), words),
)  # fmt: skip
