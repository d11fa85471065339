"""The time and memory of a diagnosis, estimated from a few small measurements on the machine that it will run on.

A curve is a cut, one factorisation, and one run of the rest of the network per rank; each batch also takes a run of the whole
network, and the first cut at a layer the runs that check it. These are timed on a few samples, at a few layers and ranks; time is
proportional to samples. Scoring the labels takes some runs of the whole network on all samples. NMF is run with few iterations on few rows and scaled by constants below, which are properties of the
algorithm, not of a machine.
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
from nmfdiag.networks.layers import ReluLayer
from nmfdiag.networks.matrix_fold import fold
from nmfdiag.networks.split import PIECE_BYTES, SplitNetwork

MOMENT, AFFORDABLE, BUDGET = 0.05, 0.4, 6.0
"""Durations in seconds: of one timed run, of one run to get activations, and of all measurements together."""
FEWEST_SAMPLES_TIMED = 8
"""Least samples in a timed run, if affordable."""
MOST_LAYERS = 8
"""Measured layers at most; the others are taken to be like the nearest."""
ROWS, ITERATIONS = 2048, 32
"""Rows and iterations of a trial factorisation."""
UNFINISHED = 1.9
"""Remaining time after these iterations, as a share of their time, if no rank has converged (measured on 33 layers of seven networks:
.6 to 2.6 if hardly any has, 0 to .6 if most have)."""
FURTHER_ROWS = 0.25
"""Cost of each further row, as a share of one of the trial's: the first iterations use few rows whatever their number (measured on
the same layers: .14 to .48)."""
LABEL_RUNS = 12
"""Runs of the network on every sample whose label is scored, copies among them (measured on eight networks: 7 to 12)."""
LABEL_SECONDS = 2.0
"""Seconds that a diagnosis takes beside the curves whatever the network, most of them to load libraries (on the same networks: 1.4 to 2.2)."""
LABEL_SECONDS_PER_LAYER = 0.02
"""Seconds of each layer's probe (on the same networks: .01 to .04)."""
DRAWS = 10
"""Draws of random ablation."""
N_TRIAL_RANKS = 3
HEAD_ROOM = 1.25
"""Memory of a module's run, as a multiple of its input and output: the copy of the input, and buffers of the convolution."""


@dataclass(frozen=True)
class Cost:
    """The cost of a whole diagnosis.

    Attributes:
        seconds: Its duration.
        label_seconds: The part of it that scores the labels.
        bytes: Its peak memory above what is loaded.
    """

    seconds: float = 0.0
    label_seconds: float = 0.0
    bytes: int = 0


