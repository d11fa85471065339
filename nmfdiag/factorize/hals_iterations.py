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
from operator import methodcaller

import torch
from torch import Tensor

from nmfdiag.factorize.factorization import Result
from nmfdiag.factorize.kernels import Grams, Inner, Sweep
from nmfdiag.factorize.matrix import squares
from nmfdiag.factorize.progress import Progress
from nmfdiag.factorize.threads import single_threads

CHUNK, LARGEST_CHUNK = 2048, 16384
ROOM_IN_CACHE = 2**19
"""Numbers of a chunk, with its shares of W, that stay in the cache."""
CHUNK_ON_GPU = 2**18
LOOK_ON_GPU = 10
SWEEPS_W, SWEEPS_H = 2, 4
NEARLY_EXACT = 1e-4
"""Share of ``||A||^2`` below which an objective (relative error 1 %) need not be known to the tolerance's share of itself."""
PATIENCE = 2
"""Slow iterations in a row that end a problem: an extrapolated objective falls in waves."""
FIRST_BETA, BETA_GROWTH, BETA_CUT = 0.5, 1.05, 1.5
SHARE = 32
"""Chunks at most whose products are added in A's precision; shares are added in float64, and are what threads take."""


@dataclass
class _Marks:
    """What is known of each problem, all (batch, problems): objective, extrapolation, whether it rose, fell slowly, is done."""

    f: Tensor
    beta: Tensor
    rose: Tensor
    slow: Tensor
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
        problems = [H for some in starts for H in some]
        self.of = [rank for rank, some in enumerate(starts) for _ in some]  # which rank a problem belongs to
        largest = sum(some[0].shape[1] for some in starts)
        self.chunks = A.split(_chunk_rows(largest + A.shape[2]) if on_cpu else CHUNK_ON_GPU, dim=1)
        self.threads = torch.get_num_threads() if on_cpu else 1
        self.squares = squares(A)[:, None]
        self.W = [self._zero_W(H.shape[1]) for H in problems]
        shape, device = (len(A), len(problems)), A.device
        self.marks = _Marks(
            f=torch.full(shape, float("inf"), dtype=torch.float64, device=device),
            beta=torch.full(shape, FIRST_BETA, dtype=A.dtype, device=device),
            rose=torch.zeros(shape, dtype=torch.bool, device=device),
            slow=torch.zeros(shape, dtype=torch.int64, device=device),
            done=torch.zeros(shape, dtype=torch.bool, device=device),
            n_iter=torch.zeros(shape, dtype=torch.int64, device=device),
        )
        self.found: dict[int, Result] = {}
        self.traces: list[list[tuple[float, Tensor]]] = [[] for _ in starts]
        H = torch.cat(problems, 1)
        self._arrange([H.shape[1] for H in problems], H, H.clone())

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
            self._pass(SWEEPS_W if iteration > 1 else 2 * SWEEPS_W)
            self._judge(tol, may_end=iteration > 1)
            if to_come and iteration >= to_come[0]:
                to_come = [trial for trial in to_come if trial > iteration]
                self._give_up_worse(to_one=not to_come)
            if iteration % self.look == 0 or iteration == max_iter:
                self._let_go(everything=iteration == max_iter)
            left = len(self.sizes)
            report(
                max(iteration / max_iter, len(self.found) / len(self.traces)),
                f"iteration {iteration}, {left} ranks left",
            )
            if not left:
                break
            self._step(extrapolate=iteration < max_iter - 1)
        self.results = [self.found[rank] for rank in range(len(self.traces))]

    def _arrange(self, sizes: list[int], H: Tensor, previous: Tensor) -> None:
        """Lay out the problems that there are, and prepare the loops for the memory that they work on."""
        batch, n, device = len(self.A), len(sizes), self.A.device
        self.sizes, self.H, self.previous, self.swept = sizes, H, previous, torch.empty_like(H)
        self.owner = torch.repeat_interleave(torch.arange(n), torch.tensor(sizes, dtype=torch.int64)).to(device)
        # A rank with several starts is not done before one of them is left.
        alone = [self.of.count(rank) == 1 for rank in self.of]
        self.alone = None if all(alone) else torch.tensor(alone, device=device)
        if not n:
            return
        self.G = [self.A.new_empty(batch, k, k) for k in sizes]
        size = min(SHARE, -(-len(self.chunks) // self.threads))
        self.shares = [
            _Share(self, range(i, min(i + size, len(self.chunks)))) for i in range(0, len(self.chunks), size)
        ]
        self.C, self.S = self.shares[0].C, self.shares[0].S
        Hs, Cs = self._parts(self.H), self._parts(self.C)
        self.gram_of_H = Grams(Hs, self.G)
        self.sweep_H = Sweep(self._parts(self.swept), Cs, self.S)
        self.inner_with_H, self.inner_of_grams = Inner(Cs, Hs), Inner(self.S, self.G)

    def _parts(self, X: Tensor) -> Sequence[Tensor]:
        """The problems' shares of a stack."""
        return X.split(self.sizes, dim=1)

    def _pass(self, sweeps: int) -> None:
        """Sweep every W; leaves ``W^T A`` in C (batch, K, channels), ``W^T W`` in S and ``H H^T`` in G."""
        self.gram_of_H()
        if len(self.shares) == 1:
            self.shares[0].gather(sweeps)
            return
        gather = methodcaller("gather", sweeps)
        list(map(gather, self.shares) if self.threads == 1 else single_threads(self.threads).map(gather, self.shares))
        self.C.copy_(_sum([share.C for share in self.shares]))
        for s, some in zip(self.S, zip(*(share.S for share in self.shares), strict=True), strict=True):
            s.copy_(_sum(some))

    def _judge(self, tol: float, *, may_end: bool) -> None:
        """Measure the objective, and say which problems are done."""
        marks = self.marks
        f = self.squares - 2 * self.inner_with_H() + self.inner_of_grams()
        marks.n_iter = marks.n_iter + ~marks.done
        marks.rose = f > marks.f
        if may_end:
            slow = ~marks.rose & (marks.f - f < tol * f.clamp_min(NEARLY_EXACT * self.squares))
            marks.slow = torch.where(slow, marks.slow + 1, 0)
            done = marks.slow >= PATIENCE
            marks.done = marks.done | (done if self.alone is None else done & self.alone)
        marks.f = f

    def _step(self, *, extrapolate: bool) -> None:
        """Sweep every H, and go on in the direction of its change; C is used up."""
        marks = self.marks
        self.swept.copy_(self.H)
        self.sweep_H(SWEEPS_H)
        marks.beta = torch.where(marks.rose, marks.beta / BETA_CUT, (marks.beta * BETA_GROWTH).clamp_max(1))
        ahead = torch.where(marks.rose, 0, marks.beta) * extrapolate
        following = torch.lerp(self.previous, self.swept, 1 + ahead[:, self.owner, None]).clamp_min_(0)
        if self.look > 1 or len(self.A) > 1:  # what is done stays until somebody looks, and all its matrices are done
            following = torch.where(marks.done[:, self.owner, None], self.H, following)
        self.H.copy_(following)
        self.previous.copy_(self.swept)

    def _give_up_worse(self, *, to_one: bool) -> None:
        """Keep, for each rank and matrix, the better half of its starts, or the best one."""
        keep: list[int] = []
        each = torch.arange(len(self.A), device=self.A.device)[:, None]
        for rank in dict.fromkeys(self.of):
            group = [p for p, of in enumerate(self.of) if of == rank]
            left = group[: 1 if to_one else (len(group) + 1) // 2]
            keep += left
            if left == group:
                continue
            order = self.marks.f[:, group].argsort(1)[:, : len(left)]  # (batch, left)

            def choose(
                held: Sequence[Tensor], group: list[int] = group, left: list[int] = left, order: Tensor = order
            ) -> None:
                chosen = torch.stack([held[p] for p in group], 1)[each, order].unbind(1)
                for p, one in zip(left, chosen, strict=True):
                    held[p].copy_(one)

            for stack in (self.H, self.previous, self.C):
                choose(self._parts(stack))
            choose(self.S)
            for c in range(len(self.chunks)):
                choose([W[c] for W in self.W])
            for one in fields(_Marks):
                value = getattr(self.marks, one.name)
                value[:, left] = value[:, group][each, order]
        self._keep(keep)

    def _let_go(self, *, everything: bool) -> None:
        """Look at the errors, and take out the problems that are done on every matrix."""
        seconds = time.perf_counter() - self.begun
        error = (self.marks.f.clamp_min(0) / self.squares).sqrt()
        gone = [everything or done for done in self.marks.done.all(0).tolist()]
        for rank in dict.fromkeys(self.of):
            best = error[:, [p for p, of in enumerate(self.of) if of == rank]].amin(1)
            self.traces[rank].append((seconds, best))
        if not any(gone):
            return
        self.shares = []  # they hold on to the memory of every W, and are laid out anew below
        parts = self._parts(self.H)
        for p, rank in enumerate(self.of):
            if gone[p]:
                W, self.W[p] = [torch.cat([w[b].mT for w in self.W[p]]) for b in range(len(self.A))], []
                n_iter, done = self.marks.n_iter[:, p], self.marks.done[:, p]
                self.found[rank] = Result(W, parts[p].clone(), error[:, p], n_iter, done, self.traces[rank])
        self._keep([p for p, is_gone in enumerate(gone) if not is_gone])

    def _keep(self, problems: list[int]) -> None:
        """Close the stack up over what has left it."""
        if problems == list(range(len(self.sizes))):
            return
        H, previous, C = (
            torch.cat([self._parts(X)[p] for p in problems], 1) if problems else X[:, :0]
            for X in (self.H, self.previous, self.C)
        )
        S = [self.S[p] for p in problems]
        self.W, self.of = [self.W[p] for p in problems], [self.of[p] for p in problems]
        self.marks = self.marks.pick(problems)
        self._arrange([self.sizes[p] for p in problems], H, previous)
        if problems:
            self.C.copy_(C)
            for mine, old in zip(self.S, S, strict=True):
                mine.copy_(old)


class _Share:
    """Some chunks of rows, which one thread works on: their products are gathered here."""

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
            sweep = Sweep([W[c] for W in stack.W], parts, stack.G)  # which leaves the chunk's W in the parts
            self.work.append((chunk, stacked, sweep, Grams(parts, self.S)))

    def gather(self, sweeps: int) -> None:
        """Sweep these chunks' W; leaves their part of ``W^T A`` in C and of each ``W^T W`` in S."""
        for i, (chunk, stacked, sweep, gram) in enumerate(self.work):
            torch.bmm(self.stack.H, chunk.mT, out=stacked)
            sweep(sweeps)
            gram(add=i > 0)
            torch.baddbmm(self.C, stacked, chunk, beta=int(i > 0), out=self.C)


def _chunk_rows(numbers_a_row: int) -> int:
    """Rows of a chunk on the CPU: as many as stay in the cache together with their rows of W."""
    return min(LARGEST_CHUNK, max(CHUNK, ROOM_IN_CACHE // numbers_a_row // CHUNK * CHUNK))


def _sum(some: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(some)).sum(0, dtype=torch.float64).to(some[0].dtype)
