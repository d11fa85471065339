"""Matrix -> rank-k approximations: NMF (plain and signed), PCA, random ablation. Knows nothing of networks."""

from nmfdiag.errors import Cancelled
from nmfdiag.factorize.factorization import Factorization
from nmfdiag.factorize.matrix import activation_matrix, coarse_ranks, default_ranks
from nmfdiag.factorize.nmf import nmf, nmf_batch
from nmfdiag.factorize.pca import pca
from nmfdiag.factorize.random_ablation import RandomAblation, random_ablation
from nmfdiag.factorize.signed import signed_full_rank, signed_nmf, signed_nmf_batch, signed_ranks

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
    "signed_full_rank",
    "signed_nmf",
    "signed_nmf_batch",
    "signed_ranks",
]
