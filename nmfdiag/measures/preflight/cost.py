"""How long a profile will take and how much memory it needs, from a few small measurements on the machine that it will run on.

A curve is a cut, one factorisation, and one run of the rest of the network for each rank; each batch takes a run of the whole network
more, and the first cut at a layer the runs that check it. They are timed on as many samples as take a moment, at a few layers and
ranks; time is proportional to samples. NMF is run with few iterations on few rows, and what is missing is scaled from there: how much
that is, is a property of the algorithm and not of a machine.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nmfdiag.errors import NmfdiagError
from nmfdiag.factorize import default_ranks, nmf_batch, pca
from nmfdiag.factorize.memory import factorization_bytes
from nmfdiag.factorize.signed import has_negative, parts_of
from nmfdiag.measures.compression import STARTS
from nmfdiag.measures.methods import method_of
from nmfdiag.measures.tail import Tail
from nmfdiag.networks.fold import fold
from nmfdiag.networks.layers import ReluLayer
from nmfdiag.networks.split import PIECE_BYTES, SplitNetwork

MOMENT, AFFORDABLE, BUDGET = 0.05, 0.4, 6.0
"""Seconds of one timed run, of one run to get activations, and of all measurements together."""
SEVERAL = 8
"""Samples in a run at least, where that is affordable."""
MEASURED = 8
"""Layers measured at most; the others are taken to be like the nearest."""
ROWS, ITERATIONS = 2048, 32
"""Rows and iterations of a trial factorisation."""
UNFINISHED = 1.9
"""Time to come after these iterations, as a share of the time they took, where no rank has converged (measured on 33 layers of seven
networks: .6 to 2.6 where hardly any has, 0 to .6 where most have)."""
FURTHER_ROWS = 0.25
"""What each further row costs, as a share of one of the trial's: the first iterations are on few rows whatever their number (measured on
the same layers: .14 to .48)."""
DRAWS = 10  # of random ablation
AT_RANKS = 3
HEAD_ROOM = 1.25  # of what lies between two modules: the input's copy, and what the convolution needs beside


@dataclass(frozen=True)
class Cost:
    """What a whole profile takes, in seconds, and its memory at the peak, in bytes above what is loaded."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class _Trial:
    """Measurements at one layer: seconds that its first cut takes more than others, seconds a sample of a cut and at some ranks,
    seconds of each method's factorisation.
    """

    layer: ReluLayer
    first: float
    cut: float
    tail: dict[int, float]
    solving: dict[str, float]
    carries: int
    copied: bool
    signed: bool

    def tail_at(self, k: int) -> float:
        """Seconds a sample at any rank, on the line between those measured."""
        ranks = sorted(self.tail)
        below = max((r for r in ranks if r <= k), default=ranks[0])
        above = min((r for r in ranks if r >= k), default=ranks[-1])
        if below == above:
            return self.tail[below]
        return self.tail[below] + (self.tail[above] - self.tail[below]) * (k - below) / (above - below)


def measured_cost(
    network: SplitNetwork,
    inputs: Tensor,
    layers: Sequence[ReluLayer],
    sizes: Sequence[int],
    methods: Mapping[str, Sequence[str]],
    bytes_a_sample: int,
) -> Cost:
    """Estimate what a profile costs.

    Args:
        network: The network.
        inputs: Samples of one class (n, ...): the largest batch.
        layers: The layers that will be measured.
        sizes: How many samples each batch has.
        methods: For each layer's name, the methods that measure it.
        bytes_a_sample: Of the largest module's input and output.

    Raises:
        NmfdiagError: If the network can't take the inputs.
    """
    begun, timed = time.perf_counter(), _Stopwatch(inputs)
    n = len(inputs)
    methods = {layer: [method_of(name).costs_like for name in names] for layer, names in methods.items()}
    few, a_sample = _a_moment(network, inputs, timed)
    trials: dict[int, _Trial] = {}
    for place in _spread(len(layers)):
        if len(trials) > 1 and time.perf_counter() - begun > BUDGET:
            break
        try:
            trials[place] = _trial(
                network, layers[place], inputs, few, a_sample, methods[layers[place].name], len(sizes), timed
            )
        except NmfdiagError:  # dead on these samples
            continue
    seconds, peak = sum(sizes) * a_sample, int(HEAD_ROOM * bytes_a_sample * n)
    for place, layer in enumerate(layers):
        if not trials:
            break
        trial = trials[min(trials, key=lambda measured: (abs(measured - place), measured))]
        seconds += trial.first
        alike = min(trials.values(), key=lambda trial: _unlike(trial.layer, layer))
        for method in methods[layer.name]:
            group = len(sizes) if _on_gpu(inputs) else 1  # factorised in one call
            seconds += _solving(alike, layer, method) * sum((size / n) ** 0.9 for size in sizes) / group
            seconds += sum(sizes) * (trial.cut + _tails(trial, layer, method, n))
            peak = max(peak, _bytes(trial, layer, method, n, bytes_a_sample) * group)
    return Cost(seconds * timed.slowness, peak)


