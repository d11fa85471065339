"""Open a program of ``torch.export`` as a network of modules and PyTorch's functions, whose activations can be found.

An exported graph calls low-level operators (``aten.relu.default``). Activations become modules again, under their paths, so that
layers have the names of the exported network.
"""

import re
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from nmfdiag.data.untrusted import ZIP_ERRORS
from nmfdiag.errors import NmfdiagError
from nmfdiag.networks.activations import KINDS
from nmfdiag.networks.channels import CONVOLUTION_NAMES, KEEPS_NAMES
from nmfdiag.networks.checkpoints.read_pickle_child import EXPORTED, archive_kind

ACTIVATION_OPERATORS = {
    "relu": "ReLU",
    "hardtanh": "ReLU6",  # between 0 and 6
    "gelu": "GELU",
    "silu": "SiLU",
    "leaky_relu": "LeakyReLU",
    "hardswish": "Hardswish",
    "elu": "ELU",
    "selu": "SELU",
    "celu": "CELU",
    "mish": "Mish",
    "softplus": "Softplus",
    "prelu": "PReLU",
}
"""Kinds of activation functions by the names of PyTorch's operators."""
CHANNEL_OPERATORS = CONVOLUTION_NAMES | KEEPS_NAMES | {"linear", "layer_norm", "permute", "transpose"}
"""Operators that show where the channels are."""
BATCH_NORM = "_native_batch_norm_legit_no_training"
TRAINING_ARGUMENT = {"batch_norm": 5, "dropout": 2}


def read_exported(path: Path, *, trust: bool) -> nn.Module:
    """Open a program of ``torch.export`` (``.pt2``) as a network; such a file can run code.

    Args:
        path: A file of ``torch.export.save``, of a network in evaluation mode, for batches of any size.
        trust: Whether you trust the file's author enough to run their code.

    Returns:
        The network in evaluation mode, with its activation modules under their paths. Its ``input_shape`` is that of one
        input, with ``None`` for a free length.

    Raises:
        NmfdiagError: If the file is not trusted or not from ``torch.export``, or the program takes several inputs or one batch
            size, is in training mode or not in float32, or has NaN or infinite weights.
    """
    path = Path(path)
    if not path.is_file():
        raise NmfdiagError(f"There is not an exported program {path}: accepted is a .pt2 file of torch.export.save.")
    if not _is_exported(path):
        raise NmfdiagError(f"{path.name} is not an exported program: accepted are files of torch.export.save.")
    if not trust:
        raise NmfdiagError(
            f"{path.name} is an exported program, and opening one can run code that its author put into it. If you trust the "
            f"author, add --trust; else ask for a state dict and open that (--arch, --weights)."
        )
    try:
        program = torch.export.load(path)
        shape = _input_shape(program, path.name)
        _check(program, path.name)
        module = program.run_decompositions({}).module()  # without operators that write in place
    except NmfdiagError:
        raise
    except Exception as error:
        raise NmfdiagError(f"{path.name} can't be opened: {textwrap.shorten(str(error), 300)}") from error
    model = with_modules(module)
    model.input_shape = shape  # type: ignore[assignment]
    return model.eval()


def _is_exported(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path) and archive_kind(path) == EXPORTED
    except ZIP_ERRORS:
        return False


def _input_shape(program: ExportedProgram, title: str) -> tuple[int | None, ...]:
    """Return the shape of one input, with None for a free length."""
    names = program.graph_signature.user_inputs
    values = [node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    if len(values) != 1 or not isinstance(values[0], Tensor) or not values[0].ndim:
        raise NmfdiagError(f"{title} takes {len(values)} inputs: accepted are programs that take one batch of samples.")
    batch, *sides = values[0].shape
    if isinstance(batch, int):
        raise NmfdiagError(
            f"{title} was exported for batches of exactly {batch}: export it with "
            f"dynamic_shapes=({{0: torch.export.Dim('batch')}},)."
        )
    return tuple(length if isinstance(length, int) else None for length in sides)


def _check(program: ExportedProgram, title: str) -> None:
    for name, value in program.state_dict.items():
        if value.is_floating_point() and value.dtype != torch.float32:
            raise NmfdiagError(f"{title} computes in {value.dtype} ({name}): export it in float32.")
        if not bool(torch.isfinite(value).all()):
            raise NmfdiagError(f"{title} holds NaN or infinite values, in {name}.")
    for node in program.graph.nodes:
        place = TRAINING_ARGUMENT.get(_operator(node).rstrip("_"), len(node.args))
        if place < len(node.args) and node.args[place] is True:
            raise NmfdiagError(
                f"{title} was exported in training mode ({node.name}): call model.eval() before torch.export.export."
            )


def with_modules(exported: fx.GraphModule) -> fx.GraphModule:
    """Replace operators by activation modules and PyTorch's functions.

    Args:
        exported: Result of ``ExportedProgram.module()``, without operators that write in place; activation modules are added to it.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in exported.graph.nodes:
        if node.op == "call_module":  # checks the input's shape, as _input_shape does here
            continue
        if node.op == "output":
            outputs = [copies[value] for value in node.all_input_nodes]
            graph.output(outputs[0] if len(outputs) == 1 else tuple(outputs))
            continue
        copy = copies[node] = graph.node_copy(node, copies.__getitem__)
        name = _operator(node)
        if (kind := _activation(name, node)) is not None:
            _call_activation(copy, kind, exported)
        elif name == BATCH_NORM:
            x, weight, bias, mean, variance, momentum, eps = copy.args
            copy.target, copy.args = _batch_norm, (x, mean, variance, weight, bias, False, momentum, eps)
        elif name in CHANNEL_OPERATORS and (function := getattr(torch, name, None) or getattr(F, name, None)):
            copy.target = function
    graph.lint()
    return fx.GraphModule(exported, graph, class_name="Exported")


def _operator(node: fx.Node) -> str:
    """Return the name of a node's operator without its overload; empty for other nodes."""
    is_operator = node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)
    return node.target.__name__.split(".")[0] if is_operator else ""  # type: ignore[union-attr]


def _activation(name: str, node: fx.Node) -> str | None:
    if name == "hardtanh" and tuple(node.args[1:]) != (0.0, 6.0):
        return None
    return ACTIVATION_OPERATORS.get(name)


def _call_activation(node: fx.Node, kind: str, root: fx.GraphModule) -> None:
    """Turn a copied node into a call of its original module, or of the function if it had none."""
    settings = () if kind == "ReLU6" else node.args[1:]
    path, class_name = next(reversed((node.meta.get("nn_module_stack") or {"": ("", "")}).values()))
    if kind == "PReLU" or not path or class_name != f"{nn.ReLU.__module__}.{kind}":
        node.target, node.args = KINDS[kind].functions[0], (node.args[0], *settings)
        return
    path = re.sub(r"@\d+$", "", path)  # suffix of a module's further calls
    make: Any = KINDS[kind].module
    root.add_submodule(path, make(*settings, **node.kwargs))
    node.op, node.target, node.args, node.kwargs = "call_module", path, node.args[:1], {}


def _batch_norm(*args: Any) -> tuple[Tensor]:
    """Return the first of the operator's three outputs, the only one that evaluation mode reads."""
    return (F.batch_norm(*args),)
