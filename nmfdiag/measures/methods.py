"""The ways to approximate a layer's activations: one record per method, which everything else reads. No torch until one is used.

To add a method, write its function and add one record to :data:`METHODS`: the sidebar, the command line, figures, tables and the pre-flight
check follow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from torch import Tensor

    from nmfdiag.factorize import Factorization, RandomAblation
    from nmfdiag.factorize.progress import Progress

    Solutions = Sequence[Factorization | RandomAblation]
    Solve = Callable[[list[Tensor], list[list[int]], Mapping[str, Any], Progress], Solutions]

Grid = Callable[[int], Sequence[int]]
"""From a full rank to ranks up to it."""


def _ranks_of_smaller_side(A: "Tensor", grid: Grid) -> list[int]:
    return list(grid(min(A.shape)))


def _ranks_of_channels(A: "Tensor", grid: Grid) -> list[int]:
    return list(grid(A.shape[1]))


def _signed_ranks(A: "Tensor", grid: Grid) -> list[int]:
    from nmfdiag.factorize import signed_ranks

    return signed_ranks(A, grid)


@dataclass(frozen=True)
class Method:
    """A way to approximate an activation matrix by k directions.

    Attributes:
        name: In requests, records, links and on the command line.
        title: In legends and headings.
        phrase: Within a sentence.
        removed: What is removed of it, in legends of the ablation page.
        dash: Plotly's line style.
        solve: Takes matrices (rows, channels), the ranks of each, the options of :func:`nmfdiag.compression_curve` (``seed``, ``draws``,
            ``centered``, ``solver``, ``tol``, ``max_iter``, ``n_starts``) and a progress callback; returns one solution per matrix.
        ranks: Ranks of a matrix by a grid.
        leads: Activations (``"relu"`` or ``"all"``) whose layers are read by it; empty for a method to compare with.
        help: Of the sidebar's choice of methods, where it leads.
        non_negative: Whether it takes matrices without negative entries only.
        iterative: Whether it takes a solver, a tolerance and a number of iterations.
        in_paper: Whether Collins et al. (2018) use it; others are our extensions.
        costs_like: The method whose time and memory it takes, for estimates: ``"nmf"``, ``"signed"``, ``"pca"`` or ``"random"``.
    """

    name: str
    title: str
    phrase: str
    removed: str
    dash: str
    solve: "Solve"
    ranks: "Callable[[Tensor, Grid], list[int]]" = _ranks_of_smaller_side
    leads: str = ""
    help: str = ""
    non_negative: bool = False
    iterative: bool = False
    in_paper: bool = False
    costs_like: str = "nmf"


def _by_nmf(
    matrices: "list[Tensor]", ranks: list[list[int]], options: Mapping[str, Any], report: "Progress"
) -> "Solutions":
    from nmfdiag.factorize import nmf, nmf_batch

    return _iterate(nmf, nmf_batch, matrices, ranks, options, report)


def _by_signed_nmf(
    matrices: "list[Tensor]", ranks: list[list[int]], options: Mapping[str, Any], report: "Progress"
) -> "Solutions":
    from nmfdiag.factorize import signed_nmf, signed_nmf_batch

    return _iterate(signed_nmf, signed_nmf_batch, matrices, ranks, options, report)


def _by_pca(
    matrices: "list[Tensor]", ranks: list[list[int]], options: Mapping[str, Any], report: "Progress"
) -> "Solutions":
    from nmfdiag.factorize import pca

    return [pca(A, grid, centered=options["centered"]) for A, grid in zip(matrices, ranks, strict=True)]


def _by_random_ablation(
    matrices: "list[Tensor]", ranks: list[list[int]], options: Mapping[str, Any], report: "Progress"
) -> "Solutions":
    from nmfdiag.factorize import random_ablation

    draws, seed = options["draws"], options["seed"]
    return [random_ablation(A, grid, draws=draws, seed=seed) for A, grid in zip(matrices, ranks, strict=True)]


def _iterate(
    solve: Callable[..., "Factorization"],
    solve_all: "Callable[..., Solutions]",
    matrices: "list[Tensor]",
    ranks: list[list[int]],
    options: Mapping[str, Any],
    report: "Progress",
) -> "Solutions":
    """Solve all matrices in one call if that is faster, else one by one."""
    import torch

    options = {key: options[key] for key in ("seed", "solver", "tol", "max_iter", "n_starts")}
    if solved_together(matrices) and ranks.count(ranks[0]) == len(ranks):
        return solve_all(torch.stack(matrices), ranks[0], on_progress=report, **options)
    solutions = []
    for i, (A, grid) in enumerate(zip(matrices, ranks, strict=True)):

        def report_matrix(share: float, text: str, i: int = i) -> None:
            report((i + share) / len(matrices), text)

        solutions.append(solve(A, grid, on_progress=report_matrix, **options))
    return solutions


def solved_together(matrices: "Sequence[Tensor]") -> bool:
    """Return whether one call solves all of these: on a GPU that is faster; on the CPU it gains nothing and takes more memory."""
    shapes, on_gpu = {A.shape for A in matrices}, all(A.device.type == "cuda" for A in matrices)
    return on_gpu and len(matrices) > 1 and len(shapes) == 1


_BASELINES = "PCA and random ablation (keep k random channels) are its two baselines."
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            name="nmf",
            title="NMF",
            phrase="NMF",
            removed="NMF directions",
            dash="solid",
            solve=_by_nmf,
            leads="relu",
            help=f"NMF is the paper's; {_BASELINES}",
            non_negative=True,
            iterative=True,
            in_paper=True,
        ),
        Method(
            name="signed",
            title="Signed-split NMF (extension)",
            phrase="signed NMF",
            removed="signed NMF directions",
            dash="longdashdot",
            solve=_by_signed_nmf,
            ranks=_signed_ranks,
            leads="all",
            help="These activations can be negative. NMF of their positive and negative part is ours, not the paper's; "
            f"{_BASELINES}",
            iterative=True,
            costs_like="signed",
        ),
        Method(
            name="pca",
            title="PCA",
            phrase="PCA",
            removed="PCA directions",
            dash="dash",
            solve=_by_pca,
            in_paper=True,
            costs_like="pca",
        ),
        Method(
            name="random",
            title="Random ablation",
            phrase="random ablation",
            removed="random channels",
            dash="dot",
            solve=_by_random_ablation,
            ranks=_ranks_of_channels,
            in_paper=True,
            costs_like="random",
        ),
    )
}
PAPER_METHODS = tuple(method.name for method in METHODS.values() if method.in_paper)
"""NMF and its two baselines: those that experiments are recorded with."""


def method_of(name: str) -> Method:
    """Return the method of a name.

    Raises:
        NmfdiagError: If there is none.
    """
    if name not in METHODS:
        raise NmfdiagError(f"Unknown method {name!r}: accepted are {', '.join(METHODS)}.")
    return METHODS[name]


def leading_method(activations: str) -> str:
    """Return the method that layers of these activations (``"relu"`` or ``"all"``) are read by."""
    return next(method.name for method in METHODS.values() if method.leads == activations)


def methods_for(activations: str) -> tuple[str, ...]:
    """Return the methods that layers of these activations can be compared by, the leading one first."""
    leading = leading_method(activations)
    return (leading, *(method.name for method in METHODS.values() if not method.leads))


def activations_for(methods: Sequence[str]) -> str:
    """Return which activations are layers where that isn't said: all for a method that leads there, else ReLUs."""
    return "all" if leading_method("all") in methods else "relu"
