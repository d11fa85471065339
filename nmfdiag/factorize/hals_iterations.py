"""HALS iterations on a stack of problems: A is read once per iteration, whatever the number of ranks.

A problem is one rank from one start. The problems' H are stacked. One iteration, over chunks of rows that stay in the cache:
``B = [H_1; H_2; ...] A_c^T`` is one product for all problems; each ``W_k`` is swept by HALS from its rows of ``B``; ``C = W^T A``
(one product again) and ``S_k = W_k^T W_k`` are accumulated. The exact objective follows without a residual, ``f_k = ||A||^2 -
2 <C_k, H_k> + <S_k, H_k H_k^T>``, and ``H_k`` is swept from ``C_k`` and ``S_k``, then extrapolated. Converged problems are removed.

Everything has a leading batch axis: several matrices of one shape (the classes of a layer) are solved in one call. On a GPU the
loop waits for values only to check convergence, once in :data:`CHECK_INTERVAL_ON_GPU` iterations.

References:
    A. Ang, N. Gillis, Accelerating nonnegative matrix factorization algorithms using extrapolation, 2019.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import methodcaller

import torch
from torch import Tensor

from nmfdiag.factorize.factorization import Result
from nmfdiag.factorize.kernels import Grams, Inner, Sweep
from nmfdiag.factorize.matrix import squares
from nmfdiag.factorize.progress import Progress
from nmfdiag.factorize.threads import single_threads

CHUNK, LARGEST_CHUNK = 2048, 16384
NUMBERS_IN_CACHE = 2**19
"""Count of numbers, of a chunk and its part of W, that stay in the cache."""
CHUNK_ON_GPU = 2**18
CHECK_INTERVAL_ON_GPU = 10
SWEEPS_W, SWEEPS_H = 2, 4
NEARLY_EXACT = 1e-4
"""Share of ``||A||^2`` (relative error 1 %) below which the tolerance is no longer relative to the objective."""
PATIENCE = 2
"""Number of consecutive slow iterations that end a problem: an extrapolated objective falls in waves."""
FIRST_BETA, BETA_GROWTH, BETA_CUT = 0.5, 1.05, 1.5
CHUNKS_PER_SHARE = 32
"""Largest number of chunks whose products are added in A's precision; such a group is a thread's task, and groups are added in float64."""


@dataclass
class _State:
    """State of each problem, all (batch, problems): objective, extrapolation, whether it rose, slow iterations, whether it is done."""

    f: Tensor
    beta: Tensor
    rose: Tensor
    slow: Tensor
    done: Tensor
    n_iter: Tensor

    def pick(self, problems: list[int]) -> "_State":
        return _State(*(getattr(self, entry.name)[:, problems] for entry in fields(self)))


class Stack:
    """Problems on one batch of matrices, solved together.

    Args:
        A: (batch, rows, channels), never modified, and not copied.
        starts: For each rank its starts (batch, k, channels).
        started: Start of the work (``time.perf_counter``), for the traces.

    Attributes:
        results: Result of each rank.
    """

    results: list[Result]

    def __init__(self, A: Tensor, starts: list[list[Tensor]], started: float):
        self.A, self.started = A, started
        on_cpu = A.device.type == "cpu"
        self.check_interval = 1 if on_cpu else CHECK_INTERVAL_ON_GPU
        problems = [H for rank_starts in starts for H in rank_starts]
        self.rank_of = [rank for rank, rank_starts in enumerate(starts) for _ in rank_starts]
        largest = sum(rank_starts[0].shape[1] for rank_starts in starts)
        self.chunks = A.split(_chunk_rows(largest + A.shape[2]) if on_cpu else CHUNK_ON_GPU, dim=1)
        self.threads = torch.get_num_threads() if on_cpu else 1
        self.squares = squares(A)[:, None]
        self.W = [self._zero_W(H.shape[1]) for H in problems]
        shape, device = (len(A), len(problems)), A.device
        self.state = _State(
            f=torch.full(shape, float("inf"), dtype=torch.float64, device=device),
            beta=torch.full(shape, FIRST_BETA, dtype=A.dtype, device=device),
            rose=torch.zeros(shape, dtype=torch.bool, device=device),
            slow=torch.zeros(shape, dtype=torch.int64, device=device),
            done=torch.zeros(shape, dtype=torch.bool, device=device),
            n_iter=torch.zeros(shape, dtype=torch.int64, device=device),
        )
        self.results_by_rank: dict[int, Result] = {}
        self.traces: list[list[tuple[float, Tensor]]] = [[] for _ in starts]
        H = torch.cat(problems, 1)
        self._arrange([H.shape[1] for H in problems], H, H.clone())

    def _zero_W(self, k: int) -> list[Tensor]:
        """Return a factor as chunks (batch, k, rows) of one piece of memory, which is freed with the problem."""
        widest = self.chunks[0].shape[1]
        memory = self.A.new_zeros(len(self.chunks), len(self.A), k, widest)
        return [part[:, :, : chunk.shape[1]] for part, chunk in zip(memory, self.chunks, strict=True)]

    def solve(self, tol: float, max_iter: int, report: Progress, trials: Sequence[int] = ()) -> None:
        """Iterate until every rank is finished.

        Args:
            tol: A problem is done when its objective falls by less than this share in an iteration.
            max_iter: Largest number of iterations.
            report: Called in each iteration; may raise to cancel.
            trials: Iterations after which the worse half of each rank's starts is dropped, at the last one all but the best.
        """
        next_trials = [min(trial, max_iter) for trial in trials]
        for iteration in range(1, max_iter + 1):
            self._sweep_W(SWEEPS_W if iteration > 1 else 2 * SWEEPS_W)
            self._update_convergence(tol, may_end=iteration > 1)
            if next_trials and iteration >= next_trials[0]:
                next_trials = [trial for trial in next_trials if trial > iteration]
                self._drop_worse_starts(keep_one=not next_trials)
            if iteration % self.check_interval == 0 or iteration == max_iter:
                self._remove_finished(final=iteration == max_iter)
            left = len(self.sizes)
            report(
                max(iteration / max_iter, len(self.results_by_rank) / len(self.traces)),
                f"iteration {iteration}, {left} ranks left",
            )
            if not left:
                break
            self._sweep_H(extrapolate=iteration < max_iter - 1)
        self.results = [self.results_by_rank[rank] for rank in range(len(self.traces))]

    def _arrange(self, sizes: list[int], H: Tensor, previous: Tensor) -> None:
        """Lay out the problems, and prepare the loops for their memory."""
        batch, n, device = len(self.A), len(sizes), self.A.device
        self.sizes, self.H, self.previous, self.swept = sizes, H, previous, torch.empty_like(H)
        self.owner = torch.repeat_interleave(torch.arange(n), torch.tensor(sizes, dtype=torch.int64)).to(device)
        # A rank with several starts is not done before only one of them is left.
        is_single = [self.rank_of.count(rank) == 1 for rank in self.rank_of]
        self.is_single = None if all(is_single) else torch.tensor(is_single, device=device)
        if not n:
            return
        self.G = [self.A.new_empty(batch, k, k) for k in sizes]
        size = min(CHUNKS_PER_SHARE, -(-len(self.chunks) // self.threads))
        self.groups = [
            _ChunkGroup(self, range(i, min(i + size, len(self.chunks)))) for i in range(0, len(self.chunks), size)
        ]
        self.C, self.S = self.groups[0].C, self.groups[0].S
        Hs, Cs = self._parts(self.H), self._parts(self.C)
        self.gram_of_H = Grams(Hs, self.G)
        self.sweep_H = Sweep(self._parts(self.swept), Cs, self.S)
        self.inner_with_H, self.inner_of_grams = Inner(Cs, Hs), Inner(self.S, self.G)

    def _parts(self, X: Tensor) -> Sequence[Tensor]:
        """Return the problems' parts of a stacked tensor."""
        return X.split(self.sizes, dim=1)

    def _sweep_W(self, sweeps: int) -> None:
        """Sweep every W; leave ``W^T A`` in C (batch, K, channels), ``W^T W`` in S and ``H H^T`` in G."""
        self.gram_of_H()
        if len(self.groups) == 1:
            self.groups[0].gather(sweeps)
            return
        gather = methodcaller("gather", sweeps)
        list(map(gather, self.groups) if self.threads == 1 else single_threads(self.threads).map(gather, self.groups))
        self.C.copy_(_sum([group.C for group in self.groups]))
        for s, parts_of_S in zip(self.S, zip(*(group.S for group in self.groups), strict=True), strict=True):
            s.copy_(_sum(parts_of_S))

    def _update_convergence(self, tol: float, *, may_end: bool) -> None:
        """Compute the objective, and mark the problems that are done."""
        state = self.state
        f = self.squares - 2 * self.inner_with_H() + self.inner_of_grams()
        state.n_iter = state.n_iter + ~state.done
        state.rose = f > state.f
        if may_end:
            slow = ~state.rose & (state.f - f < tol * f.clamp_min(NEARLY_EXACT * self.squares))
            state.slow = torch.where(slow, state.slow + 1, 0)
            is_done = state.slow >= PATIENCE
            state.done = state.done | (is_done if self.is_single is None else is_done & self.is_single)
        state.f = f

    def _sweep_H(self, *, extrapolate: bool) -> None:
        """Sweep every H, and extrapolate in the direction of its change; C is overwritten."""
        state = self.state
        self.swept.copy_(self.H)
        self.sweep_H(SWEEPS_H)
        state.beta = torch.where(state.rose, state.beta / BETA_CUT, (state.beta * BETA_GROWTH).clamp_max(1))
        momentum = torch.where(state.rose, 0, state.beta) * extrapolate
        extrapolated = torch.lerp(self.previous, self.swept, 1 + momentum[:, self.owner, None]).clamp_min_(0)
        if self.check_interval > 1 or len(self.A) > 1:  # done problems stay until they are checked
            extrapolated = torch.where(state.done[:, self.owner, None], self.H, extrapolated)
        self.H.copy_(extrapolated)
        self.previous.copy_(self.swept)

    def _drop_worse_starts(self, *, keep_one: bool) -> None:
        """Keep, for each rank and matrix, the better half of its starts, or the best one."""
        keep: list[int] = []
        matrix_index = torch.arange(len(self.A), device=self.A.device)[:, None]
        for rank in dict.fromkeys(self.rank_of):
            group = [p for p, owner in enumerate(self.rank_of) if owner == rank]
            survivors = group[: 1 if keep_one else (len(group) + 1) // 2]
            keep += survivors
            if survivors == group:
                continue
            order = self.state.f[:, group].argsort(1)[:, : len(survivors)]  # (batch, survivors)

            def choose(
                tensors: Sequence[Tensor],
                group: list[int] = group,
                survivors: list[int] = survivors,
                order: Tensor = order,
            ) -> None:
                best = torch.stack([tensors[p] for p in group], 1)[matrix_index, order].unbind(1)
                for p, tensor in zip(survivors, best, strict=True):
                    tensors[p].copy_(tensor)

            for stack in (self.H, self.previous, self.C):
                choose(self._parts(stack))
            choose(self.S)
            for c in range(len(self.chunks)):
                choose([W[c] for W in self.W])
            for entry in fields(_State):
                value = getattr(self.state, entry.name)
                value[:, survivors] = value[:, group][matrix_index, order]
        self._restrict(keep)

    def _remove_finished(self, *, final: bool) -> None:
        """Record the errors, and remove the problems that are done on every matrix."""
        seconds = time.perf_counter() - self.started
        error = (self.state.f.clamp_min(0) / self.squares).sqrt()
        leaves = [final or is_done for is_done in self.state.done.all(0).tolist()]
        for rank in dict.fromkeys(self.rank_of):
            best = error[:, [p for p, owner in enumerate(self.rank_of) if owner == rank]].amin(1)
            self.traces[rank].append((seconds, best))
        if not any(leaves):
            return
        self.groups = []  # they keep the memory of every W alive, and are created again below
        parts = self._parts(self.H)
        for p, rank in enumerate(self.rank_of):
            if leaves[p]:
                W, self.W[p] = [torch.cat([w[b].mT for w in self.W[p]]) for b in range(len(self.A))], []
                n_iter, is_done = self.state.n_iter[:, p], self.state.done[:, p]
                self.results_by_rank[rank] = Result(
                    W, parts[p].clone(), error[:, p], n_iter, is_done, self.traces[rank]
                )
        self._restrict([p for p, is_gone in enumerate(leaves) if not is_gone])

    def _restrict(self, problems: list[int]) -> None:
        """Restrict the stack to some of its problems."""
        if problems == list(range(len(self.sizes))):
            return
        H, previous, C = (
            torch.cat([self._parts(X)[p] for p in problems], 1) if problems else X[:, :0]
            for X in (self.H, self.previous, self.C)
        )
        S = [self.S[p] for p in problems]
        self.W, self.rank_of = [self.W[p] for p in problems], [self.rank_of[p] for p in problems]
        self.state = self.state.pick(problems)
        self._arrange([self.sizes[p] for p in problems], H, previous)
        if problems:
            self.C.copy_(C)
            for new, old in zip(self.S, S, strict=True):
                new.copy_(old)


class _ChunkGroup:
    """A group of row chunks, one thread's task, and the sums of their products."""

    def __init__(self, stack: Stack, chunks: range):
        self.stack = stack
        A, sizes = stack.A, stack.sizes
        batch, K = len(A), sum(sizes)
        self.C = A.new_empty(batch, K, A.shape[2])
        self.S = [A.new_empty(batch, k, k) for k in sizes]
        room = A.new_empty(batch * K * stack.chunks[chunks[0]].shape[1])
        self.work = []
        for c in chunks:
            chunk = stack.chunks[c]
            stacked = room[: batch * K * chunk.shape[1]].view(batch, K, -1)
            parts = stack._parts(stacked)
            sweep = Sweep([W[c] for W in stack.W], parts, stack.G)  # it leaves the chunk's W in the parts
            self.work.append((chunk, stacked, sweep, Grams(parts, self.S)))

    def gather(self, sweeps: int) -> None:
        """Sweep these chunks' W; leave their part of ``W^T A`` in C and of each ``W^T W`` in S."""
        for i, (chunk, stacked, sweep, gram) in enumerate(self.work):
            torch.bmm(self.stack.H, chunk.mT, out=stacked)
            sweep(sweeps)
            gram(add=i > 0)
            torch.baddbmm(self.C, stacked, chunk, beta=int(i > 0), out=self.C)


def _chunk_rows(numbers_per_row: int) -> int:
    """Return the number of rows of a chunk on the CPU, which stays in the cache together with its rows of W."""
    return min(LARGEST_CHUNK, max(CHUNK, NUMBERS_IN_CACHE // numbers_per_row // CHUNK * CHUNK))


def _sum(parts: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0, dtype=torch.float64).to(parts[0].dtype)
