"""The sidebar: what the reader chooses."""

from collections.abc import Collection

import streamlit as st

from nmfdiag.jobs.requests import GRIDS
from nmfdiag.measures.methods import METHODS
from nmfdiag.text import for_markdown
from nmfdiag.ui.address import start_run
from nmfdiag.ui.widgets import select_one, select_several
from nmfdiag.views.glossary import TERMS
from nmfdiag.views.selection import ALONE, EACH_CLASS, Choice, methods_of
from nmfdiag.zoo.registry import ZooEntry, broken, entries

BATCH_HELP = "Samples that share a given label, once for each class (the band is over classes), or a mixture of all."
GRID_HELP = "Full: two ranks a doubling. Coarse: one, in half the time."
SOLVER_HELP = "HALS is fast; MU are the paper's multiplicative updates."
BESIDE_HELP = "A second network, drawn into the same plots, or next to these where a plot has no room for it."
AXIS_HELP = (
    "Of the plots, and of the area under them: AuC over log k tells curves apart that are right from small ranks on."
)


def sidebar(without: Collection[str] = ()) -> Choice:
    """Draw the sidebar and return the choice; it lives in the URL, so that it survives page switches and reloads and can be sent.

    Controls named in ``without`` are not drawn: they change nothing on this page, or the page has them itself.
    """
    start_run()
    zoo = entries()
    with st.sidebar:
        for problem in broken():
            st.warning(for_markdown(problem))
        if not zoo:
            st.error("The zoo is empty. Train a network: `nmfdiag zoo train digits-mlp-p0-s0`")
            st.stop()
        own = any(entry.called for entry in zoo.values())
        label = "data set or network" if own else "data set"
        dataset = select_one(label, list(dict.fromkeys(e.recipe.dataset for e in zoo.values())), "data")
        archs = dict.fromkeys(e.recipe.arch for e in zoo.values() if e.recipe.dataset == dataset)
        arch = select_one("architecture", list(archs), "arch")
        family = [e for e in zoo.values() if (e.recipe.dataset, e.recipe.arch) == (dataset, arch)]
        main, expander = st.container(), st.expander("More", icon=":material/tune:")
        with expander:
            seed = select_one(
                "seed", sorted({e.recipe.seed for e in family}), "seed", help="Of data, weights and training."
            )
        with main:
            networks = _select_networks({e.recipe.label_noise: e for e in family if e.recipe.seed == seed})
            layers = list(networks[0].layers)
            third = len(layers) // 3
            layer = layers[third] if "layer" in without else select_one("layer", layers, "layer", default=third)
            batches = Choice(networks, layer).batches
            option = EACH_CLASS if "batch" in without else select_one("batch", list(batches), "batch", help=BATCH_HELP)
            batch = batches[str(option)]
        with expander:
            counterpart, grid, all_methods = None, GRIDS[0], methods_of(networks[0])
            methods = list(all_methods[:1])
            if "beside" not in without:
                counterpart = zoo.get(select_one("compare with", [ALONE, *zoo], "beside", help=BESIDE_HELP))
            if "methods" not in without:
                methods = select_several("methods", all_methods, "methods", methods, help=METHODS[methods[0]].help)
            axis, per_class, solver = "linear", 20, "hals"
            if "axis" not in without:
                axis = select_one("rank axis", ["linear", "log"], "axis", help=AXIS_HELP)
            if "n" not in without:
                per_class = select_one("samples a batch", [10, 20, 30, 50], "n", default=1)
            if "grid" not in without:
                grid = select_one("rank grid", GRIDS, "grid", help=GRID_HELP)
            if "solver" not in without:
                solver = select_one("NMF solver", ["hals", "mu"], "solver", help=SOLVER_HELP)
            device = select_one("device", ["auto", "cpu"], "device", help="auto: the GPU where there is one.")
    per_class = min(per_class, networks[0].pool_per_class or per_class)
    return Choice(networks, layer, batch, tuple(methods), per_class, grid, solver, axis, device, counterpart)


def _select_networks(by_noise: dict[float, ZooEntry]) -> tuple[ZooEntry, ...]:
    if any(network.called for network in by_noise.values()):
        return tuple(by_noise.values())  # the user's own have no p to choose from
    levels = sorted(by_noise)
    default = sorted({levels[0], levels[len(levels) // 2], levels[-1]})
    selected = select_several(
        "label noise p", levels, "p", default, help=TERMS["p"],
        format_func="{:g}".format,
    )  # fmt: skip
    return tuple(by_noise[p] for p in sorted(selected))
