"""HALS iterations on a stack of problems: A is read once an iteration, whatever the number of ranks.

A problem is one rank from one start. The problems' H are stacked. One iteration, over chunks of rows that stay in the cache:
``B = [H_1; H_2; ...] A_c^T`` is one product for all problems; each ``W_k`` is swept by HALS from its rows of ``B``; ``C = W^T A``
(one product again) and ``S_k = W_k^T W_k`` are gathered. The exact objective follows without a residual, ``f_k = ||A||^2 -
2 <C_k, H_k> + <S_k, H_k H_k^T>``, and ``H_k`` is swept from ``C_k`` and ``S_k``, then extrapolated. What has converged leaves.

Everything has a leading batch axis: several matrices of one shape (the classes of a layer) are solved in one call. On a GPU nothing
in the loop waits for a value but the look at the flags of convergence, once in :data:`LOOK_ON_GPU` iterations.

References:
    A. Ang, N. Gillis, Accelerating nonnegative matrix factorization algorithms using extrapolation, 2019.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial

import torch
from torch import Tensor

from nmfdiag.factorize.panel import grams_, inner, sweep_
from nmfdiag.factorize.progress import Progress
from nmfdiag.factorize.solution import Solution
from nmfdiag.factorize.threads import single_threads

CHUNK = 2048
CHUNK_ON_GPU = 2**18
LOOK_ON_GPU = 10
SWEEPS_W, SWEEPS_H = 2, 4
FIRST_BETA, BETA_GROWTH, BETA_CUT = 0.5, 1.05, 1.5
SHARE = 32
"""Chunks at most whose products are added in A's precision; shares are added in float64, and are what threads take."""


@dataclass(frozen=True)
class Result:
    """A rank that has left the stack, on the whole batch: the error was measured at these factors.

    Attributes:
        W: For each matrix (rows, k).
        H: (batch, k, channels).
        relative_error: (batch,); so are ``n_iter`` and ``converged``.
        trace: Seconds since the start and relative errors (batch,), whenever they were looked at.
    """

    W: list[Tensor]
    H: Tensor
    relative_error: Tensor
    n_iter: Tensor
    converged: Tensor
    trace: list[tuple[float, Tensor]]

    def solution(self, b: int) -> Solution:
        """The b-th matrix's."""
        trace = [(seconds, float(error[b])) for seconds, error in self.trace]
        error, n_iter, converged = float(self.relative_error[b]), int(self.n_iter[b]), bool(self.converged[b])
        return Solution(self.W[b], self.H[b], error, n_iter, converged, trace)


@dataclass
class _Marks:
    """What is known of each problem, all (batch, problems): objective, extrapolation, and whether it rose or is done."""

    f: Tensor
    beta: Tensor
    rose: Tensor
    done: Tensor
    n_iter: Tensor

    def pick(self, problems: list[int]) -> "_Marks":
        return _Marks(*(getattr(self, one.name)[:, problems] for one in fields(self)))


