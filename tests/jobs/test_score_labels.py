"""Suspects of zoo networks: keys, the queue, the cache, cancelling, and the samples that a page shows."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from own_network import copy_network
from timeouts import wait_until

from nmfdiag.errors import Cancelled, NmfdiagError
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.queue import Jobs
from nmfdiag.jobs.requests import SuspectsRequest
from nmfdiag.jobs.score_labels import score
from nmfdiag.measures.suspects.features import BATCH
from nmfdiag.measures.suspects.stored import from_payload, to_payload
from nmfdiag.views.suspects.marks import WRONG, Mark, marks_table
from nmfdiag.zoo.pool_rows import has_numbers, pool_rows, true_labels
from nmfdiag.zoo.registry import lookup, refresh
from nmfdiag.zoo.store import store

REQUEST = SuspectsRequest("digits-mlp-p0.2-s0")


def test_the_queue_computes_and_keeps_them(tmp_path: Path) -> None:
    queue, unknown = Jobs(CurveCache(tmp_path), "cpu"), SuspectsRequest("digits-mlp-p0.2-s1")
    queue.ask([REQUEST], "reader")
    wait_until(lambda: queue.status([REQUEST]).finished)
    assert queue.status([REQUEST]).failed == {} and queue.results([unknown]) == {}
    queue.close()
    queue.cache.close()
    stored = CurveCache(tmp_path).get(REQUEST.key)  # as another process reads it
    pool = lookup(REQUEST.entry).load_pool()
    assert np.array_equal(stored.given, pool.given_labels.numpy())
    assert stored.provenance["key"] == REQUEST.key and stored.provenance["seconds"] > 0
    wrong = (pool.given_labels != pool.true_labels).numpy()
    assert wrong[stored.order[:100]].mean() > 0.9


def test_progress_is_told_and_it_can_be_cancelled() -> None:
    shares: list[float] = []

    def stop(share: float, _step: str) -> None:
        shares.append(share)
        if share > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        score(REQUEST, device="cpu", on_progress=stop)
    assert shares == sorted(shares) and len(shares) > 2 * 1000 / BATCH  # every batch can be cancelled
    with pytest.raises(NmfdiagError, match="no network 'nobody'"):
        score(SuspectsRequest("nobody"), device="cpu")


def test_rows_of_the_pool_are_those_that_torch_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = lookup("spoken_digits-audio_cnn-p0.5-s0")
    pool = entry.load_pool()
    rows = [5, 200, 0]
    normalised = (pool_rows(entry, rows).astype(np.float32) - np.float32(entry.mean)) / np.float32(entry.std)
    assert np.allclose(normalised, pool.inputs[rows].numpy(), atol=1e-4)
    truth = true_labels(entry)
    assert truth is not None and np.array_equal(truth, pool.true_labels.numpy())
    with pytest.raises(NmfdiagError, match="can't be read"):
        pool_rows(entry, [len(pool.inputs)])
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path))
    copy_network("mine", tmp_path)
    users_entry = lookup("mine")
    assert true_labels(users_entry) is None and len(pool_rows(users_entry, [1])) == 1
    content = bytearray(users_entry.files["pool"].read_bytes())
    content[-1] ^= 1
    users_entry.files["pool"].write_bytes(content)
    with pytest.raises(NmfdiagError, match="is not the one"):
        pool_rows(users_entry, [1])
    with pytest.raises(NmfdiagError, match="is missing"):
        pool_rows(replace(users_entry, pool="gone"), [1])
    refresh()


def test_samples_keep_the_numbers_that_they_have_in_the_users_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = lookup(REQUEST.entry)
    pool = entry.load_pool()
    numbers, file_names = torch.arange(len(pool.inputs)) * 3 + 5, [f"{i}.png" for i in range(len(pool.inputs))]
    monkeypatch.setenv("NMFDIAG_ZOO", str(tmp_path))
    draft = replace(entry, called="numbered", pool="numbered", folder=tmp_path / "numbered")
    labels = pool.given_labels
    store(draft, entry.load_model(), pool.inputs, labels, labels, sample_rows=numbers, file_names=file_names)
    refresh()
    suspects = score(SuspectsRequest("numbered"), device="cpu")
    assert suspects.indices.tolist() == numbers.tolist() and has_numbers(lookup("numbered")) and not has_numbers(entry)
    copy = from_payload(to_payload(suspects))
    first = int(copy.indices[copy.order[0]])
    table = marks_table({first: Mark(WRONG)}, copy)
    assert table.to_dict("records")[0]["file"] == f"{(first - 5) // 3}.png" and table["index"].tolist() == [first]
    refresh()


def test_a_page_needs_no_torch_for_them() -> None:
    code = (
        "import sys; import nmfdiag.jobs.score_labels, nmfdiag.jobs.cache, nmfdiag.views.suspects.figures, nmfdiag.views.suspects.sentences; "
        "from nmfdiag.views.suspects.thumbnails import thumbnails; from nmfdiag.zoo.registry import lookup; "
        f"thumbnails(lookup({REQUEST.entry!r}), [0]); "
        "print([m for m in ('torch', 'sklearn', 'scipy', 'streamlit') if m in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
