"""The paper's figures as choices of the sidebar and of the pages, on the network nearest to the paper's."""

from collections.abc import Mapping
from typing import Any

from nmfdiag.views.selection import EACH_CLASS

Presets = Mapping[str, Mapping[str, Any]]

_NETWORK = {
    "data": "cifar10",
    "arch": "cnn",
    "seed": 0,
    "batch": str(EACH_CLASS),
    "axis": "linear",
    "solver": "hals",
    "n": 20,
}
_LEVELS = {"p": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]}

OVERVIEW: Presets = {"Figure 2c": {**_NETWORK, **_LEVELS, "methods": ["nmf"]}}
CURVES: Presets = {
    "Figure 2a": {**_NETWORK, **_LEVELS, "methods": ["nmf"], "layer": "conv2_2"},
    "Figure 2b": {**_NETWORK, **_LEVELS, "methods": ["nmf"], "layer": "conv4_1"},
    "Figure 3": {**_NETWORK, "p": [0.0, 0.6, 1.0], "methods": ["nmf", "pca"], "layer": "conv3_3"},
}
PHASES = OVERVIEW
CLASSES: Presets = {"Figure 8": {**_NETWORK, "p": [0.0], "methods": ["nmf"], "layer": "conv3_2"}}
RECONSTRUCTION: Presets = {
    "Figure 10a": {**_NETWORK, **_LEVELS, "methods": ["nmf"], "error": "raw"},
    "Figure 10b": {**_NETWORK, **_LEVELS, "methods": ["nmf"], "error": "relative"},
    "Figure 10c": {**_NETWORK, "p": [0.8, 0.9, 1.0], "methods": ["nmf"], "error": "relative"},
}
