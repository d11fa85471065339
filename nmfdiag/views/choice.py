"""What the sidebar says, in primitives: which curves it asks for, and how they are named and grouped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.summary import Spread, spread
from nmfdiag.runs.request import MULTI_CLASS, CurveRequest, profile_requests
from nmfdiag.zoo.registry import ZooEntry

EACH_CLASS, MULTI = "each class", "multi-class"

Curves = Mapping[CurveRequest, CompressionCurve]


@dataclass(frozen=True)
class Choice:
    """Networks of one family that differ in p, and what is to be measured on them.

    Attributes:
        networks: By ascending p.
        layer: The layer whose curves are shown.
        batch: :data:`EACH_CLASS`, :data:`MULTI`, or the name of a class.
        methods: Compression methods, at least one.
        per_class: Samples a batch.
        grid: The rank grid, a name in :data:`nmfdiag.runs.request.GRIDS`.
        solver: NMF's.
        axis: ``"linear"`` or ``"log"``: the rank axis of plots and of the area under them.
        device: Where to compute.
    """

    networks: tuple[ZooEntry, ...]
    layer: str
    batch: str = EACH_CLASS
    methods: tuple[str, ...] = ("nmf",)
    per_class: int = 20
    grid: str = "full"
    solver: str = "hals"
    axis: str = "linear"
    device: str = "auto"

    @property
    def layers(self) -> list[str]:
        return list(self.networks[0].layers)

    @property
    def channels(self) -> int:
        """Of the layer shown."""
        return self.networks[0].layers[self.layer]

    @property
    def classes(self) -> tuple[int, ...]:
        names = self.networks[0].class_names
        if self.batch == MULTI:
            return (MULTI_CLASS,)
        return tuple(range(len(names))) if self.batch == EACH_CLASS else (names.index(self.batch),)

    @property
    def method(self) -> str:
        """The method that answers are about: NMF where it is chosen."""
        return "nmf" if "nmf" in self.methods else self.methods[0]

    @property
    def batch_words(self) -> str:
        """The batches in words."""
        if self.batch == MULTI:
            return f"multi-class batch of {self.per_class}"
        if self.batch == EACH_CLASS:
            return f"single-class batches of {self.per_class}"
        return f"class {self.batch}, {self.per_class} samples"

    @property
    def subject(self) -> str:
        """The networks in words."""
        recipe = self.networks[0].recipe
        levels = ", ".join(f"{n.recipe.label_noise:g}" for n in self.networks)
        return f"{recipe.dataset} · {recipe.arch} · p = {levels} · seed {recipe.seed} · {self.batch_words}"

    @property
    def file_stem(self) -> str:
        """The networks in a file name."""
        recipe = self.networks[0].recipe
        levels = "-".join(f"{n.recipe.label_noise:g}" for n in self.networks)
        return f"{recipe.dataset}_{recipe.arch}_p{levels}_s{recipe.seed}"

    @property
    def link(self) -> list[tuple[str, str]]:
        """The query parameters that bring a reader to this choice."""
        recipe = self.networks[0].recipe
        return [
            ("data", recipe.dataset),
            ("arch", recipe.arch),
            *(("p", f"{n.recipe.label_noise:g}") for n in self.networks),
            ("layer", self.layer),
            ("batch", self.batch),
            ("seed", str(recipe.seed)),
            *(("methods", method) for method in self.methods),
            ("n", str(self.per_class)),
            ("grid", self.grid),
            ("solver", self.solver),
            ("axis", self.axis),
        ]

    @property
    def alone(self) -> "Choice":
        """The first network and one batch of it: what is timed is one matrix."""
        batch = self.networks[0].class_names[0] if self.batch == EACH_CLASS else self.batch
        return replace(self, networks=self.networks[:1], batch=batch)

    def requests(self, *, layers: Sequence[str] | None = None) -> list[CurveRequest]:
        """The curves of these networks, the first class of every network first."""
        return [
            request
            for c in self.classes
            for network in self.networks
            for request in profile_requests(
                network,
                layers=layers,
                classes=[c],
                methods=self.methods,
                per_class=self.per_class,
                grid=self.grid,
                solver=self.solver,
            )
        ]

    def label_noise(self, request: CurveRequest) -> float:
        """The p of a request's network."""
        return next(n.recipe.label_noise for n in self.networks if n.name == request.entry)

    def at_layer(self, results: Curves) -> dict[tuple[float, str], list[CompressionCurve]]:
        """The chosen layer's curves, one a class, for each p and method."""
        found: dict[tuple[float, str], list[CompressionCurve]] = {}
        for request, curve in results.items():
            if request.layer == self.layer:
                found.setdefault((self.label_noise(request), request.method), []).append(curve)
        return dict(sorted(found.items()))

    def spreads(
        self, results: Curves, of: Callable[[CompressionCurve], float], method: str
    ) -> dict[float, dict[str, Spread]]:
        """For each p and layer, the spread over classes of a value of one method's curves."""
        found: dict[float, dict[str, list[float]]] = {}
        for request, curve in results.items():
            if request.method == method:
                found.setdefault(self.label_noise(request), {}).setdefault(request.layer, []).append(of(curve))
        return {
            p: {layer: spread(found[p][layer]) for layer in self.layers if layer in found[p]} for p in sorted(found)
        }

    def auc_spreads(self, results: Curves) -> dict[str, dict[float, dict[str, Spread]]]:
        """For each method, p and layer, the spread over classes of the area under the curve on the chosen axis."""
        by_method = {m: self.spreads(results, lambda curve: curve.auc_over(self.axis), m) for m in self.methods}
        return {m: found for m, found in by_method.items() if found}
