"""Class folders match a network's outputs, or are refused."""

import json
from pathlib import Path

import pytest

from nmfdiag.data.imagenet import ClassList, class_folders, folders_named, image_files, read_class_index
from nmfdiag.errors import NmfdiagError

PAIRS = [("n01440764", "tench"), ("n01443537", "goldfish"), ("n02012849", "crane"), ("n03126707", "crane")]
CLASSES = ClassList.from_names([name for _, name in PAIRS])


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
    return folder


def index_file(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_two_classes_of_one_name_are_told_apart() -> None:
    assert CLASSES.names == ("tench", "goldfish", "crane (2)", "crane (3)")
    assert CLASSES.place("crane") is None and CLASSES.place("Crane_(3)") == 3


def test_a_name_of_digits_goes_before_a_number() -> None:
    digits = ClassList.from_names(["2", "0", "1"])
    assert [digits.place(word) for word in ("2", "0", "1", "02")] == [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["goldfish", "tench"], {0: "tench", 1: "goldfish"}),
        (["Gold_Fish", "3"], None),
        (["GOLDFISH", "003"], {1: "GOLDFISH", 3: "003"}),
        (["n3", "n1", "n4", "n2"], {0: "n1", 1: "n2", 2: "n3", 3: "n4"}),
        (["n01440764"], None),
        (["9"], None),
    ],
)
def test_folders(tmp_path: Path, names: list[str], expected: dict[int, str] | None) -> None:
    make(tmp_path, ".hidden", *names)
    if expected is None:
        with pytest.raises(
            NmfdiagError, match=rf"The class folder '{names[0]}' in .* was not recognised: .*--class-index"
        ):
            class_folders(tmp_path, CLASSES)
    else:
        assert {c: path.name for c, path in class_folders(tmp_path, CLASSES).items()} == expected


def test_wordnet_ids_with_a_class_index(tmp_path: Path) -> None:
    index = index_file(tmp_path / "index.json", {str(i): pair for i, pair in enumerate(PAIRS)})
    classes = read_class_index(index)
    assert classes.names == CLASSES.names
    folder = make(tmp_path / "images", "n03126707", "n01443537", "0")
    assert list(class_folders(folder, classes)) == [0, 1, 3]
    assert list(folders_named(folder, classes, ["goldfish", "n03126707"])) == [1, 3]
    assert list(folders_named(folder, classes, ["3"])) == [3]


def test_two_folders_of_one_class(tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match=r"The folders '0' and 'tench' in .* are both of class 0 \(tench\)"):
        class_folders(make(tmp_path, "0", "tench"), CLASSES)


def test_a_class_without_a_folder(tmp_path: Path) -> None:
    make(tmp_path, "tench", "goldfish")
    for word in ("2", "shark"):
        with pytest.raises(NmfdiagError, match=rf"Class '{word}' has no folder in .*; it has tench, goldfish\.$"):
            folders_named(tmp_path, CLASSES, [word])


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match="Expected a folder CLASS/IMAGE"):
        class_folders(tmp_path / "nowhere", CLASSES)
    with pytest.raises(NmfdiagError, match=r"has no folder for any class: expected CLASS/IMAGE"):
        class_folders(tmp_path, CLASSES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no json", "can't be read, expected"),
        ("[" * 100_000, "can't be read, expected"),
        ({"1": ["n01440764", "tench"]}, "can't be read, expected"),
        (3, "can't be read, expected"),
        ({"0": "tench"}, "must give a WordNet id and a name for 0, got 'tench'"),
        ({"0": ["n01440764", 7]}, "must give a WordNet id and a name for 0"),
    ],
)
def test_a_class_index_that_is_none(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(NmfdiagError, match=rf"^The class index index\.json {message}"):
        read_class_index(index_file(tmp_path / "index.json", content))


def test_a_class_index_that_is_missing_or_far_too_large(tmp_path: Path) -> None:
    with pytest.raises(NmfdiagError, match=r"The class index none\.json can't be read"):
        read_class_index(tmp_path / "none.json")
    with pytest.raises(NmfdiagError, match="more than 4 MiB"):
        read_class_index(index_file(tmp_path / "index.json", " " * (2**22 + 1)))


def test_images_are_the_first_by_name_and_none_from_elsewhere(tmp_path: Path) -> None:
    folder = make(tmp_path / "a", "tench") / "tench"
    for name in ("b.JPEG", "a.png", "c.jpg", "notes.txt", "._a.png"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    (folder / "0.png").symlink_to(tmp_path / "secret.png")
    assert [path.name for path in image_files(folder, 2)] == ["a.png", "b.JPEG"]
    assert len(image_files(folder)) == 3