def places_of(layer: ReluLayer) -> int:
    """Rows of the activation matrix for each sample."""
    return max(1, torch.Size(layer.output_shape).numel() // layer.width)


def _a_moment(network: SplitNetwork, inputs: Tensor, timed: "_Stopwatch") -> tuple[int, float]:
    """How many samples the network runs on in a moment, and its seconds a sample."""
    few = min(2, len(inputs))
    while True:
        took = timed(partial(network.logits, inputs[:few]))
        growth = min(4.0, 1.5 * MOMENT / max(took, 1e-6))
        if took > MOMENT:  # of few samples it may be the time to read the weights
            growth = SEVERAL / few if took * SEVERAL / few <= AFFORDABLE else 1.0
        if growth <= 1 or few == len(inputs):
            return few, took / few
        few = min(len(inputs), max(few + 1, int(few * growth)))


def _trial(
    network: SplitNetwork,
    layer: ReluLayer,
    inputs: Tensor,
    few: int,
    a_sample: float,
    methods: Sequence[str],
    n_batches: int,
    timed: "_Stopwatch",
) -> _Trial:
    places, n = places_of(layer), len(inputs)
    wanted = max(few, -(-ROWS // places))
    several = inputs[: min(n, wanted, max(few, int(AFFORDABLE / max(a_sample, 1e-6))))]
    first = timed(partial(network.cut, layer.name, several), again=False)
    cut = network.cut(layer.name, several)
    matrix = fold(cut.activation, layer.channel_dim)
    copied = matrix.data_ptr() != cut.activation.data_ptr()
    A, signed = _some_rows(matrix.float()), has_negative(matrix)
    if not bool(A.any()):
        raise NmfdiagError(f"Layer {layer.name!r} is dead on these samples.")
    solving = {}
    for method in methods:
        X = parts_of(A) if method == "signed" and signed else A
        solving[method] = _factorising(
            method, X, _iterated(method, len(A), layer.width, signed), n_batches, timed
        ) * _more_rows(method, n * places, len(A))
    batch = inputs[:few]
    cutting = (
        timed(partial(network.cut, layer.name, batch)) / few
    )  # the second one, which knows the batch's logits, as most do
    small = network.cut(layer.name, batch)
    carries = sum(one.nbytes for one in small.carried if isinstance(one, Tensor)) // few
    tail = Tail(network, small, torch.zeros(few, dtype=torch.int64), None)
    tail.baseline_accuracy()
    width = layer.width
    ranks = _iterated("nmf", n * places, width, signed) or [1]
    chosen = {ranks[round(i * (len(ranks) - 1) / (AT_RANKS - 1))] for i in range(AT_RANKS)}
    random = torch.Generator(inputs.device).manual_seed(0)  # the caller's own is left alone
    W, H = (
        torch.rand(shape, generator=random, device=inputs.device)
        for shape in ((few * places, max(chosen)), (max(chosen), width))
    )
    seconds = {k: timed(partial(tail.accuracy, W[:, :k], H[:k])) / few for k in chosen}
    first = max(0.0, first - len(several) * (a_sample + cutting))
    return _Trial(layer, first, cutting, seconds, solving, carries, copied, signed)


def _factorising(method: str, A: Tensor, ranks: list[int], n_batches: int, timed: "_Stopwatch") -> float:
    """Seconds of one factorisation of the rows given, to convergence; on a GPU of as many as there are batches."""
    if method == "random" or not ranks:
        return 0.0
    if method == "pca":
        return timed(lambda: pca(A, ranks), again=False)
    batch = A.expand(n_batches if _on_gpu(A) else 1, -1, -1).contiguous()
    options: dict[str, Any] = {"n_starts": STARTS, "max_iter": ITERATIONS}
    solved = nmf_batch(batch, [1], **options)  # prepares what is prepared once
    took = timed(lambda: solved.extend(nmf_batch(batch, ranks, **options)), again=False)
    one = solved[-1]
    left = sum(k for k, done in zip(one.ranks, one.converged, strict=True) if not done) / sum(one.ranks)
    return took * (1 + UNFINISHED * left**2)


def _more_rows(method: str, rows: int, measured: int) -> float:
    share = 1.0 if method == "pca" else FURTHER_ROWS
    return 1 + share * max(0.0, rows / measured - 1)


def _solving(trial: _Trial, layer: ReluLayer, method: str) -> float:
    """Seconds of a factorisation at a layer, from those at the layer measured that is most like it."""
    mine, theirs = (places_of(one) ** 0.9 * one.width**1.3 for one in (layer, trial.layer))
    return trial.solving.get(method, 0.0) * mine / theirs


def _unlike(one: ReluLayer, other: ReluLayer) -> float:
    """How much larger one layer's matrix is than the other's, in both directions together."""
    places, widths = (abs(math.log(a / b)) for a, b in ((places_of(one), places_of(other)), (one.width, other.width)))
    return places + widths


def _tails(trial: _Trial, layer: ReluLayer, method: str, n: int) -> float:
    """Seconds a sample of all ranks at a layer, and of the two points beside them."""
    rows, width = n * places_of(layer), layer.width
    runs = sum(trial.tail_at(k) for k in _iterated(method, rows, width, trial.signed))
    if method == "random":
        return DRAWS * runs
    return runs + (2 * trial.tail_at(1) if trial.carries else 0.0)


def _iterated(method: str, rows: int, width: int, signed: bool) -> list[int]:
    """The ranks of a matrix at which there is something to do: all but the one that is exact."""
    ranks = default_ranks(width if method == "random" else min(rows, width))
    more = method == "signed" and signed and min(rows, 2 * width) > ranks[-1]
    return ranks if more else ranks[:-1]


def _bytes(trial: _Trial, layer: ReluLayer, method: str, n: int, bytes_a_sample: int) -> int:
    rows, width = n * places_of(layer), layer.width
    A = rows * width * 4
    held = A * (2 if trial.copied else 1) + n * trial.carries
    ranks, how = (
        _iterated(method, rows, width, trial.signed),
        "nmf" if method == "signed" and not trial.signed else method,
    )
    held += factorization_bytes(rows, width, ranks, method=how, n_starts=STARTS)
    piece = max(1, min(n, PIECE_BYTES * n // A))
    return held + int(HEAD_ROOM * piece * bytes_a_sample)


def _some_rows(A: Tensor) -> Tensor:
    if len(A) <= ROWS:
        return A.contiguous()
    chosen = torch.randperm(len(A), generator=torch.Generator().manual_seed(0))[:ROWS].sort().values
    return A[chosen.to(A.device)]


def _spread(n: int) -> list[int]:
    """Places of the layers to measure: the first, the last, and those in the middle of what lies between."""
    found, step = [0, n - 1], 1
    while len(found) < min(MEASURED, n):
        step *= 2
        found += [place for i in range(1, step, 2) if (place := i * (n - 1) // step) not in found]
    return list(dict.fromkeys(found))[: min(MEASURED, n)]


class _Stopwatch:
    """Times short runs. Where one thread computes, on a machine that others use too, their share comes in by chance: there a run is
    timed by what the processor spent on it, and all of them together say how much longer the clock takes.
    """

    def __init__(self, on: Tensor):
        self.device = on.device
        self.by_processor = on.device.type == "cpu" and torch.get_num_threads() == 1
        self.clock = self.processor = 0.0

    def __call__(self, run: Callable[[], object], *, again: bool = True) -> float:
        """Seconds of a run; of the second one where the first may have prepared something."""
        took = 0.0
        for _ in range(2 if again else 1):
            self._wait()
            clock, processor = time.perf_counter(), time.process_time()
            run()
            self._wait()
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            self.clock += clock
            self.processor += processor
            took = processor if self.by_processor else clock
            if took > 4 * MOMENT:
                break
        return took

    @property
    def slowness(self) -> float:
        """What seconds of the runs are to be multiplied by to be seconds of the clock."""
        return self.clock / self.processor if self.by_processor and self.processor else 1.0

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _on_gpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cuda"