@dataclass(frozen=True)
class _Trial:
    """Measurements at one layer: extra seconds of its first cut, seconds per sample of a cut and of the rest of the network at some
    ranks, and seconds of each method's factorisation.
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
        """Return seconds per sample at any rank, interpolated between measured ones."""
        ranks = sorted(self.tail)
        below = max((r for r in ranks if r <= k), default=ranks[0])
        above = min((r for r in ranks if r >= k), default=ranks[-1])
        if below == above:
            return self.tail[below]
        return self.tail[below] + (self.tail[above] - self.tail[below]) * (k - below) / (above - below)


def estimate_cost(
    network: SplitNetwork,
    inputs: Tensor,
    layers: Sequence[ReluLayer],
    sizes: Sequence[int],
    methods: Mapping[str, Sequence[str]],
    bytes_per_sample: int,
    n_scored: int,
) -> Cost:
    """Estimate the cost of a diagnosis: a profile, and the scores of labels.

    Args:
        network: The network.
        inputs: Samples of one class (n, ...): the largest batch.
        layers: The layers that will be measured.
        sizes: Samples of each batch.
        methods: Methods that measure each layer, by its name.
        bytes_per_sample: Size of the largest module's input and output, per sample.
        n_scored: Samples whose labels are scored.

    Raises:
        NmfdiagError: If the network can't take the inputs.
    """
    start, stopwatch = time.perf_counter(), _Stopwatch(inputs)
    n = len(inputs)
    methods = {layer: [method_of(name).costs_like for name in names] for layer, names in methods.items()}
    n_moment, seconds_per_sample = _samples_per_moment(network, inputs, stopwatch)
    trials: dict[int, _Trial] = {}
    for place in _spread_places(len(layers)):
        if len(trials) > 1 and time.perf_counter() - start > BUDGET:
            break
        try:
            trials[place] = _measure_layer(
                network,
                layers[place],
                inputs,
                n_moment,
                seconds_per_sample,
                methods[layers[place].name],
                len(sizes),
                stopwatch,
            )
        except NmfdiagError:  # dead on these samples
            continue
    label_seconds = LABEL_SECONDS + LABEL_SECONDS_PER_LAYER * len(layers) + LABEL_RUNS * n_scored * seconds_per_sample
    seconds, peak = label_seconds + sum(sizes) * seconds_per_sample, int(HEAD_ROOM * bytes_per_sample * n)
    for place, layer in enumerate(layers):
        if not trials:
            break
        trial = trials[min(trials, key=lambda trial_place: (abs(trial_place - place), trial_place))]
        seconds += trial.first
        most_similar = min(trials.values(), key=lambda trial: _size_distance(trial.layer, layer))
        for method in methods[layer.name]:
            group = len(sizes) if _on_gpu(inputs) else 1  # factorised in one call
            seconds += _solving_seconds(most_similar, layer, method) * sum((size / n) ** 0.9 for size in sizes) / group
            seconds += sum(sizes) * (trial.cut + _tail_seconds(trial, layer, method, n))
            peak = max(peak, _peak_bytes(trial, layer, method, n, bytes_per_sample) * group)
    return Cost(seconds * stopwatch.slowness, label_seconds * stopwatch.slowness, peak)


def places_of(layer: ReluLayer) -> int:
    """Return the rows of the activation matrix per sample."""
    return max(1, torch.Size(layer.output_shape).numel() // layer.width)


def _samples_per_moment(network: SplitNetwork, inputs: Tensor, stopwatch: "_Stopwatch") -> tuple[int, float]:
    """Return the number of samples that the network runs on in :data:`MOMENT`, and its seconds per sample."""
    n_samples = min(2, len(inputs))
    while True:
        seconds = stopwatch(partial(network.logits, inputs[:n_samples]))
        growth = min(4.0, 1.5 * MOMENT / max(seconds, 1e-6))
        if seconds > MOMENT:  # with few samples this may be the time to read the weights
            growth = (
                FEWEST_SAMPLES_TIMED / n_samples if seconds * FEWEST_SAMPLES_TIMED / n_samples <= AFFORDABLE else 1.0
            )
        if growth <= 1 or n_samples == len(inputs):
            return n_samples, seconds / n_samples
        n_samples = min(len(inputs), max(n_samples + 1, int(n_samples * growth)))


def _measure_layer(
    network: SplitNetwork,
    layer: ReluLayer,
    inputs: Tensor,
    n_moment: int,
    seconds_per_sample: float,
    methods: Sequence[str],
    n_batches: int,
    stopwatch: "_Stopwatch",
) -> _Trial:
    places, n = places_of(layer), len(inputs)
    n_wanted = max(n_moment, -(-ROWS // places))
    larger_batch = inputs[: min(n, n_wanted, max(n_moment, int(AFFORDABLE / max(seconds_per_sample, 1e-6))))]
    first_seconds = stopwatch(partial(network.cut, layer.name, larger_batch), again=False)
    cut = network.cut(layer.name, larger_batch)
    matrix = fold(cut.activation, layer.channel_dim)
    copied = matrix.data_ptr() != cut.activation.data_ptr()
    A, signed = _row_sample(matrix.float()), has_negative(matrix)
    if not bool(A.any()):
        raise NmfdiagError(f"Layer {layer.name!r} is dead on these samples.")
    solving = {}
    for method in methods:
        X = parts_of(A) if method == "signed" and signed else A
        solving[method] = _factorization_seconds(
            method, X, _inexact_ranks(method, len(A), layer.width, signed), n_batches, stopwatch
        ) * _row_factor(method, n * places, len(A))
    batch = inputs[:n_moment]
    cut_seconds = (
        stopwatch(partial(network.cut, layer.name, batch)) / n_moment
    )  # the second one, which knows the batch's logits, as most do
    batch_cut = network.cut(layer.name, batch)
    carried_bytes = sum(value.nbytes for value in batch_cut.carried if isinstance(value, Tensor)) // n_moment
    tail = Tail(network, batch_cut, torch.zeros(n_moment, dtype=torch.int64), None)
    tail.baseline_accuracy()
    width = layer.width
    ranks = _inexact_ranks("nmf", n * places, width, signed) or [1]
    trial_ranks = {ranks[round(i * (len(ranks) - 1) / (N_TRIAL_RANKS - 1))] for i in range(N_TRIAL_RANKS)}
    random = torch.Generator(inputs.device).manual_seed(0)  # the caller's own is left alone
    W, H = (
        torch.rand(shape, generator=random, device=inputs.device)
        for shape in ((n_moment * places, max(trial_ranks)), (max(trial_ranks), width))
    )
    seconds = {k: stopwatch(partial(tail.accuracy, W[:, :k], H[:k])) / n_moment for k in trial_ranks}
    first_seconds = max(0.0, first_seconds - len(larger_batch) * (seconds_per_sample + cut_seconds))
    return _Trial(layer, first_seconds, cut_seconds, seconds, solving, carried_bytes, copied, signed)


def _factorization_seconds(method: str, A: Tensor, ranks: list[int], n_batches: int, stopwatch: "_Stopwatch") -> float:
    """Return the seconds of one factorisation to convergence; on a GPU of as many as there are batches."""
    if method == "random" or not ranks:
        return 0.0
    if method == "pca":
        return stopwatch(lambda: pca(A, ranks), again=False)
    batch = A.expand(n_batches if _on_gpu(A) else 1, -1, -1).contiguous()
    options: dict[str, Any] = {"n_starts": STARTS, "max_iter": ITERATIONS}
    solutions = nmf_batch(batch, [1], **options)  # compiles and prepares once
    seconds = stopwatch(lambda: solutions.extend(nmf_batch(batch, ranks, **options)), again=False)
    solution = solutions[-1]
    unfinished_share = sum(
        k for k, converged in zip(solution.ranks, solution.converged, strict=True) if not converged
    ) / sum(solution.ranks)
    return seconds * (1 + UNFINISHED * unfinished_share**2)


def _row_factor(method: str, rows: int, trial_rows: int) -> float:
    share = 1.0 if method == "pca" else FURTHER_ROWS
    return 1 + share * max(0.0, rows / trial_rows - 1)


def _solving_seconds(trial: _Trial, layer: ReluLayer, method: str) -> float:
    """Return the seconds of a factorisation at a layer, scaled from the measured layer of the most similar size."""
    layer_work, trial_work = (
        places_of(sized_layer) ** 0.9 * sized_layer.width**1.3 for sized_layer in (layer, trial.layer)
    )
    return trial.solving.get(method, 0.0) * layer_work / trial_work


def _size_distance(first: ReluLayer, second: ReluLayer) -> float:
    """Return the distance of two layers' matrix sizes on the log scale, over rows and channels."""
    places, widths = (
        abs(math.log(a / b)) for a, b in ((places_of(first), places_of(second)), (first.width, second.width))
    )
    return places + widths


