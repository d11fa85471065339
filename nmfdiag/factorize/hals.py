"""HALS for a whole grid of ranks at once: A is read once an iteration, whatever the number of ranks.

One iteration, over chunks of rows: ``B = [H_1; H_2; ...] A_c^T`` is one product for all ranks; each ``W_k`` is swept by
HALS from its rows of ``B``; ``C = W^T A`` and ``S_k = W_k^T W_k`` are gathered. Then the exact objective follows without a
residual, ``f_k = ||A||^2 - 2 <C_k, H_k> + <S_k, H_k H_k^T>``, and ``H_k`` is swept from ``C_k`` and ``S_k``. H is
extrapolated (Ang and Gillis 2019); the factors returned are those at which the objective was measured.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nmfdiag.factorize.matrix import frobenius
from nmfdiag.factorize.panel import sweep_
from nmfdiag.factorize.progress import Progress

CHUNK = 2048
COARSE_ROWS = 2048
SWEEPS_W, SWEEPS_H = 2, 4
FIRST_BETA, BETA_GROWTH, BETA_CUT = 0.5, 1.05, 1.5
GRAM_IS_SAFE = 1e-3


@dataclass(frozen=True)
class Solution:
    """Factors of one rank, ``W`` (rows, k) and ``H`` (k, channels), where the error was measured."""

    W: Tensor
    H: Tensor
    relative_error: float
    n_iter: int
    converged: bool


@dataclass
class _Rank:
    """One rank on its way: H now, H and W^T (k, rows) of the best objective so far, and the extrapolation's state."""

    k: int
    H: Tensor
    best_H: Tensor
    best_Wt: Tensor
    previous: Tensor
    best: float = float("inf")
    last: float = float("inf")
    beta: float = FIRST_BETA
    n_iter: int = 0
    converged: bool = False


def hals(
    A: Tensor, ranks: list[int], tol: float, max_iter: int, seed: int, on_progress: Progress | None
) -> dict[int, Solution]:
    """Solve every rank; see :func:`nmfdiag.factorize.nmf.nmf` for the arguments.

    More than twice :data:`COARSE_ROWS` rows are first solved on a sample of them, whose H starts the full solution.
    """
    rows = len(A)
    coarse = rows > 2 * COARSE_ROWS
    sample = A
    if coarse:
        chosen = np.random.Generator(np.random.PCG64(seed)).choice(rows, COARSE_ROWS, replace=False)
        sample = A[torch.from_numpy(np.sort(chosen)).to(A.device)]
        coarse = bool(sample.any())
        sample = sample if coarse else A
    starts = [nndsvd_components(sample, max(ranks), fill) for fill in (0.0, float(sample.mean()))]
    stages = len(starts) + coarse

    def report(stage: int) -> Progress | None:
        if on_progress is None:
            return None
        return lambda done, words: on_progress((stage + done) / stages, words)

    best: dict[int, Solution] = {}
    for stage, start in enumerate(starts):
        solved = _solve(sample, {k: start[:k].clone() for k in ranks}, tol, max_iter, report(stage))
        for k, solution in solved.items():
            if k not in best or solution.relative_error < best[k].relative_error:
                best[k] = solution
    if coarse:
        best = _solve(A, {k: best[k].H for k in ranks}, tol, max_iter, report(len(starts)))
    return {k: _checked(A, solution) for k, solution in best.items()}


def nndsvd_components(A: Tensor, k: int, fill: float) -> Tensor:
    """Non-negative starting components (k, channels) from the singular vectors of A (Boutsidis and Gallopoulos 2008).

    The first j of them are the start for rank j, so one eigendecomposition of a Gram matrix starts every rank.
    ``fill`` takes the place of zeros, scaled to each component (0: NNDSVD, the mean of A: NNDSVDa).
    """
    A64 = A.double()
    _, vectors = torch.linalg.eigh(A64.T @ A64)
    V = vectors.flip(1)[:, :k].T  # (k, channels), leading first
    scores = A64 @ V.T  # (rows, k): u * sigma
    positive, negative = V.clamp_min(0), (-V).clamp_min(0)
    plus = positive.norm(dim=1) * scores.clamp_min(0).norm(dim=0)
    minus = negative.norm(dim=1) * (-scores).clamp_min(0).norm(dim=0)
    H = torch.where((plus >= minus)[:, None], positive, negative)
    H = H / H.norm(dim=1, keepdim=True).clamp_min(1e-30)
    if fill:
        level = fill / max(float(A64.norm()) / len(A64) ** 0.5, 1e-30)
        H = torch.where(H > 0, H, torch.full_like(H, level * 0.1))
    return H.to(A.dtype).contiguous()


