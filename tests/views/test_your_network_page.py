"""The page *Your network* without a browser: what it offers, how it opens, and an open network."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
import torch
from headless_pages import open_page, plots, run_until, settled
from own_network import CHECK, copy_command, copy_network
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import TextInput

from nmfdiag.data.normalization import NORMALIZATIONS
from nmfdiag.errors import NmfdiagError
from nmfdiag.jobs import open_process
from nmfdiag.jobs.open_process import EXAMPLE_NAME, Opening
from nmfdiag.measures.preflight.network_check import preflight
from nmfdiag.networks.architectures import ARCHITECTURES, TORCHVISION_NAMES
from nmfdiag.ui.frame import INSIDE_APP
from nmfdiag.views import your_network
from nmfdiag.zoo.registry import refresh


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder with empty models, data and zoo, for a server that has opened nothing."""
    for variable, name in (("NMFDIAG_MODELS", "models"), ("NMFDIAG_DATA", "data"), ("NMFDIAG_ZOO", "zoo")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    st.cache_resource.clear()
    refresh()
    yield tmp_path
    st.cache_resource.clear()
    refresh()


@pytest.fixture
def opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Opening]:
    """Return the requests to open a network; a copy of a shipped network stands in for each."""
    openings: list[Opening] = []
    monkeypatch.setattr(open_process, "open_command", copy_command(home / "zoo", openings))
    return openings


def page(**link: str) -> AppTest:
    return open_page("your_network", **link)


def button(app: AppTest, label: str) -> object:
    return next((b for b in app.button if b.label == label), None)


def size_field(app: AppTest) -> TextInput:
    [field] = [field for field in app.text_input if field.label == "training-set size"]
    return field


def click(app: AppTest, label: str) -> AppTest:
    app.session_state[INSIDE_APP] = True  # as app.py leaves it while it runs a page; the test runs the page alone
    app = button(app, label).click().run()  # type: ignore[attr-defined]
    assert not app.exception
    return app


def texts(app: AppTest) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.caption, app.warning, app.error) for element in kind)


def until(app: AppTest, text: str) -> AppTest:
    return run_until(app, lambda app: text in texts(app))


@pytest.mark.parametrize(("per_class", "seconds"), [(10, 18.0), (25, 30.0), (50, 50.0), (100, 50.0)])
def test_the_estimate_scales_the_curves_alone(per_class: int, seconds: float) -> None:
    assert your_network.takes(CHECK["preflight"], per_class) == pytest.approx(
        seconds
    )  # 10 s for labels, 40 s for curves of 50 samples
    older = {name: value for name, value in CHECK["preflight"].items() if name != "label_seconds"}
    assert your_network.takes(older, per_class) == pytest.approx(min(50, per_class))


def test_it_offers_every_kind_that_can_be_opened() -> None:
    assert set(your_network.NORMALIZATIONS) == set(NORMALIZATIONS)
    assert list(your_network.architectures()) == ["auto", *ARCHITECTURES, *TORCHVISION_NAMES]


def test_an_empty_server_explains_where_weights_go_and_offers_an_example(home: Path) -> None:
    app = page()
    assert app.title[0].value == "Does my network memorise?" and not app.exception and not plots(app)
    assert str(home / "models") in texts(app) and f'"{home}/models/mine.pt"' in app.code[-1].value
    assert button(app, "Try it with an example") and button(app, "Open and check").disabled  # type: ignore[attr-defined]
    assert "Choose weights and samples first." in texts(app) and "At most 200 MB. Deleted after the check." in texts(
        app
    )
    assert "torchvision" in texts(app) and "--model package.module:function --weights mine.pt" in app.code[-2].value


def test_files_are_listed_and_the_chosen_ones_are_opened(home: Path, opened: list[Opening]) -> None:
    hostile = "![x](http:__evil) <b>.pt"
    for name in ("models/first.pt", f"models/{hostile}", "data/a.npz", "data/b.zip"):
        (home / name).write_bytes(b"x")
    (home / "models" / "out.pt").symlink_to("/etc/hostname")
    app = page(weights_from="file on this server", samples_from="file on this server")
    assert app.selectbox(key="_pick_weights").options == [hostile, "first.pt"]
    app.selectbox(key="_pick_weights").select("first.pt")
    app.selectbox(key="_pick_samples").select("b.zip")
    app.selectbox(key="_pick_architecture").select("vgg19")
    app.selectbox(key="_pick_normalisation").select("half").run()
    size_field(app).input("50,000").run()
    app.text_input(key="_name_first").input("my net!").run()
    app = until(click(app, "Open and check"), "my-net · ")
    opening = {"weights": home / "models" / "first.pt", "data": str(home / "data" / "b.zip"), "arch": "vgg19"}
    assert opened == [Opening("my-net", **opening, normalization="half", train_size=50_000)]  # type: ignore[arg-type]
    assert app.selectbox(key="network").value == "my-net" and not app.error


