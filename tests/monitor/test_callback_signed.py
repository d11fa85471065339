"""The monitor beside a transformer: signed NMF of its GELUs, and nothing of the training is disturbed."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from nmfdiag.data.datasets import load
from nmfdiag.errors import NmfdiagError
from nmfdiag.monitor.callback import MemorizationMonitor
from nmfdiag.monitor.run_reader import monitored_runs
from nmfdiag.views.epochs import ALL
from nmfdiag.views.training_runs.figures import live_figure, map_figure
from nmfdiag.views.training_runs.tables import MONITORED_MEASURES, epoch_table, lines_of, map_table, method_of, reading

LAYERS = [f"encoder.layers.encoder_layer_{i}.mlp.1" for i in (0, 1)]


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    dataset = load("digits")
    return dataset.inputs[:60].float().div(255).expand(-1, 3, -1, -1).contiguous(), dataset.labels[:60]


def trained(data: tuple[Tensor, Tensor], monitor: MemorizationMonitor | None = None) -> nn.Module:
    torch.manual_seed(0)
    model = VisionTransformer(8, 4, 2, 2, 12, 24, dropout=0.1)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    for epoch in range(1, 4):
        model.train()
        for batch in torch.randperm(60).split(20):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(data[0][batch]), data[1][batch])
            loss.backward()
            optimizer.step()
        if monitor is not None:
            monitor.on_epoch_end(model, epoch, train_loss=loss.item())
    return model


def test_a_transformers_training_is_watched_and_left_alone(digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    monitor = MemorizationMonitor(*digits, activations="all", overhead=1e9, folder=tmp_path / "vit", per_class=4)
    watched, alone = trained(digits, monitor), trained(digits)
    states = zip(watched.state_dict().values(), alone.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in states) and watched.training
    assert [set(line["curves"]) for line in monitor.history] == [{"signed", "random"}] * 3
    assert all(list(line["curves"]["signed"]) == LAYERS for line in monitor.history)
    assert monitor.method == "signed" and monitor.best_epoch in (1, 2, 3)
    head = json.loads((tmp_path / "vit" / "run.jsonl").read_text().splitlines()[0])
    assert head["probe"]["method"] == "signed" and head["probe"]["measures"] == ["signed", "random"]


def test_the_page_goes_by_the_runs_method(digits: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    trained(
        digits, MemorizationMonitor(*digits, methods=["signed"], overhead=1e9, folder=tmp_path / "vit", per_class=4)
    )
    [run], problems = monitored_runs(tmp_path)
    assert not problems and method_of(run.run) == "signed"
    measure = MONITORED_MEASURES["absolute"]
    judged = reading("vit", run, measure, ALL, 0)
    values = [line["curves"]["signed"] for line in run.run.epochs]
    assert list(judged.values) == [1, 2, 3]
    assert judged.values[1] == pytest.approx(sum(values[0][layer]["auc"] for layer in LAYERS) / 2)
    figure = live_figure(lines_of({"vit": run}), measure, [judged], layers=ALL, window=1, growing=False)
    names = {trace.name for trace in figure.data}
    assert {"Signed-split NMF (extension)", "random ablation"} <= names
    assert len(map_table("vit", run.run, measure)) == len(map_figure("vit", run.run, measure).data[1].x) == 6
    assert "Signed-split NMF (extension) AuC" in epoch_table({"vit": run}, measure, ALL)


def test_without_being_told_it_finds_no_layer(digits: tuple[Tensor, Tensor], caplog: pytest.LogCaptureFixture) -> None:
    monitor = MemorizationMonitor(*digits)
    assert monitor.method == "nmf"
    assert monitor.on_epoch_end(VisionTransformer(8, 4, 1, 2, 12, 24), 1)["curves"] == {}
    assert "no ReLU layer (found: 1 GELU)" in caplog.text and 'activations="all"' in caplog.text
    with pytest.raises(NmfdiagError, match="Unknown activations"):
        MemorizationMonitor(*digits, activations="gelu")
