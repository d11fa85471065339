"""What memorising means: the share of the given labels that a network predicts for no other reason than that it was trained on them."""

MEMORISED = 0.15
"""Share from which on a network counts as memorising."""


def memorised_share(accuracy: float, wrong: float, unseen_accuracy: float) -> float:
    """Return that share: the accuracy on given labels less that on equally labelled samples that the network has never seen.

    Args:
        accuracy: On the given labels of the training samples.
        wrong: Share of these labels that are wrong.
        unseen_accuracy: On new samples with right labels.

    Returns:
        In [0, 1].

    >>> round(memorised_share(1.0, 0.2, 0.9), 2), memorised_share(0.5, 0.0, 0.6)
    (0.28, 0.0)
    """
    return min(1.0, max(0.0, accuracy - (1 - wrong) * unseen_accuracy))