class Stack:
    """Problems on one batch of matrices, solved together.

    Args:
        A: (batch, rows, channels), never modified, and not copied.
        starts: For each rank its starts (batch, k, channels).
        begun: When the work began (``time.perf_counter``), for the traces.

    Attributes:
        results: For each rank, once it has left the stack.
    """

    results: list[Result]

    def __init__(self, A: Tensor, starts: list[list[Tensor]], begun: float):
        self.A, self.begun = A, begun
        on_cpu = A.device.type == "cpu"
        self.look = 1 if on_cpu else LOOK_ON_GPU
        self.chunks = A.split(CHUNK if on_cpu else CHUNK_ON_GPU, dim=1)
        self.threads = torch.get_num_threads() if on_cpu else 1
        size = min(SHARE, -(-len(self.chunks) // self.threads))
        self.shares = [range(len(self.chunks))[i : i + size] for i in range(0, len(self.chunks), size)]
        self.squares = _squares(A)[:, None]
        self.noise = torch.finfo(A.dtype).eps * self.squares  # below it the Gram form can't tell f from rounding
        self.of = [rank for rank, some in enumerate(starts) for _ in some]  # which rank a problem belongs to
        problems = [H for some in starts for H in some]
        self.H = self.previous = torch.cat(problems, 1)
        self.W = [self._zero_W(H.shape[1]) for H in problems]
        shape, device = (len(A), len(problems)), A.device
        self.marks = _Marks(
            f=torch.full(shape, float("inf"), dtype=torch.float64, device=device),
            beta=torch.full(shape, FIRST_BETA, dtype=A.dtype, device=device),
            rose=torch.zeros(shape, dtype=torch.bool, device=device),
            done=torch.zeros(shape, dtype=torch.bool, device=device),
            n_iter=torch.zeros(shape, dtype=torch.int64, device=device),
        )
        self.found: dict[int, Result] = {}
        self.traces: list[list[tuple[float, Tensor]]] = [[] for _ in starts]
        self._arrange([H.shape[1] for H in problems])

    def _zero_W(self, k: int) -> list[Tensor]:
        """One factor by chunks (batch, k, rows), which share one piece of memory: it goes as a whole when the problem goes."""
        widest = self.chunks[0].shape[1]
        memory = self.A.new_zeros(len(self.chunks), len(self.A), k, widest)
        return [part[:, :, : chunk.shape[1]] for part, chunk in zip(memory, self.chunks, strict=True)]

    def solve(self, tol: float, max_iter: int, report: Progress, trials: Sequence[int] = ()) -> None:
        """Iterate until every rank has left.

        Args:
            tol: A problem is done when its objective falls by less than this share in an iteration.
            max_iter: Iterations at most.
            report: Called each iteration; may raise to cancel.
            trials: Iterations after which the worse half of each rank's starts is given up, at the last all but the best.
        """
        to_come = [min(trial, max_iter) for trial in trials]
        for iteration in range(1, max_iter + 1):
            C = self._pass(SWEEPS_W if iteration > 1 else 2 * SWEEPS_W)
            self._judge(C, tol, may_end=iteration > 1 and not to_come)
            while to_come and iteration >= to_come[0]:
                to_come.pop(0)
                C = self._give_up_worse(C, to_one=not to_come)
            if not to_come and (iteration % self.look == 0 or iteration == max_iter):
                C = self._let_go(C, everything=iteration == max_iter)
            left = len(self.sizes)
            report(
                max(iteration / max_iter, len(self.found) / len(self.traces)),
                f"iteration {iteration}, {left} ranks left",
            )
            if not left:
                break
            self._step(C, extrapolate=iteration < max_iter - 1)
        self.results = [self.found[rank] for rank in range(len(self.traces))]

    def _arrange(self, sizes: list[int]) -> None:
        """Make room for problems of these ranks."""
        batch = len(self.A)
        self.sizes = sizes
        self.owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes, dtype=torch.int64)).to(
            self.A.device
        )
        self.S, self.G = ([self.A.new_empty(batch, k, k) for k in sizes] for _ in range(2))

    def _parts(self, X: Tensor) -> Sequence[Tensor]:
        """The problems' shares of a stack."""
        return X.split(self.sizes, dim=1)

    def _pass(self, sweeps: int) -> Tensor:
        """Sweep every W; returns ``C = W^T A`` (batch, K, channels) and leaves ``W^T W`` in S and ``H H^T`` in G."""
        grams_(self._parts(self.H), self.G)
        if len(self.shares) == 1:
            C, self.S = self._gather(self.shares[0], sweeps)
            return C
        work = partial(self._gather, sweeps=sweeps)
        gathered = list(
            map(work, self.shares) if self.threads == 1 else single_threads(self.threads).map(work, self.shares)
        )
        self.S = [_sum(some) for some in zip(*(S for _, S in gathered), strict=True)]
        return _sum([C for C, _ in gathered])

    def _gather(self, share: range, sweeps: int) -> tuple[Tensor, list[Tensor]]:
        """Sweep the W of some chunks; returns their part of C, and of each S."""
        batch, K = self.H.shape[:2]
        room = self.A.new_empty(batch * K * self.chunks[share[0]].shape[1])
        C = self.A.new_zeros(batch, K, self.A.shape[2])
        S = [self.A.new_zeros(batch, k, k) for k in self.sizes]
        for c in share:
            chunk = self.chunks[c]
            stacked = room[: batch * K * chunk.shape[1]].view(batch, K, -1)
            torch.bmm(self.H, chunk.mT, out=stacked)
            parts = self._parts(stacked)
            sweep_([W[c] for W in self.W], parts, self.G, sweeps)  # the parts are this chunk's W from here on
            grams_(parts, S, add=True)
            C.baddbmm_(stacked, chunk)
        return C, S

    def _judge(self, C: Tensor, tol: float, *, may_end: bool) -> None:
        """Measure the objective, and say which problems are done."""
        marks = self.marks
        f = self.squares - 2 * inner(self._parts(C), self._parts(self.H)) + inner(self.S, self.G)
        marks.n_iter = marks.n_iter + ~marks.done
        marks.rose = f > marks.f
        if may_end:
            marks.done = marks.done | (~marks.rose & ((marks.f - f < tol * f) | (f <= self.noise)))
        marks.f = f

    def _step(self, C: Tensor, *, extrapolate: bool) -> None:
        """Sweep every H, and go on in the direction of its change; C is used up."""
        marks, swept = self.marks, self.H.clone()
        sweep_(self._parts(swept), self._parts(C), self.S, SWEEPS_H)
        marks.beta = torch.where(marks.rose, marks.beta / BETA_CUT, (marks.beta * BETA_GROWTH).clamp_max(1))
        ahead = torch.where(marks.rose, 0, marks.beta) * extrapolate
        following = torch.lerp(self.previous, swept, 1 + ahead[:, self.owner, None]).clamp_min_(0)
        if self.look > 1 or len(self.A) > 1:  # what is done stays until somebody looks, and all its matrices are done
            following = torch.where(marks.done[:, self.owner, None], self.H, following)
        self.H, self.previous = following, swept

    def _give_up_worse(self, C: Tensor, *, to_one: bool) -> Tensor:
        """Keep, for each rank and matrix, the better half of its starts, or the best one."""
        keep: list[int] = []
        each = torch.arange(len(self.A), device=self.A.device)[:, None]
        for rank in dict.fromkeys(self.of):
            group = [p for p, of in enumerate(self.of) if of == rank]
            left = group[: 1 if to_one else (len(group) + 1) // 2]
            order = self.marks.f[:, group].argsort(1)[:, : len(left)]  # (batch, left)

            def best(some: list[Tensor], order: Tensor = order) -> Sequence[Tensor]:
                return torch.stack(some, 1)[each, order].unbind(1)

            for stack in (self.H, self.previous, C):
                parts = self._parts(stack)
                for p, chosen in zip(left, best([parts[p] for p in group]), strict=True):
                    parts[p].copy_(chosen)
            for held in (self.S, *([self.W[p][c] for p in range(len(self.W))] for c in range(len(self.chunks)))):
                for p, chosen in zip(left, best([held[p] for p in group]), strict=True):
                    held[p].copy_(chosen)
            for one in fields(_Marks):
                value = getattr(self.marks, one.name)
                value[:, left] = value[:, group][each, order]
            keep += left
        return self._keep(keep, C)

    def _let_go(self, C: Tensor, *, everything: bool) -> Tensor:
        """Look at the errors, and take out the problems that are done on every matrix."""
        seconds = time.perf_counter() - self.begun
        error = (self.marks.f.clamp_min(0) / self.squares).sqrt()
        gone = [everything or done for done in self.marks.done.all(0).tolist()]
        for p, rank in enumerate(self.of):
            self.traces[rank].append((seconds, error[:, p]))
        if not any(gone):
            return C
        parts = self._parts(self.H)
        for p, rank in enumerate(self.of):
            if gone[p]:
                W, self.W[p] = [torch.cat([w[b].mT for w in self.W[p]]) for b in range(len(self.A))], []
                n_iter, done = self.marks.n_iter[:, p], self.marks.done[:, p]
                self.found[rank] = Result(W, parts[p].clone(), error[:, p], n_iter, done, self.traces[rank])
        return self._keep([p for p, is_gone in enumerate(gone) if not is_gone], C)

    def _keep(self, problems: list[int], C: Tensor) -> Tensor:
        """Close the stack up over what has left it."""
        if problems:
            self.H, self.previous, C = (
                torch.cat([self._parts(X)[p] for p in problems], 1) for X in (self.H, self.previous, C)
            )
        self.W, self.of = [self.W[p] for p in problems], [self.of[p] for p in problems]
        self.marks, S = self.marks.pick(problems), [self.S[p] for p in problems]
        self._arrange([self.sizes[p] for p in problems])
        self.S = S
        return C


def _sum(some: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(some)).sum(0, dtype=torch.float64).to(some[0].dtype)


def _squares(A: Tensor) -> Tensor:
    """``||A||^2`` of each matrix (batch,), summed in float64."""
    total = torch.zeros(len(A), dtype=torch.float64, device=A.device)
    for chunk in A.split(65536, dim=1):
        total += chunk.square().sum(dim=(1, 2), dtype=torch.float64)
    return total