@pytest.mark.parametrize(
    ("text", "size"),
    [("", None), ("  ", None), ("2", 2), (" 500 ", 500), ("50000", 50_000), ("1,281,167", 1_281_167)],
)
def test_a_typed_training_set_size(text: str, size: int | None) -> None:
    assert your_network.train_size(text) == size


NO_SIZES = [
    "0",
    "1",
    "-5",
    "+5",
    "1.5",
    "1,5",
    "1e20",
    "5e3",
    "1,0000",
    "1_000",
    "²",
    "٣٣",
    "many",
    "9" * 13,
    "9" * 9999,
]


@pytest.mark.parametrize("text", NO_SIZES)
def test_what_is_no_training_set_size(text: str) -> None:
    with pytest.raises(NmfdiagError, match=r"has to be a whole number from 2 to 1,000,000,000,000"):
        your_network.train_size(text)


def test_a_network_with_an_impossible_size_is_not_opened(home: Path, opened: list[Opening]) -> None:
    for name in ("models/first.pt", "models/second.pt", "data/a.npz", "data/b.npz"):
        (home / name).write_bytes(b"x")
    app = page(weights_from="file on this server", samples_from="file on this server")
    size_field(app).input("500").run()
    assert not app.error and not button(app, "Open and check").disabled  # type: ignore[attr-defined]
    size_field(app).input("1").run()
    assert "whole number from 2" in app.error[0].value and button(app, "Open and check").disabled  # type: ignore[attr-defined]
    for key, option in (("_pick_weights", "second.pt"), ("_pick_samples", "b.npz")):
        size_field(app).input("500").run()
        app.selectbox(key=key).select(option).run()
        assert size_field(app).value == "" and not app.error
    size_field(app).input("500").run()
    size_field(app).input("1")
    click(app, "Open and check")  # before the page could refuse the size
    assert not opened and "whole number from 2" in app.error[0].value
    size_field(app).input("500").run()
    until(click(app, "Open and check"), "second · ")
    app.selectbox(key="network").select("open one").run()
    assert size_field(app).value == "" and [opening.train_size for opening in opened] == [500]


def test_uploads_go_to_a_private_folder_that_is_gone_afterwards(home: Path, opened: list[Opening]) -> None:
    app = page()
    app.file_uploader(key="_upload_weights").set_value(("../../x y.pt", b"abc", "application/octet-stream"))
    app.file_uploader(key="_upload_samples").set_value(("s.npz", b"abc", "application/octet-stream")).run()
    assert app.text_input(key="_name_x-y").value == "x-y"
    app = until(click(app, "Open and check"), "x-y")
    [opening] = opened
    assert opening.weights is not None and opening.weights.name == "x-y.pt" and not opening.weights.parent.exists()
    folder = opening.weights.parents[1]
    assert Path(opening.data) == folder / "samples" / "s.npz" and not folder.exists()


def test_raw_activations_are_a_second_way(home: Path, opened: list[Opening]) -> None:
    (home / "data" / "a.npz").write_bytes(b"x")
    app = page(way="raw activations", activations_from="file on this server")
    assert "after its ReLU" in texts(app)
    until(click(app, "Open and check"), "a · ")
    assert opened == [Opening("a", activations=home / "data" / "a.npz")]