def _solve(
    A: Tensor, starts: dict[int, Tensor], tol: float, max_iter: int, on_progress: Progress | None
) -> dict[int, Solution]:
    norm = frobenius(A)
    states = []
    for k, H in starts.items():
        Wt = torch.zeros((k, len(A)), dtype=A.dtype, device=A.device)
        states.append(_Rank(k, H, H, Wt, H))
    Wts = {state.k: torch.zeros_like(state.best_Wt) for state in states}
    active = states
    for iteration in range(1, max_iter + 1):
        Cs, Ss, Gs = _pass(A, active, Wts, first=iteration == 1)
        still = []
        for state, C, S, G in zip(active, Cs, Ss, Gs, strict=True):
            f = norm**2 - 2 * _dot(C, state.H) + _dot(S, G)
            state.n_iter = iteration
            rose = f > state.last
            if f < state.best:
                state.best = f
                state.best_H = state.H
                state.best_Wt.copy_(Wts[state.k])
            fell_by = (state.last - f) / max(state.last, 1e-300)
            if not rose and (fell_by < tol or f <= 1e-12 * norm**2):
                state.converged = True
                continue
            state.beta = state.beta / BETA_CUT if rose else min(1.0, state.beta * BETA_GROWTH)
            state.last = f
            H = state.H.clone()
            sweep_(H, C, S, SWEEPS_H)
            state.H = H if rose else (H + state.beta * (H - state.previous)).clamp_min_(0)
            state.previous = H
            still.append(state)
        active = still
        if on_progress is not None:
            done = 1.0 if not active else max(iteration / max_iter, 1 - len(active) / len(states))
            on_progress(done, f"iteration {iteration}, {len(active)} of {len(states)} ranks left")
        if not active:
            break
    return {
        s.k: Solution(s.best_Wt.T, s.best_H, (max(s.best, 0.0) ** 0.5) / norm, s.n_iter, s.converged) for s in states
    }


def _pass(
    A: Tensor, active: list[_Rank], Wts: dict[int, Tensor], first: bool
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Sweep W of every active rank over the chunks of A; gather C = W^T A, S = W^T W and G = H H^T of each."""
    sizes = [state.k for state in active]
    H_all = torch.cat([state.H for state in active])
    Gs = [state.H @ state.H.T for state in active]
    C_all = torch.zeros_like(H_all)
    Ss = [torch.zeros_like(G) for G in Gs]
    sweeps = SWEEPS_W * (2 if first else 1)
    for begin in range(0, len(A), CHUNK):
        chunk = A[begin : begin + CHUNK]
        B_all = H_all @ chunk.T
        swept = []
        for state, B, G, S in zip(active, B_all.split(sizes), Gs, Ss, strict=True):
            Wt = Wts[state.k][:, begin : begin + CHUNK]
            panel = Wt.contiguous()
            sweep_(panel, B, G, sweeps)
            Wt.copy_(panel)
            S += panel @ panel.T
            swept.append(panel)
        C_all += torch.cat(swept) @ chunk
    return list(C_all.split(sizes)), Ss, Gs


def _dot(X: Tensor, Y: Tensor) -> float:
    return float((X.double() * Y.double()).sum())


def _checked(A: Tensor, solution: Solution) -> Solution:
    """Measure a tiny error directly: the Gram form loses its digits to cancellation there."""
    if solution.relative_error >= GRAM_IS_SAFE:
        return solution
    total = sum(
        float((a - w @ solution.H).double().square().sum())
        for a, w in zip(A.split(65536), solution.W.split(65536), strict=True)
    )
    return replace(solution, relative_error=total**0.5 / frobenius(A))
