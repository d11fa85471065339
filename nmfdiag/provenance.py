"""What a result was computed with: versions, processor, threads, date and duration. Each room names the facts that its record holds."""

import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from nmfdiag.version import __version__

Fact = Literal["nmfdiag", "torch", "numpy", "scikit-learn", "threads", "processor", "date"]


def provenance(*facts: Fact, began: float | None = None, **values: Any) -> dict[str, Any]:
    """Return these facts by name, then the caller's values, then the seconds since ``began`` (of ``time.perf_counter``).

    >>> sorted(provenance("nmfdiag", "processor", device="cpu"))
    ['device', 'nmfdiag', 'processor']
    """
    record = {fact: _FACTS[fact]() for fact in facts} | values
    return record if began is None else record | {"seconds": round(time.perf_counter() - began, 4)}


def package_version(package: str) -> str:
    """Return the version of an installed package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def processor_architecture() -> str:
    """Return the instruction set, such as ``"x86_64"``: it decides the last bits of a result, and is what records call ``processor``."""
    return platform.processor() or platform.machine()


def processor_model(device: str = "cpu") -> str:
    """Return the model of the CPU or GPU, as its maker calls it: it decides how long a computation takes."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or processor_architecture()


def _torch_version() -> str:
    import torch

    return str(torch.__version__)


def _torch_threads() -> int:
    import torch

    return torch.get_num_threads()


_FACTS: dict[Fact, Callable[[], Any]] = {
    "nmfdiag": lambda: __version__,
    "torch": _torch_version,
    "numpy": lambda: version("numpy"),
    "scikit-learn": lambda: version("scikit-learn"),
    "threads": _torch_threads,
    "processor": processor_architecture,
    "date": lambda: time.strftime("%Y-%m-%d %H:%M"),
}
