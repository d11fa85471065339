"""What the sidebar says, in primitives: which curves it asks for, and how they are named and grouped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest, profile_requests
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import methods_for
from nmfdiag.measures.stats.summary import Spread, spread
from nmfdiag.views.option_names import Reserved, options_of
from nmfdiag.zoo.registry import ZooEntry

EACH_CLASS, MULTI, BOTH = (Reserved(word) for word in ("each class", "multi-class", "both"))
ALONE = "nothing else"
"""Drawn beside the networks of a choice."""
MULTI_DRAWS = 3
"""Multi-class batches drawn where they are compared with single-class ones: one alone would have no spread."""

Curves = Mapping[CurveRequest, CompressionCurve]


def methods_of(network: ZooEntry) -> tuple[str, ...]:
    """The methods that fit a network, its own first: NMF, or signed NMF where its activations can be negative."""
    return methods_for(network.activations)


@dataclass(frozen=True)
class Choice:
    """Networks of one family that differ in p, and what is to be measured on them.

    Attributes:
        networks: By ascending p.
        layer: The layer whose curves are shown.
        batch: :data:`EACH_CLASS`, :data:`MULTI`, :data:`BOTH`, or the name of a class; text is taken for a class of that name, else
            for an option of :attr:`batches`.
        methods: Compression methods, at least one.
        per_class: Samples a batch.
        grid: The rank grid, a name in :data:`nmfdiag.jobs.requests.GRIDS`.
        solver: NMF's.
        axis: ``"linear"`` or ``"log"``: the rank axis of plots and of the area under them.
        device: Where to compute.
        beside: A network to draw beside these; None draws these alone.
        place: Tells what is drawn of it on a page apart from what is drawn beside it; empty for what stands alone or first.
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
    beside: ZooEntry | None = None
    place: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.batch, Reserved) and self.batch not in self.networks[0].class_names:
            meant = {str(BOTH): BOTH} | self.batches
            object.__setattr__(self, "batch", meant.get(self.batch, self.batch))

    @property
    def batches(self) -> dict[str, str]:
        """The batches that can be chosen, by what the sidebar and links call them."""
        return options_of((EACH_CLASS, MULTI), self.names)

    @property
    def batch_option(self) -> str:
        """What the sidebar and links call the batch."""
        return next((option for option, batch in self.batches.items() if batch == self.batch), str(self.batch))

    @property
    def layers(self) -> list[str]:
        return list(self.networks[0].layers)

    @property
    def channels(self) -> int:
        """Of the layer shown."""
        return self.networks[0].layers[self.layer]

    @property
    def classes(self) -> tuple[int, ...]:
        network = self.networks[0]
        if self.batch == MULTI:
            return (MULTI_CLASS,)
        if self.batch == BOTH:
            return (MULTI_CLASS, *network.classes)
        return network.classes if self.batch == EACH_CLASS else (network.class_names.index(self.batch),)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that there are samples of."""
        return tuple(self.networks[0].class_names[c] for c in self.networks[0].classes)

    @property
    def method(self) -> str:
        """The method that answers are about: the networks' own where it is chosen."""
        own = methods_of(self.networks[0])[0]
        return own if own in self.methods else self.methods[0]

    @property
    def batch_words(self) -> str:
        """The batches in words."""
        if self.batch == MULTI:
            return f"multi-class batch of {self.per_class}"
        if self.batch == BOTH:
            return f"single-class batches and {MULTI_DRAWS} multi-class ones of {self.per_class}"
        if self.batch == EACH_CLASS:
            return f"single-class batches of {self.per_class}"
        return f"class {self.batch}, {self.per_class} samples"

    @property
    def family(self) -> str:
        """Data set and architecture, which the networks share."""
        recipe = self.networks[0].recipe
        return f"{recipe.dataset} {recipe.arch}"

    @property
    def subject(self) -> str:
        """The networks, and those beside them, in words, and the batches."""
        beside = f" · beside {self.other.named}" if self.other else ""
        return f"{self.named} · {self.batch_words}{beside}"

    @property
    def named(self) -> str:
        """The networks in words."""
        recipe = self.networks[0].recipe
        if self.networks[0].called:
            return f"{recipe.dataset} · {recipe.arch} · p unknown"
        levels = ", ".join(f"{n.label_noise:g}" for n in self.networks)
        return f"{recipe.dataset} · {recipe.arch} · p = {levels} · seed {recipe.seed}"

    @property
    def file_stem(self) -> str:
        """The networks in a file name, whether or not they are of one family."""
        if self.networks[0].called:
            return self.networks[0].name
        names = dict.fromkeys(f"{n.recipe.dataset}_{n.recipe.arch}" for n in self.networks)
        levels = "-".join(f"{p:g}" for p in sorted({n.recipe.label_noise for n in self.networks}))
        return f"{'_'.join(names)}_p{levels}_s{self.networks[0].recipe.seed}"

    @property
    def link(self) -> list[tuple[str, str]]:
        """The query parameters that bring a reader to this choice."""
        recipe = self.networks[0].recipe
        return [
            ("data", recipe.dataset),
            ("arch", recipe.arch),
            *(("p", f"{n.label_noise:g}") for n in self.networks if not n.called),
            ("layer", self.layer),
            ("batch", self.batch_option),
            ("seed", str(recipe.seed)),
            *(("methods", method) for method in self.methods),
            ("n", str(self.per_class)),
            ("grid", self.grid),
            ("solver", self.solver),
            ("axis", self.axis),
            *([("beside", self.beside.name)] if self.beside else []),
        ]

    @property
    def other(self) -> "Choice | None":
        """The same question to the network beside: its layer of that name or depth, its class of that name or each."""
        if self.beside is None:
            return None
        network, depth = self.beside, self.layers.index(self.layer) / max(1, len(self.layers) - 1)
        theirs = list(network.layers)
        names = [network.class_names[c] for c in network.classes]
        own, fitting = methods_of(self.networks[0])[0], methods_of(network)
        methods = tuple(dict.fromkeys(fitting[0] if method == own else method for method in self.methods))
        return replace(
            self,
            networks=(network,),
            layer=self.layer if self.layer in theirs else theirs[round(depth * (len(theirs) - 1))],
            batch=self.batch if self.batch in (EACH_CLASS, MULTI, BOTH, *names) else EACH_CLASS,
            methods=methods,
            per_class=min(self.per_class, network.pool_per_class or self.per_class),
            beside=None,
            place="beside-",
        )

    @property
    def alone(self) -> "Choice":
        """The first network and one batch of it: what is timed is one matrix."""
        batch = self.names[0] if self.batch == EACH_CLASS else self.batch
        return replace(self, networks=self.networks[:1], batch=batch)

    def requests(self, *, layers: Sequence[str] | None = None, operation: str = "compress") -> list[CurveRequest]:
        """The curves of these networks, the first class of every network first."""
        return [
            request
            for c in self.classes
            for seed in range(MULTI_DRAWS if self.batch == BOTH and c == MULTI_CLASS else 1)
            for network in self.networks
            for request in profile_requests(
                network,
                layers=layers,
                classes=[c],
                methods=self.methods,
                per_class=self.per_class,
                grid=self.grid,
                solver=self.solver,
                seed=seed,
                operation=operation,
            )
        ]

    def ablations(self) -> list[CurveRequest]:
        """The curves of the opposite operation, those of the chosen layer first."""
        everywhere = self.requests(operation="ablate")
        return sorted(everywhere, key=lambda request: request.layer != self.layer)

    def label_noise(self, request: CurveRequest) -> float:
        """The p of a request's network."""
        return next(n.label_noise for n in self.networks if n.name == request.entry)

    def at_layer(self, results: Curves) -> dict[tuple[float, str], list[CompressionCurve]]:
        """The chosen layer's curves, one a class, for each p and method."""
        found: dict[tuple[float, str], list[CompressionCurve]] = {}
        for request, curve in results.items():
            if request.layer == self.layer:
                found.setdefault((self.label_noise(request), request.method), []).append(curve)
        return dict(sorted(found.items()))

    def by_class(self, results: Curves, layer: str) -> dict[tuple[float, str], dict[int, CompressionCurve]]:
        """A layer's curves by class, for each p and method."""
        found: dict[tuple[float, str], dict[int, CompressionCurve]] = {}
        for request, curve in results.items():
            if request.layer == layer:
                found.setdefault((self.label_noise(request), request.method), {})[request.class_idx] = curve
        return dict(sorted(found.items()))

    def part(self, results: Curves, *, multi: bool) -> dict[CurveRequest, CompressionCurve]:
        """These networks' curves of one kind of batch, from those of several families and kinds."""
        names = {n.name for n in self.networks}
        return {r: c for r, c in results.items() if r.entry in names and (r.class_idx == MULTI_CLASS) == multi}

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

    def area(self, curve: CompressionCurve) -> float:
        """AuC on the chosen axis."""
        return curve.auc_over(self.axis)

    def auc_spreads(
        self, results: Curves, area: Callable[[CompressionCurve, str], float] = CompressionCurve.auc_over
    ) -> dict[str, dict[float, dict[str, Spread]]]:
        """For each method, p and layer, the spread over classes of the area under the curve on the chosen axis."""
        by_method = {m: self.spreads(results, lambda curve: area(curve, self.axis), m) for m in self.methods}
        return {m: found for m, found in by_method.items() if found}


def fitted(choice: Choice, method: str) -> Choice:
    """The choice with one method; with the networks' own NMF, plain or signed, in the place of one that does not fit them."""
    fitting = methods_of(choice.networks[0])
    return replace(choice, methods=(method if method in fitting else fitting[0],))


def families(choice: Choice, zoo: Mapping[str, ZooEntry]) -> list[Choice]:
    """The same question to every data set and architecture of the zoo that has networks of this seed, the choice's own first.

    A family with other values of p is asked at those nearest to the chosen ones.
    """
    seed = choice.networks[0].recipe.seed
    found: dict[tuple[str, str], dict[float, ZooEntry]] = {}
    for entry in zoo.values():
        if entry.recipe.seed == seed:
            found.setdefault((entry.recipe.dataset, entry.recipe.arch), {})[entry.recipe.label_noise] = entry
    others = []
    for by_noise in found.values():
        nearest = {min(by_noise, key=lambda p: abs(p - n.recipe.label_noise)) for n in choice.networks}
        networks = tuple(by_noise[p] for p in sorted(nearest))
        others.append(replace(choice, networks=networks, layer=next(iter(networks[0].layers))))
    return [choice, *(other for other in others if other.family != choice.family)]
