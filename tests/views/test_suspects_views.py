"""The page *Suspects* on real and planted suspects: lists, marks, sentences, pictures and figures."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from nmfdiag.diagnosis.suspects_text import class_sentence, truth_sentence
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.jobs.score_labels import score
from nmfdiag.measures.suspects.noise_rate import NoiseRate
from nmfdiag.measures.suspects.result import Suspects
from nmfdiag.plots.sample_images import SMALL
from nmfdiag.text import percent
from nmfdiag.views.suspects import sentences, tables
from nmfdiag.views.suspects.figures import components_figure, layers_figure, precision_recall_figure
from nmfdiag.views.suspects.marks import FINE, UNSURE, WRONG, Mark, marks_json, marks_table, precision_of
from nmfdiag.views.suspects.thumbnails import LARGE, _bars, kind_of, pixels_of, thumbnails
from nmfdiag.zoo.pool_rows import pool_rows, true_labels
from nmfdiag.zoo.registry import lookup

NAME = "digits-mlp-p0.2-s0"


@pytest.fixture(scope="module")
def suspects() -> Suspects:
    return score(SuspectsRequest(NAME), device="cpu")


def rows(suspects: Suspects, **options: object) -> list[int]:
    defaults = {"sort": "score", "list_name": "all", "class_idx": None, "marks": {}}
    return tables.listed_rows(suspects, **(defaults | options)).tolist()  # type: ignore[arg-type]


def test_lists(suspects: Suspects) -> None:
    all_rows = rows(suspects)
    assert all_rows == suspects.order.tolist()
    by_loss = rows(suspects, sort="loss")
    assert (np.diff(suspects.components["loss"][by_loss]) <= 0).all() and by_loss != all_rows
    of_three = rows(suspects, class_idx=3)
    assert of_three == [row for row in all_rows if suspects.given[row] == 3]
    n_wrong = round(suspects.noise_rate.estimate * 1000)
    assert rows(suspects, list_name="look wrong") == all_rows[:n_wrong] and 100 < n_wrong < 250
    assert rows(suspects, list_name="top 100") == all_rows[:100]
    index = int(suspects.indices[all_rows[5]])
    assert rows(suspects, list_name="marked", marks={index: Mark(FINE)}) == [all_rows[5]]
    assert all_rows[5] not in rows(suspects, list_name="not marked", marks={index: Mark(FINE)})
    twice = replace(suspects, duplicates=((int(suspects.indices[9]), int(suspects.indices[4])),))
    assert sorted(rows(twice, list_name="repeated")) == [4, 9] and rows(suspects, list_name="repeated") == []
    unclear = replace(suspects, noise_rate=NoiseRate(0.0, 0.0, 0.02, 1000))
    assert rows(unclear, list_name="look wrong") == []
    assert "no label looks wrong for certain" in sentences.empty_sentence("look wrong", unclear)
    with_nan = replace(suspects, components=suspects.components | {"history": np.full(1000, np.nan)})
    assert rows(with_nan, sort="history") == all_rows
    table = tables.sample_table(suspects, np.array(of_three[:4]), {int(suspects.indices[of_three[1]]): Mark(WRONG)})
    assert table["index"].tolist() == suspects.indices[of_three[:4]].tolist()
    assert table["mark"].tolist() == ["", "wrong", "", ""] and set(table["given"]) == {"3"}


def test_marks(suspects: Suspects) -> None:
    first = [int(suspects.indices[row]) for row in suspects.order[:10]]
    marks = {index: Mark(WRONG) for index in first[:8]} | {first[8]: Mark(FINE), first[9]: Mark(UNSURE)}
    marks[first[0]] = Mark(WRONG, 9)
    precision = precision_of(marks)
    z, n, share = 1.959964, 9, 8 / 9  # Wilson's interval, from its formula
    centre, half = share + z**2 / (2 * n), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert precision and (precision.n_wrong, precision.n_decided) == (8, 9)
    assert precision.low == pytest.approx((centre - half) / (1 + z**2 / n), abs=1e-4)
    assert precision.high == pytest.approx((centre + half) / (1 + z**2 / n), abs=1e-4)
    text = sentences.precision_sentence(marks, suspects)
    assert text.startswith("**Marked wrong: 8 of 9, 89 %** (95\u00a0%: 57 % to 98 %), 1 unsure. ")
    assert text.endswith(f"expects {percent(suspects.expected_precision(10))} of the 10 most suspicious.")
    deeper = int(suspects.indices[suspects.order[199]])
    assert f"expects {percent(suspects.expected_precision(200))} of the 200 most" in sentences.precision_sentence(
        marks | {deeper: Mark(FINE)}, suspects
    )
    unknown = replace(suspects, noise_rate=NoiseRate(0.0, 0.0, 1.0, 1000, "nothing is known"))
    assert sentences.precision_sentence(marks, unknown).endswith("What to expect is not known, since the rate isn't.")
    assert "W, F, U" in sentences.precision_sentence({}, suspects) and precision_of({1: Mark(UNSURE)}) is None
    table = marks_table(marks, suspects).set_index("index")
    assert table.index.tolist() == sorted(first) and table.loc[first[0], "new_label"] == 9
    assert table.loc[first[1], "new_label"] == suspects.suggested[suspects.rows([first[1]])[0]]
    assert table.loc[first[8:], "new_label"].isna().all()
    record = json.loads(marks_json(marks, suspects, lookup(NAME)))
    assert record["network"] == NAME and len(record["marks"]) == 10 and record["schema"] == "nmfdiag-marks-1"
    assert {entry["index"]: entry["new_label"] for entry in record["marks"]}[first[8]] is None


def test_the_most_suspicious_class_is_named_where_one_stands_out(suspects: Suspects) -> None:
    assert class_sentence(suspects).startswith("No class has clearly more")  # labels were drawn evenly
    n = 1000
    planted_score = np.where(suspects.given == 3, 0.9, 0.1) + np.arange(n) / (100 * n)
    planted = replace(suspects, score=planted_score, noise_rate=NoiseRate(0.05, 0.03, 0.07, n))
    size = int((suspects.given == 3).sum())
    assert f"class: 3, with 50 of its {size} labels among the 50 most" in class_sentence(planted)
    assert class_sentence(replace(suspects, noise_rate=NoiseRate(0, 0, 1, n, "why"))) == ""


def test_what_is_said_of_a_sample(suspects: Suspects) -> None:
    row = int(suspects.order[2])
    index = int(suspects.indices[row])
    text = sentences.sample_sentence(suspects, row, suspects.reasons(index))
    assert f"Score {suspects.score[row]:.2f}, rank 3 of 1,000." in text
    assert f"{suspects.layers_against[row]} of {len(suspects.layers)} layer" in text
    other_index = next(int(i) for i in suspects.indices if suspects.given[i] != suspects.given[row])
    repeated = replace(suspects, duplicates=((index, other_index),))
    assert "One of them must be wrong" in sentences.repeat_sentence(repeated, repeated.reasons(index))
    assert sentences.repeat_sentence(suspects, suspects.reasons(index)) == ""


def test_pictures_are_the_samples() -> None:
    entry = lookup(NAME)
    [small], [large] = thumbnails(entry, [3]), thumbnails(entry, [3], LARGE)
    [sample] = pool_rows(entry, [3])
    for uri, side in ((small, SMALL), (large, LARGE)):
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))
        assert image.shape == (side, side) and len(uri) < 3000
        assert np.array_equal(image[:: side // 8, :: side // 8], sample[0])
    sound = lookup("spoken_digits-audio_cnn-p0.5-s0")
    [spectrum] = pool_rows(sound, [0])
    pixels = pixels_of(sound, spectrum)
    darkness = 255 - pixels.mean(-1)
    assert kind_of(sound) == "spectrogram" and np.corrcoef(darkness[::-1].ravel(), spectrum[0].ravel())[0, 1] > 0.9
    maps = replace(sound, input_shape=(7, 64, 64))  # fewer samples than those that tell the range of a value
    assert kind_of(maps) == "values" and pixels_of(maps, spectrum).shape == (64, 64, 3)
    bars = _bars(np.array([0.0, 0.5, 1.0]))
    assert (bars[..., 3] > 0).sum(0)[[0, 32, 64]].tolist() == [1, 30, 60] and not bars[:, 31].any()
    wide = replace(entry, input_shape=(3, 200, 100))
    photo = np.random.default_rng(0).integers(0, 256, (3, 200, 100)).astype(np.uint8)
    assert kind_of(wide) == "image" and np.array_equal(pixels_of(wide, photo), photo.transpose(1, 2, 0))
    assert pixels_of(wide, np.full((3, 200, 100), 0.5, np.float32)).max() == 127


def test_figures_draw_what_was_measured(suspects: Suspects) -> None:
    row = int(suspects.order[0])
    figure = layers_figure(suspects, row, 0.2)
    by_name = {trace.name: trace for trace in figure.data if trace.name}
    assert list(by_name["read for the score"].x) == list(suspects.layers)
    log_odds = [suspects.against_by_layer[layer][row] for layer in suspects.layers]
    assert list(by_name["read for the score"].y) == pytest.approx(1 / (1 + np.exp(-np.array(log_odds))), rel=1e-5)
    truth = true_labels(lookup(NAME))
    assert truth is not None
    qualities = tables.qualities(suspects, truth)
    assert set(qualities) == {"score", *suspects.components}
    assert {trace.name for trace in precision_recall_figure(suspects, truth, 0.2).data} == {"chance", *qualities}
    dots = components_figure(qualities, 0.2).data[0]
    assert list(dots.x) == [quality.auroc for quality in qualities.values()] and list(dots.y) == list(qualities)
    assert "187 of 1,000 are wrong" in truth_sentence(suspects, truth, qualities["score"])
    assert "all right" in truth_sentence(
        suspects, suspects.given, tables.qualities(suspects, suspects.given).get("score")
    )
