"""Support covers of zoo networks: keys, the queue, the cache, and what a request can get wrong."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from timeouts import wait_until

from nmfdiag.errors import Cancelled, NmfdiagError
from nmfdiag.jobs.cache import CurveCache
from nmfdiag.jobs.compute import probe_batch
from nmfdiag.jobs.cover_support import cover
from nmfdiag.jobs.queue import Jobs
from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest, SupportRequest, support_requests
from nmfdiag.measures.support.cover import SupportCover
from nmfdiag.networks.matrix_fold import fold
from nmfdiag.networks.split import SplitNetwork
from nmfdiag.zoo.registry import lookup

REQUEST = SupportRequest("digits-cnn-p1-s0", "conv2_1", 3, per_class=10, rows=20)


@pytest.fixture(scope="module")
def support() -> SupportCover:
    """Return the request's cover."""
    return cover(REQUEST, device="cpu")


def test_a_cover_is_that_of_the_layers_activations(support: SupportCover) -> None:
    entry = lookup(REQUEST.entry)
    batch = probe_batch(entry.load_pool(), CurveRequest(REQUEST.entry, REQUEST.layer, 3, per_class=10))
    network = SplitNetwork(entry.load_model(), batch.inputs[:2])
    activation = network.cut(REQUEST.layer, batch.inputs).activation
    S = fold(activation, network.layer(REQUEST.layer).channel_dim).numpy() > 0
    assert (support.n_rows, support.n_channels) == S.shape and support.density == pytest.approx(S.mean())
    assert support.n_distinct_rows == len(np.unique(S, axis=0)) and support.n_dead == (~S).all(0).sum()
    rows = {row.tobytes() for row in S[:, list(support.channels)]}
    assert all(row.tobytes() in rows for row in support.matrix) and len(support.support) <= 20
    assert sum(support.times) <= support.n_rows and support.provenance["device"] == "cpu"


def test_everything_that_changes_the_answer_is_in_the_key() -> None:
    variants = [
        replace(REQUEST, **{name: value})
        for name, value in {
            "entry": "digits-cnn-p0-s0", "layer": "conv2_2", "class_idx": MULTI_CLASS, "per_class": 20, "rows": 31,
            "channels": 20, "seed": 1,
        }.items()
    ]  # fmt: skip
    assert len({request.key for request in [REQUEST, *variants]}) == len(variants) + 1
    assert REQUEST.key == replace(REQUEST).key != CurveRequest("digits-cnn-p1-s0", "conv2_1", 3).key


def test_the_layer_shown_comes_first() -> None:
    networks = [lookup("digits-cnn-p0-s0"), lookup("digits-cnn-p1-s0")]
    requests = support_requests(networks, "conv2_2", class_idx=0)
    assert [r.layer for r in requests[:2]] == ["conv2_2"] * 2 and requests[2].layer == next(iter(networks[0].layers))
    assert len(requests) == len(set(requests)) == 2 * len(networks[0].layers)
    with pytest.raises(NmfdiagError, match="Unknown layer 'conv9'"):
        support_requests(networks, "conv9", class_idx=0)


def test_the_queue_computes_and_keeps_them(support: SupportCover, tmp_path: Path) -> None:
    """The same request gives the same cover, computed directly or by the queue."""
    queue = Jobs(CurveCache(tmp_path), "cpu")
    bad = replace(REQUEST, class_idx=99)
    queue.ask([REQUEST, bad], "reader")
    wait_until(lambda: queue.status([REQUEST, bad]).finished)
    assert queue.status([bad]).failed[bad.key].startswith("Class 99 has 0 samples")
    assert queue.results([REQUEST])[REQUEST].upper_bound >= 1
    assert replace(queue.results([REQUEST])[REQUEST], provenance={}) == replace(support, provenance={})
    queue.cache.close()


def test_it_can_be_cancelled() -> None:
    def stop(_share: float, _step: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        cover(REQUEST, device="cpu", on_progress=stop)


def test_an_unknown_layer_or_network_is_explained() -> None:
    with pytest.raises(NmfdiagError, match="Unknown layer 'conv9_9'"):
        cover(replace(REQUEST, layer="conv9_9"), device="cpu")
    with pytest.raises(NmfdiagError, match="no network 'nobody'"):
        cover(replace(REQUEST, entry="nobody"), device="cpu")


def test_a_request_is_made_without_torch_and_scikit_learn() -> None:
    code = (
        "import sys; import nmfdiag.jobs.cover_support, nmfdiag.jobs.queue, nmfdiag.views.support.figures; "
        "print([m for m in ('torch', 'sklearn', 'scipy', 'streamlit') if m in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