def _tail_seconds(trial: _Trial, layer: ReluLayer, method: str, n: int) -> float:
    """Return the seconds per sample of all ranks at a layer, and of the two extra points of a curve."""
    rows, width = n * places_of(layer), layer.width
    runs = sum(trial.tail_at(k) for k in _inexact_ranks(method, rows, width, trial.signed))
    if method == "random":
        return DRAWS * runs
    return runs + (2 * trial.tail_at(1) if trial.carries else 0.0)


def _inexact_ranks(method: str, rows: int, width: int, signed: bool) -> list[int]:
    """Return the ranks of a matrix that need computation: all but the exact one."""
    ranks = default_ranks(width if method == "random" else min(rows, width))
    beyond_smaller_side = method == "signed" and signed and min(rows, 2 * width) > ranks[-1]
    return ranks if beyond_smaller_side else ranks[:-1]


def _peak_bytes(trial: _Trial, layer: ReluLayer, method: str, n: int, bytes_per_sample: int) -> int:
    rows, width = n * places_of(layer), layer.width
    A = rows * width * 4
    n_bytes = A * (2 if trial.copied else 1) + n * trial.carries
    ranks, estimated_as = (
        _inexact_ranks(method, rows, width, trial.signed),
        "nmf" if method == "signed" and not trial.signed else method,
    )
    n_bytes += factorization_bytes(rows, width, ranks, method=estimated_as, n_starts=STARTS)
    piece = max(1, min(n, PIECE_BYTES * n // A))
    return n_bytes + int(HEAD_ROOM * piece * bytes_per_sample)


def _row_sample(A: Tensor) -> Tensor:
    if len(A) <= ROWS:
        return A.contiguous()
    positions = torch.randperm(len(A), generator=torch.Generator().manual_seed(0))[:ROWS].sort().values
    return A[positions.to(A.device)]


def _spread_places(n: int) -> list[int]:
    """Return the places of the layers to measure: the first, the last, and repeatedly the middles between."""
    places, step = [0, n - 1], 1
    while len(places) < min(MOST_LAYERS, n):
        step *= 2
        places += [place for i in range(1, step, 2) if (place := i * (n - 1) // step) not in places]
    return list(dict.fromkeys(places))[: min(MOST_LAYERS, n)]


class _Stopwatch:
    """A timer of short runs. A run with one thread is timed by processor time, since other programs disturb the clock by chance; all
    runs together give the ratio of the clock to processor time.
    """

    def __init__(self, tensor: Tensor):
        self.device = tensor.device
        self.by_processor = tensor.device.type == "cpu" and torch.get_num_threads() == 1
        self.clock = self.processor = 0.0

    def __call__(self, run: Callable[[], object], *, again: bool = True) -> float:
        """Return the seconds of a run; with ``again`` of the second run, since the first may prepare something."""
        seconds = 0.0
        for _ in range(2 if again else 1):
            self._wait()
            clock, processor = time.perf_counter(), time.process_time()
            run()
            self._wait()
            clock, processor = time.perf_counter() - clock, time.process_time() - processor
            self.clock += clock
            self.processor += processor
            seconds = processor if self.by_processor else clock
            if seconds > 4 * MOMENT:
                break
        return seconds

    @property
    def slowness(self) -> float:
        """Factor from seconds of the runs to seconds of the clock."""
        return self.clock / self.processor if self.by_processor and self.processor else 1.0

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _on_gpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cuda"
