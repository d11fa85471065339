"""Matrix -> rank-k approximations: NMF, PCA, random ablation. Knows nothing of networks."""

from nmfdiag.errors import Cancelled
from nmfdiag.factorize.factorization import Factorization
from nmfdiag.factorize.matrix import activation_matrix, coarse_ranks, default_ranks
from nmfdiag.factorize.nmf import nmf, nmf_batch
from nmfdiag.factorize.pca import pca
from nmfdiag.factorize.random_ablation import RandomAblation, random_ablation

__all__ = [
    "Cancelled",
    "Factorization",
    "RandomAblation",
    "activation_matrix",
    "coarse_ranks",
    "default_ranks",
    "nmf",
    "nmf_batch",
    "pca",
    "random_ablation",
]