def test_the_reason_of_a_failure_is_shown_as_plain_text(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = 'import sys; sys.exit(\'{"error": "layer1.*: ![x](http://evil) is missing"}\')'
    monkeypatch.setattr(open_process, "open_command", lambda opening: [sys.executable, "-c", code])
    app = until(click(page(), "Try it with an example"), "was not opened")
    assert r"layer1.\*: \!\[x\]" in app.error[0].value and button(app, "Open and check")


def test_it_can_be_cancelled(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, time; sys.stderr.write(' 50%|#| 00:01 checking'); sys.stderr.flush(); time.sleep(600)"
    monkeypatch.setattr(open_process, "open_command", lambda opening: [sys.executable, "-c", code])
    app = click(page(), "Try it with an example")
    assert button(app, "Cancel") and button(app, "Open and check").disabled  # type: ignore[attr-defined]
    app = click(app, "Cancel")
    assert button(app, "Open and check") and not app.error and not (home / "zoo" / EXAMPLE_NAME).exists()


def test_the_example_is_checked_diagnosed_reported_and_removed(home: Path, opened: list[Opening]) -> None:
    app = until(click(page(n="10", grid="coarse"), "Try it with an example"), r"a \*remark\*")
    assert app.selectbox(key="network").value == EXAMPLE_NAME
    # 10 s for labels, and a fifth of 40 s for curves of 50 samples: 18 s within a factor of two
    assert [metric.value for metric in app.metric][:3] == ["87.5%", "5", "about 9 to 40 s"] and not plots(app)
    assert "(1 left out)" in texts(app) and "50 curves: every layer on every class, 10 samples a batch" in texts(app)
    app = settled(click(app, "Diagnose"))
    assert not app.error and len(plots(app)) == 3 and "is the least linear layer" in texts(app)
    assert ":material/" in app.markdown[0].value and "Second opinion: reference networks" in texts(app)
    assert all(question in texts(app) for question in ("Are labels wrong?", "Does it memorise?", "Expected error"))
    assert [expander.label for expander in app.expander if "see" in expander.label] == ["What the answers can't see"]
    assert {"Report (HTML)", "Numbers (JSON)"} < {b.label for b in app.get("download_button")}
    assert [tab.label for tab in app.tabs] == ["How to read it", "Table", "Settings and provenance"]
    app = click(app, f"Remove {EXAMPLE_NAME}")
    assert app.selectbox(key="network").value == "open one" and not (home / "zoo" / EXAMPLE_NAME).exists()


def test_it_can_be_opened_again_with_the_normalisation_that_fits(home: Path, opened: list[Opening]) -> None:
    app = until(click(page(), "Try it with an example"), r"a \*remark\*")
    app = until(click(app, "Open again, normalised as half"), r"a \*remark\*")
    assert [(opening.name, opening.normalization, opening.replaces) for opening in opened] == [
        (EXAMPLE_NAME, "auto", False), (EXAMPLE_NAME, "half", True),
    ]  # fmt: skip
    assert not app.error and app.selectbox(key="network").value == EXAMPLE_NAME


def test_the_better_normalisation_is_read_from_the_check() -> None:
    inputs, labels = torch.tensor([[0.2], [0.4], [0.6], [0.8]]), torch.tensor([0, 0, 1, 1])
    model = torch.nn.Linear(1, 2)
    with torch.no_grad():  # the first class where x < 0: right of inputs from -1 to 1
        model.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model.bias.zero_()
    result = preflight(torch.nn.Sequential(torch.nn.Identity(), model), inputs, labels)
    assert result.accuracy == 0.5
    assert your_network.better_normalization({"preflight": result.to_dict()}) in ("data", "half")
    assert your_network.better_normalization({}) == ""


def test_an_opened_network_can_be_chosen_by_its_link(home: Path) -> None:
    copy_network("mine", home / "zoo")
    app = page(network="mine")
    assert not app.exception and "mine · mlp · 5 layers" in texts(app)
    assert "came into the zoo on the command line" in texts(app)
    app = page(network="gone")
    assert 'No network "gone"' in app.info[0].value
    app = click(page(), "mine")
    assert app.selectbox(key="network").value == "mine"


def test_another_page_is_opened_with_this_network(home: Path) -> None:
    copy_network("mine", home / "zoo")
    app = page(network="mine", n="10", grid="coarse")
    app = settled(click(app, "Diagnose") if button(app, "Diagnose") else app)  # another test may have asked for it
    app = click(app, "Classes")
    assert app.title[0].value == "Which classes are memorised?" and "mine · mlp" in texts(app)


@pytest.mark.parametrize("name", ["curves", "phases", "classes", "reconstruction", "ablation", "support", "suspects"])
def test_its_label_noise_is_unknown_on_every_page(home: Path, name: str) -> None:
    copy_network("mine", home / "zoo")
    app = settled(
        open_page(name, **{"data": "mine", "arch": "mlp", "n": "10", "grid": "coarse", "layer": "fc3", "batch": "3"})
    )
    assert not app.exception and not app.error
    assert "mine · mlp · p unknown" in texts(app) and "p = 0" not in texts(app)
    assert not any(pills.key == "p" for pills in app.pills)
    figures = str([plot["data"] for plot in plots(app)])
    assert "p = ?" not in str(plots(app)) and ("mine" in figures or name == "suspects")
    assert "p = 0" not in figures and ("34,144,140" in figures or name == "support")
    assert all(
        table.value["p"].isna().all() or set(table.value["p"]) <= {"?"} for table in app.dataframe if "p" in table.value
    )
