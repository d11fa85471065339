"""The terms that every page uses, in one sentence each: the tooltips of the widgets and headings that name them."""

TERMS = {
    "layer": "One step of the network: it hands each sample on as numbers, one for each channel, or one for each channel and place.",
    "k": "How many directions a layer may keep: patterns of channels, of which every sample's activations are a mixture.",
    "AuC": "The mean accuracy over all k, from 0 to 1: near 1 few directions are enough; low where the layer needs nearly all it has.",
    "p": "The share of training labels that were replaced by random ones: 0 is clean, 1 is all random.",
    "layer phases": "The layers of a network in three runs: extraction of features, then memorisation where AuC dips, then clustering of classes.",
    "references": "Networks that were trained with a known share of random labels, with which a network is compared.",
    "suspects": "Training samples whose given label disagrees with what the network has found in other samples: those most likely to be wrong.",
    "expected error": "The share of new samples with right labels that the network is expected to get wrong.",
}
"""Term -> its definition."""
