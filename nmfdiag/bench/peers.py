"""The compared solvers: ours, and those that a user would otherwise use. Peers are optional: a missing one is skipped."""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nmfdiag.factorize import nmf, nmf_batch

Factors = dict[int, tuple[Tensor, Tensor]]
RunSolver = Callable[[Tensor, Sequence[int]], list[Factors]]
TOL, MAX_ITER, SEED = 1e-4, 200, 0


@dataclass(frozen=True)
class Solver:
    """One way to factorise at a grid of ranks.

    Attributes:
        name: Name in the table.
        settings: Description of the run.
        run: Function of A (batch, rows, channels) and ranks that returns for each matrix W (rows, k) and H (k, channels) by rank.
        package: Required package.
        cuda: Whether it runs on a GPU.
    """

    name: str
    settings: str
    run: RunSolver
    package: str = "torch"
    cuda: bool = True

    def missing(self, device: str) -> str:
        """Return why it can't be run on a device; empty if it can."""
        if importlib.util.find_spec(self.package) is None:
            return f"skipped: {self.package} is not installed"
        return "" if device == "cpu" or self.cuda else "skipped: runs on the CPU only"


def _stacked(A: Tensor, ranks: Sequence[int]) -> list[Factors]:
    solutions = nmf_batch(A, ranks, max_iter=MAX_ITER, seed=SEED)
    return [{k: solution.factors(k) for k in ranks} for solution in solutions]


def _rank_by_rank(solver: str) -> RunSolver:
    def run(A: Tensor, ranks: Sequence[int]) -> list[Factors]:
        options: dict[str, Any] = {"solver": solver, "max_iter": MAX_ITER, "seed": SEED}
        return [{k: nmf(matrix, [k], **options).factors(k) for k in ranks} for matrix in A]

    return run


def _scikit_learn(solver: str, init: str) -> RunSolver:
    def run(A: Tensor, ranks: Sequence[int]) -> list[Factors]:
        from sklearn.decomposition import NMF

        options: dict[str, Any] = {"solver": solver, "init": init, "tol": TOL, "max_iter": MAX_ITER}

        def factorize(matrix: Tensor, k: int) -> tuple[Tensor, Tensor]:
            model = NMF(n_components=k, random_state=SEED, **options)
            W = model.fit_transform(matrix.numpy())
            return torch.from_numpy(W), torch.from_numpy(model.components_)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that 200 iterations were too few
            return [{k: factorize(matrix, k) for k in ranks} for matrix in A]

    return run


def _torchnmf(A: Tensor, ranks: Sequence[int]) -> list[Factors]:
    from torchnmf.nmf import NMF

    def factorize(matrix: Tensor, k: int) -> tuple[Tensor, Tensor]:
        model = NMF(tuple(matrix.shape), rank=k).to(A.device)
        model.fit(matrix, beta=2, tol=TOL, max_iter=MAX_ITER)
        return model.H.detach(), model.W.detach().T  # its names are swapped: V ~ H W^T

    with torch.random.fork_rng(devices=[A.device] if A.is_cuda else []):
        torch.manual_seed(SEED)
        return [{k: factorize(matrix, k) for k in ranks} for matrix in A]


SOLVERS: dict[str, Solver] = {
    solver.name: solver
    for solver in (
        Solver("hals", f"nmfdiag.nmf, all ranks in one call, default tol, at most {MAX_ITER} iterations", _stacked),
        Solver("hals_looped", "the same, one call a rank", _rank_by_rank("hals")),
        Solver(
            "dff_mu",
            f"multiplicative updates as DFF publishes them, one call a rank, tol {TOL:g}, at most {MAX_ITER} iterations",
            _rank_by_rank("mu"),
        ),
        Solver(
            "sklearn_cd",
            f"scikit-learn NMF, solver cd, init nndsvd, tol {TOL:g}, at most {MAX_ITER} iterations",
            _scikit_learn("cd", "nndsvd"),
            "sklearn",
            cuda=False,
        ),
        Solver(
            "sklearn_mu",
            f"scikit-learn NMF, solver mu, init nndsvda, tol {TOL:g}, at most {MAX_ITER} iterations",
            _scikit_learn("mu", "nndsvda"),
            "sklearn",
            cuda=False,
        ),
        Solver(
            "torchnmf",
            f"torchnmf NMF, beta 2, random start, tol {TOL:g}, at most {MAX_ITER} iterations",
            _torchnmf,
            "torchnmf",
        ),
    )
}
OURS, LOOPED = "hals", "hals_looped"


def warm_up(names: Sequence[str], device: str) -> None:
    """Run every solver once, untimed, to compile and import what it needs."""
    A = torch.rand(1, 64, 12, generator=torch.Generator().manual_seed(SEED)).to(device)
    for name in names:
        if not SOLVERS[name].missing(device):
            SOLVERS[name].run(A, (1, 2))
