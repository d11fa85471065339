"""A network from the user's own code: every way to name it, and a sentence for every failure."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.checkpoints.read import factory

CODE = """
import functools
from torch import nn

class Net(nn.Sequential):
    def __init__(self, width=3):
        super().__init__(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 2))

class Nets:
    small = staticmethod(lambda: Net(1))

def make():
    return Net()

def sized(width):
    return Net(width)

def fails():
    raise RuntimeError("no such " + "file" * 500)

def leaves():
    raise SystemExit(3)

def nothing():
    return None

def a_class():
    return Net

ready = Net(5).train()
partly = functools.partial(sized, 7)
number = 7
"""


@pytest.fixture
def code_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Change into a directory with the user's code, which Python can't import yet."""
    (tmp_path / "usercode").mkdir()
    (tmp_path / "usercode" / "nets.py").write_text(CODE)
    (tmp_path / "usercode" / "broken.py").write_text("import torch\ndef make(:\n")
    (tmp_path / "usercode" / "needs.py").write_text("import nowhere.at_all\n")
    (tmp_path / "usercode" / "script.py").write_text("import sys\nsys.exit('usage: script.py FILE')\n")
    (tmp_path / "usercode" / "late.py").write_text("def make():\n    from usercode.nets import Net\n    return Net()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "usercode"]:
        del sys.modules[name]


@pytest.mark.usefixtures("code_folder")
@pytest.mark.parametrize(
    ("spec", "width"),
    [
        ("nets:make", 3),
        ("nets:Net", 3),
        ("nets:Nets.small", 1),
        ("nets:ready", 5),
        ("nets:partly", 7),
        ("late:make", 3),
    ],
)
def test_ways_to_name_a_network(spec: str, width: int) -> None:
    network = factory(f"usercode.{spec}")
    assert isinstance(network, nn.Sequential) and network[0].out_features == width
    assert network.training


@pytest.mark.usefixtures("code_folder")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("usercode/nets.py:make", "names a file: accepted is the module's name, such as 'usercode.nets:make'"),
        ("./usercode/nets.py", "names a file: .* such as 'usercode.nets:NAME'"),
        ("usercode.nets", "does not name a network: accepted is 'package.module:name'"),
        ("usercode.nets:", "does not name a network"),
        (":make", "does not name a network"),
        ("", "does not name a network"),
        ("usercode.nowhere:make", "There is no module 'usercode.nowhere': searched in .* and the installed packages"),
        ("nowhere_at_all:make", "There is no module 'nowhere_at_all'"),
        (
            "usercode.needs:make",
            "Importing usercode.needs failed: it needs the module 'nowhere', which is not installed",
        ),
        ("usercode.broken:make", "Importing 'usercode.broken' failed with SyntaxError"),
        ("usercode.script:make", "Importing 'usercode.script' failed with SystemExit: usage"),
        (".nets:make", "Importing '.nets' failed with TypeError"),
        ("usercode.nets:build", "The module usercode.nets has no 'build'; it has 'Net', 'Nets', 'make', "),
        ("usercode.nets:Nets.large", "has no 'Nets.large'"),
        ("usercode.nets:sized", "needs arguments .*missing.*'width'.*: write a function that calls it"),
        ("usercode.nets:fails", "Calling usercode.nets:fails failed with RuntimeError: no such"),
        ("usercode.nets:leaves", "Calling usercode.nets:leaves failed with SystemExit: 3"),
        ("usercode.nets:nothing", "usercode.nets:nothing gave a value of type NoneType: expected a network"),
        ("usercode.nets:a_class", "usercode.nets:a_class gave the class Net: expected a network"),
        ("usercode.nets:number", "usercode.nets:number is a value of type int: expected a function"),
    ],
)
def test_every_failure_has_its_sentence(spec: str, message: str) -> None:
    with pytest.raises(NmfdiagError, match=message) as caught:
        factory(spec)
    assert len(str(caught.value)) < 600
