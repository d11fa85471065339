"""Whatever a network's code can reach from its modules is put back, where measuring succeeds and where it fails: the same objects.

Each network keeps something in another kind of place; what is compared is what its own code would see there.
"""

import array
import io
import itertools
import queue
import random
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nmfdiag
from nmfdiag.networks import snapshot
from nmfdiag.networks.evaluation import evaluating
from nmfdiag.networks.split import SplitNetwork

X = torch.rand(24, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(24) % 2
FAILING = {"at": 0, "calls": 0}
"""When a network fails; counted outside of it, as all in it is put back."""


class Base(nn.Module):
    """One ReLU; ``keep`` is what a subclass does with what it holds, and ``state`` is what that is."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 8), nn.Linear(8, 2)
        self.hold()

    def hold(self) -> None: ...

    def keep(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def state(self) -> Any:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = self.keep(x)
        FAILING["calls"] += 1
        if FAILING["calls"] == FAILING["at"]:
            raise RuntimeError("now")
        return self.last(F.relu(self.first(x)))


class Meter:
    """An object with attributes."""

    def __init__(self) -> None:
        self.n, self.inner = 0, None

    def __call__(self) -> None:
        self.n += 1


class Slotted:
    """An object with slots, of which one is empty."""

    __slots__ = ("empty", "n")

    def __init__(self) -> None:
        self.n = 0


class OwnList(list):
    """A list with attributes, whose own methods misreport its content."""

    def __iter__(self) -> Any:
        return iter(())


def counting() -> Callable[[], int]:
    calls = 0

    def call() -> int:
        nonlocal calls
        calls += 1
        return calls

    return call


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().numpy().tobytes()


CASES: dict[str, tuple[Callable[[], Any], Callable[[Any, nn.Module], Any], Callable[[Any], Any]]] = {
    "Counter": (Counter, lambda c, _: c.update("n"), dict),
    "OrderedDict": (lambda: OrderedDict(a=1, b=2), lambda o, _: o.move_to_end("a"), list),
    "defaultdict": (lambda: defaultdict(list), lambda d, _: d["n"].append(1), dict),
    "own list": (lambda: OwnList([1]), lambda own, _: (own.append(2), setattr(own, "n", 1)), lambda own: (own[:], vars(own))),
    "UserDict": (UserDict, lambda d, _: d.update(n=1), dict),
    "deque": (lambda: deque([1, 2], maxlen=2), lambda d, _: d.append(3), list),
    "set in a tuple": (lambda: ({1},), lambda t, _: t[0].add(len(t[0]) + 1), lambda t: sorted(t[0])),
    "bytearray": (lambda: bytearray(2), lambda b, _: b.append(1), bytes),
    "array": (lambda: array.array("d", [0.0]), lambda a, _: a.append(1.0), list),
    "text": (io.StringIO, lambda text, _: text.write("n"), lambda text: (text.getvalue(), text.tell())),
    "ndarray": (lambda: np.zeros(2), lambda a, _: a.__iadd__(1), np.ndarray.tolist),
    "ndarray of objects": (lambda: np.array([[], None], object), lambda a, _: a[0].append(1), repr),
    "view of an ndarray": (lambda: np.zeros((4, 4))[::2, 1:], lambda a, _: a.__iadd__(1), np.ndarray.tolist),
    "RandomState": (lambda: np.random.RandomState(0), lambda r, _: r.rand(), lambda r: r.get_state()[2]),
    "NumPy's generator": (lambda: [np.random.default_rng(0)], lambda r, _: r[0].random(), lambda r: str(r[0].bit_generator.state)),
    "bit generator": (lambda: np.random.PCG64(0), lambda r, _: r.random_raw(), lambda r: str(r.state)),
    "torch's generator": (lambda: {"g": torch.Generator()}, lambda g, _: torch.rand(1, generator=g["g"]), lambda g: bits(g["g"].get_state())),
    "Python's generator": (lambda: [random.Random(0)], lambda r, _: r[0].random(), lambda r: r[0].getstate()),
    "object in objects": (
        lambda: SimpleNamespace(meter=SimpleNamespace(n=0)), lambda o, _: setattr(o.meter, "n", o.meter.n + 1), lambda o: o.meter.n
    ),
    "object in a list": (lambda: [Meter()], lambda o, _: o[0](), lambda o: o[0].n),
    "callable object": (Meter, lambda o, _: o(), lambda o: o.n),
    "slots": (Slotted, lambda o, _: (setattr(o, "n", o.n + 1), setattr(o, "empty", 1)), lambda o: (o.n, hasattr(o, "empty"))),
    "closure": (counting, lambda call, _: call(), lambda call: call.__closure__[0].cell_contents),
    "attribute of a function": (lambda: partial(lambda: 0), lambda call, _: setattr(call.func, "n", 1), lambda call: dict(vars(call.func))),
    "method of an object": (lambda: Meter().__call__, lambda call, _: call(), lambda call: call.__self__.n),
    "method of a list": (lambda: [].append, lambda append, _: append(1), lambda append: list(append.__self__)),
    "queue": (queue.Queue, lambda q, _: q.put(1), lambda q: (q.qsize(), q.unfinished_tasks)),
    "count": (itertools.count, lambda count, _: next(count), repr),
    "count in a tuple": (lambda: [(itertools.count(), 1)], lambda pairs, _: next(pairs[0][0]), lambda pairs: repr(pairs[0][0])),
    "tensor in an object": (lambda: SimpleNamespace(n=torch.zeros(2)), lambda o, _: o.n.add_(1), lambda o: bits(o.n)),
    "attribute of a tensor": (lambda: torch.zeros(1), lambda t, _: setattr(t, "n", 1), lambda t: dict(vars(t))),
}  # fmt: skip
"""By name: the held object, its use in each call, and the part that is compared."""


def holding(name: str) -> Base:
    make, use, see = CASES[name]

    class Holding(Base):
        def hold(self) -> None:
            self.held = make()

        def keep(self, x: Tensor) -> Tensor:
            use(self.held, self)
            return x

        def state(self) -> Any:
            return id(self.held), see(self.held)

    return Holding()


class Unregistered(Base):
    """It holds modules in a list, in a dictionary and in an object: batch norm and dropout, and one that holds another."""

    def hold(self) -> None:
        self.__dict__["stem"] = [nn.BatchNorm1d(6), nn.Dropout(0.5)]
        self.inner = {"n": SimpleNamespace(net=nn.Sequential(nn.BatchNorm1d(6)))}
        self.inner["n"].net.__dict__["owner"] = [self]

    def keep(self, x: Tensor) -> Tensor:
        return self.inner["n"].net(self.stem[1](self.stem[0](x)))

    def state(self) -> Any:
        parts = [*self.stem, *self.inner["n"].net]
        values = [bits(value) for part in parts for value in part.state_dict().values()]
        return values, [part.training for part in parts], [id(part) for part in parts]


class UnregisteredWeights(Base):
    """It writes into the weights and into a buffer of a module that is not registered, and swaps a third's memory."""

    def hold(self) -> None:
        self.__dict__["stem"] = [nn.Linear(6, 6)]
        self.stem[0].register_buffer("n", torch.zeros(1))

    def keep(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.stem[0].weight.mul_(0.9)
            self.stem[0].n.add_(1)
            self.stem[0].bias.data = self.stem[0].bias.data + 1
        return self.stem[0](x)

    def state(self) -> Any:
        return [(bits(value), value.data_ptr()) for value in self.stem[0].state_dict().values()]


class ForEach(Base):
    """It writes into its parameters by a call with a list of them."""

    def keep(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            torch._foreach_mul_([self.first.weight, self.last.weight], 0.9)
        return x

    def state(self) -> Any:
        return [bits(parameter) for parameter in self.parameters()]


class Adapting(Base):
    """It takes a step of an optimizer before it answers, as adaptation at test time does."""

    def hold(self) -> None:
        self.optimizer = torch.optim.Adam(self.parameters(), 0.01)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 1)
        self.last.weight.grad = torch.ones_like(self.last.weight)
        self.optimizer.step()
        self.schedule.step()
        self.gradient = id(self.last.weight.grad)

    def keep(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            loss = self.last(torch.tanh(self.first(x.detach()))).square().sum()
            self.optimizer.zero_grad(set_to_none=False)
            loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return x

    def state(self) -> Any:
        grads = [None if p.grad is None else (id(p.grad), bits(p.grad)) for p in self.parameters()]
        gathered = [(bits(v), id(v)) for state in self.optimizer.state.values() for v in state.values()]
        settings = self.optimizer.param_groups[0]["lr"], self.schedule.last_epoch
        hooks = len(self.optimizer._optimizer_step_pre_hooks)
        return grads, gathered, settings, [bits(p) for p in self.parameters()], hooks


class OfItsClass(Base):
    """It counts its calls where all objects of its class see it."""

    calls, sizes, ids = 0, [1], itertools.count()

    def keep(self, x: Tensor) -> Tensor:
        type(self).calls += 1
        type(self).new = next(self.ids)  # type: ignore[attr-defined]
        self.sizes.append(len(x))
        return x

    def state(self) -> Any:
        return self.calls, list(self.sizes), repr(self.ids), hasattr(type(self), "new")


class Freezing(Base):
    """It freezes a parameter, and has a hook on another."""

    def keep(self, x: Tensor) -> Tensor:
        self.first.weight.requires_grad_(False)
        self.last.weight.register_hook(lambda grad: grad)
        return x

    def state(self) -> Any:
        return self.first.weight.requires_grad, self.last.weight._backward_hooks


NETWORKS: dict[str, Callable[[], Base]] = {name: partial(holding, name) for name in CASES} | {
    kind.__name__: kind for kind in (Unregistered, UnregisteredWeights, ForEach, Adapting, OfItsClass, Freezing)
}


@pytest.mark.parametrize(
    "failing_call", [0, 1, 4], ids=lambda failing_call: f"fails at {failing_call}" if failing_call else "succeeds"
)
@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_network_holds_is_put_back(name: str, failing_call: int) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name]().train()
    before = model.state()
    FAILING.update(at=failing_call, calls=0)
    try:
        nmfdiag.compression_curve(model, "relu", X, Y, method="pca", ranks=[1, 8])
    except nmfdiag.NmfdiagError:
        assert failing_call
    finally:
        FAILING.update(at=0)
    assert FAILING["calls"] >= (failing_call or 3)
    assert model.state() == before
    model(X)
    assert model.state() != before  # the state is what a call changes


def test_training_is_the_same_with_a_monitor() -> None:
    states = []
    for watches in (False, True):
        torch.manual_seed(0)
        model = Unregistered()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        monitor = nmfdiag.MemorizationMonitor(X, Y, per_class=6, overhead=1e9)
        for epoch in range(3):
            optimizer.zero_grad()
            F.cross_entropy(model.train()(X), Y).backward()
            optimizer.step()
            if watches:
                assert monitor.on_epoch_end(model, epoch)["curves"]
        states.append((model.state()[:2], [bits(parameter) for parameter in model.parameters()]))
    assert states[0] == states[1]


def test_unregistered_modules_are_evaluated_and_it_is_said() -> None:
    model = Unregistered().train()
    network = SplitNetwork(model, X[:2])
    logits = network.logits(X)
    assert model.stem[0].training and any("BatchNorm1d, Dropout" in remark for remark in network.remarks)
    for part in (model, *model.stem, model.inner["n"].net):
        part.eval()
    assert torch.allclose(logits, model(X), atol=1e-6)
    assert not SplitNetwork(model, X[:2]).remarks


def test_what_cannot_be_put_back_is_said() -> None:
    def numbers() -> Any:
        yield from range(10**6)

    class Drawing(Base):
        def hold(self) -> None:
            self.numbers = [numbers()]

        def keep(self, x: Tensor) -> Tensor:
            next(self.numbers[0])
            return x

    remarks = SplitNetwork(Drawing(), X[:2]).remarks
    assert [remark for remark in remarks if "holds a generator" in remark and "not put back" in remark]


class Refusing:
    """An object whose attributes can't be read."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class OwnDict(dict):
    """A dictionary whose content can't be read."""

    def items(self) -> Any:
        raise RuntimeError("items")


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's, of tensors of such kinds
def test_odd_things_that_are_held_disturb_nothing() -> None:
    circle: list[Any] = []
    circle.append(circle)
    things = [
        torch.eye(2).to_sparse(), torch.empty(2, device="meta"), torch.rand(2, dtype=torch.complex64).conj(), torch.zeros(1).expand(3),
        torch.nested.nested_tensor([torch.rand(2), torch.rand(3)]), nn.LazyLinear(2), Refusing(), OwnDict(n=1), circle, random.SystemRandom(),
    ]  # fmt: skip
    model = holding("count")
    model.__dict__["odd"] = list(things)
    curve = nmfdiag.compression_curve(model, "relu", X, Y, method="pca", ranks=[8])
    assert curve.accuracy[0] == float((Base.forward(model.eval(), X).argmax(1) == Y).float().mean())
    assert all(a is b for a, b in zip(model.odd, things, strict=True))


def test_much_that_is_held_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A memory of many objects, a large array and a long chain cost little, and the rest is reported."""
    for name, limit in {"OBJECTS": 500, "ENTRIES": 100, "LARGE_BYTES": 2**20}.items():
        monkeypatch.setattr(snapshot, name, limit)
    model = holding("Counter")
    model.memory = deque([Meter() for _ in range(1000)])
    model.pixels = np.zeros(2**21, np.uint8)
    model.chain = Meter()
    last = model.chain
    for _ in range(2000):
        last.inner = Meter()  # type: ignore[assignment]
        last = last.inner  # type: ignore[assignment]
    last.inner = model.chain  # type: ignore[assignment]
    values = list(model.memory)
    with evaluating(model, X) as state:
        model.memory.append(Meter())
        for meter in (model.chain, last):
            meter()
    assert (model.chain.n, last.n) == (0, 1)
    assert len(model.memory) == len(values) and all(a is b for a, b in zip(model.memory, values, strict=True))
    assert "a tuple of 1000 objects, an array of 2 MiB, more than" in " ".join(state.remarks)


def test_a_network_may_hold_its_own_monitor() -> None:
    """The monitor's own state is not restored."""
    model = holding("Counter")
    model.monitor = nmfdiag.MemorizationMonitor(X, Y, per_class=6, overhead=1e9)
    for epoch in range(2):
        assert model.monitor.on_epoch_end(model, epoch)["curves"]
    assert len(model.monitor.history) == 2
