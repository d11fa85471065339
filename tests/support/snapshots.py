"""Snapshots of a network and of the whole process, to be compared bit for bit before and after something."""

import logging
import os
import random
import sys
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASS_ATTRIBUTES = (
    "__call__",
    "_call_impl",
    "__getattr__",
    "__setattr__",
    "forward",
    "train",
    "eval",
    "to",
    "register_forward_hook",
)


def comparable(value: Any, indices: dict[int, int] | None = None) -> Any:
    """Convert a nested value into one that can be compared bit for bit; objects by their contents."""
    indices = {} if indices is None else indices
    if isinstance(value, Tensor):
        grad = None if value.grad_fn is not None or value.grad is None else comparable(value.grad, indices)
        tensor = value.detach()
        return (
            "tensor",
            str(tensor.dtype),
            tuple(tensor.shape),
            tensor.cpu().contiguous().numpy().tobytes(),
            value.requires_grad,
            grad,
        )
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | type):
        return value
    if id(value) in indices:
        return ("again", indices[id(value)])
    indices[id(value)] = len(indices)
    if isinstance(value, dict):
        return {str(key): comparable(item, indices) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [comparable(item, indices) for item in value]
    if callable(value) and not isinstance(value, nn.Module):
        return ("callable", id(value))
    return (
        (type(value).__qualname__, comparable(dict(vars(value)), indices))
        if hasattr(value, "__dict__")
        else ("object", id(value))
    )


def identities(model: nn.Module) -> dict[str, int]:
    """Return the identity of each module, parameter and buffer, since an optimiser refers to them."""
    parts = {**dict(model.named_modules()), **dict(model.named_parameters()), **dict(model.named_buffers())}
    return {f"{type(part).__name__} {name}": id(part) for name, part in parts.items()}


def process_state() -> dict[str, Any]:
    """Return the state that the whole process shares."""
    loggers = {name: logging.getLogger(name) for name in ("", "nmfdiag", "torch", "torch.fx")}
    return {
        "Python's random state": random.getstate(), "NumPy's": comparable(list(np.random.get_state())),
        "torch's": comparable(torch.get_rng_state()),
        "CUDA's": [comparable(state) for state in torch.cuda.get_rng_state_all()] if torch.cuda.is_initialized() else [],
        "default dtype": torch.get_default_dtype(), "threads of torch": torch.get_num_threads(),
        "gradients": torch.is_grad_enabled(), "inference": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()),
        "anomaly": torch.is_anomaly_enabled(), "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic, torch.backends.mkldnn.enabled),
        "matmul precision": torch.get_float32_matmul_precision(),
        "nn.Module": {name: id(getattr(nn.Module, name, None)) for name in CLASS_ATTRIBUTES},
        "own classes": {name: id(nn.Linear.__dict__.get(name)) for name in CLASS_ATTRIBUTES},
        "functions": {name: id(getattr(F, name)) for name in ("relu", "linear", "gelu")} | {"torch.relu": id(torch.relu)},
        "hooks of all modules": {n: len(v) for n, v in vars(nn.modules.module).items() if n.startswith("_global_") and hasattr(v, "__len__")},
        "warnings": [str(entry) for entry in warnings.filters], "showwarning": id(warnings.showwarning),
        "loggers": {name: (log.level, log.propagate, log.disabled, list(log.handlers)) for name, log in loggers.items()},
        "logging": logging.root.manager.disable, "environment": dict(os.environ), "folder": os.getcwd(), "path": list(sys.path),
        "streams": (id(sys.stdout), id(sys.stderr), id(sys.excepthook)), "NumPy's errors": np.geterr(),
        "profile": (sys.getprofile(), sys.gettrace()), "recursion": sys.getrecursionlimit(),
    }  # fmt: skip


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name in before if before[name] != after[name]]


def full_snapshot(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Any]:
    return process_state() | {
        "the network": comparable(model),
        "its parts": identities(model),
        "inputs": comparable(x),
        "labels": comparable(y),
    }
