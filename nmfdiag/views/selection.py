"""The choices of the sidebar, in primitives: the curves that they ask for, and their names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nmfdiag.jobs.requests import MULTI_CLASS, CurveRequest, profile_requests
from nmfdiag.measures.curve import CompressionCurve
from nmfdiag.measures.methods import methods_for
from nmfdiag.views.option_names import Reserved, options_of
from nmfdiag.zoo.registry import ZooEntry

EACH_CLASS, MULTI, BOTH = (Reserved(word) for word in ("each class", "multi-class", "both"))
ALONE = "none"
"""The option of the sidebar that draws no second network."""
MULTI_DRAWS = 3
"""Number of multi-class batches where they are compared with single-class ones; a single batch has no spread."""


def methods_of(network: ZooEntry) -> tuple[str, ...]:
    """Return the methods that fit a network, its own first: NMF, or signed NMF where its activations can be negative."""
    return methods_for(network.activations)


@dataclass(frozen=True)
class Choice:
    """Networks of one family that differ in p, and the measurement to make on them.

    Attributes:
        networks: By ascending p.
        layer: The layer whose curves are shown.
        batch: :data:`EACH_CLASS`, :data:`MULTI`, :data:`BOTH`, or the name of a class. Plain text that names no class is read as
            an option of :attr:`batches`.
        methods: Compression methods, at least one.
        per_class: Samples per batch.
        grid: The rank grid, a name in :data:`nmfdiag.jobs.requests.GRIDS`.
        solver: The solver of NMF.
        axis: ``"linear"`` or ``"log"``: the rank axis of plots and of the area under them.
        device: Device to compute on.
        beside: A network to compare these with; None for no comparison. One of these networks is not compared with itself.
        place: Prefix of the keys of its plots on a page; empty for the choice that stands first.
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
            options = {str(BOTH): BOTH} | self.batches
            object.__setattr__(self, "batch", options.get(self.batch, self.batch))

    @property
    def batches(self) -> dict[str, str]:
        """The batches on offer, by their option in the sidebar and in links."""
        return options_of((EACH_CLASS, MULTI), self.names)

    @property
    def batch_option(self) -> str:
        """The batch's option in the sidebar and in links."""
        return next((option for option, batch in self.batches.items() if batch == self.batch), str(self.batch))

    @property
    def layers(self) -> list[str]:
        return list(self.networks[0].layers)

    @property
    def channels(self) -> int:
        """The width of the layer shown."""
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
        """The names of the classes that have samples."""
        return tuple(self.networks[0].class_names[c] for c in self.networks[0].classes)

    @property
    def method(self) -> str:
        """The method of the answer: the networks' own where it is chosen."""
        own = methods_of(self.networks[0])[0]
        return own if own in self.methods else self.methods[0]

    @property
    def batch_text(self) -> str:
        """The batches, as text."""
        if self.batch == MULTI:
            return f"multi-class batch of {self.per_class}"
        if self.batch == BOTH:
            return f"single-class batches and {MULTI_DRAWS} multi-class ones of {self.per_class}"
        if self.batch == EACH_CLASS:
            return f"single-class batches of {self.per_class}"
        return f"class {self.batch}, {self.per_class} samples"

    @property
    def family(self) -> str:
        """The data set and architecture that the networks share."""
        recipe = self.networks[0].recipe
        return f"{recipe.dataset} {recipe.arch}"

    @property
    def subject(self) -> str:
        """The networks, their batches and the network beside them, as text."""
        suffix = f" · beside {self.counterpart.networks_text}" if self.counterpart else ""
        return f"{self.networks_text} · {self.batch_text}{suffix}"

    @property
    def networks_text(self) -> str:
        """The networks, as text."""
        recipe = self.networks[0].recipe
        if self.networks[0].called:
            return f"{recipe.dataset} · {recipe.arch} · p unknown"
        levels = ", ".join(f"{n.label_noise:g}" for n in self.networks)
        return f"{recipe.dataset} · {recipe.arch} · p = {levels} · seed {recipe.seed}"

    @property
    def file_stem(self) -> str:
        """The networks in a file name; they may be of several families."""
        suffix = f"_and_{self.counterpart.networks[0].name}" if self.counterpart else ""
        if self.networks[0].called:
            return f"{self.networks[0].name}{suffix}"
        names = dict.fromkeys(f"{n.recipe.dataset}_{n.recipe.arch}" for n in self.networks)
        levels = "-".join(f"{p:g}" for p in sorted({n.recipe.label_noise for n in self.networks}))
        return f"{'_'.join(names)}_p{levels}_s{self.networks[0].recipe.seed}{suffix}"

    @property
    def counterpart(self) -> "Choice | None":
        """The same question to the network beside: its layer of that name or depth, its class of that name or each class."""
        if self.beside is None or self.beside.name in {n.name for n in self.networks}:
            return None
        network, depth = self.beside, self.layers.index(self.layer) / max(1, len(self.layers) - 1)
        layers = list(network.layers)
        names = [network.class_names[c] for c in network.classes]
        own, fitting = methods_of(self.networks[0])[0], methods_of(network)
        methods = tuple(dict.fromkeys(fitting[0] if method == own else method for method in self.methods))
        return replace(
            self,
            networks=(network,),
            layer=self.layer if self.layer in layers else layers[round(depth * (len(layers) - 1))],
            batch=self.batch if self.batch in (EACH_CLASS, MULTI, BOTH, *names) else EACH_CLASS,
            methods=methods,
            per_class=min(self.per_class, network.pool_per_class or self.per_class),
            beside=None,
            place="beside-",
        )

    @property
    def sides(self) -> "tuple[Choice, ...]":
        """This choice, and that of the network compared with it."""
        return (self, self.counterpart) if self.counterpart else (self,)

    @property
    def all_networks(self) -> tuple[ZooEntry, ...]:
        """The networks, and the one compared with them."""
        return tuple(network for side in self.sides for network in side.networks)

    @property
    def alone(self) -> "Choice":
        """The first network and one batch of it, whose matrix can be timed."""
        batch = self.names[0] if self.batch == EACH_CLASS else self.batch
        return replace(self, networks=self.networks[:1], batch=batch)

    def requests(self, *, layers: Sequence[str] | None = None, operation: str = "compress") -> list[CurveRequest]:
        """Return the requests for the curves of these networks, the first class of every network first."""
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
        """Return the requests for the opposite operation, the chosen layer first."""
        return sorted(self.requests(operation="ablate"), key=lambda request: request.layer != self.layer)

    def label_noise(self, request: CurveRequest) -> float:
        """Return the p of a request's network."""
        return next(n.label_noise for n in self.networks if n.name == request.entry)

    def area(self, curve: CompressionCurve) -> float:
        """Return the AuC on the chosen axis."""
        return curve.auc_over(self.axis)


def fitted(choice: Choice, method: str) -> Choice:
    """Return the choice with one method; a method that does not fit the networks is replaced by their own NMF, plain or signed."""
    fitting = methods_of(choice.networks[0])
    return replace(choice, methods=(method if method in fitting else fitting[0],))


def families(choice: Choice, zoo: Mapping[str, ZooEntry]) -> list[Choice]:
    """Return the same question to every family (data set and architecture) of the zoo with this seed, the choice's own first.

    A family without the chosen values of p takes its nearest ones.
    """
    seed = choice.networks[0].recipe.seed
    entries: dict[tuple[str, str], dict[float, ZooEntry]] = {}
    for entry in zoo.values():
        if entry.recipe.seed == seed:
            entries.setdefault((entry.recipe.dataset, entry.recipe.arch), {})[entry.recipe.label_noise] = entry
    choices = []
    for by_noise in entries.values():
        nearest = {min(by_noise, key=lambda p: abs(p - n.recipe.label_noise)) for n in choice.networks}
        networks = tuple(by_noise[p] for p in sorted(nearest))
        choices.append(replace(choice, networks=networks, layer=next(iter(networks[0].layers))))
    return [choice, *(candidate for candidate in choices if candidate.family != choice.family)]
