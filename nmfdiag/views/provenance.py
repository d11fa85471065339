"""The origin of results: one line below a plot, and the rows of the settings tab."""

from collections.abc import Iterable, Mapping
from typing import Any

from nmfdiag.jobs.shipped_results import SHIPPED
from nmfdiag.text import plural, span
from nmfdiag.views.selection import Choice


def unit_of(requests: Iterable[Any]) -> str:
    """Return what requests ask for, in the plural."""
    units = {request.unit for request in requests}
    return str(units.pop()) if len(units) == 1 else "results"


def computed_with(choice: Choice, results: Mapping[Any, Any]) -> str:
    """Return how many results there are, how long they took, and on which devices."""
    unit = unit_of(results)
    devices = sorted({str(r.provenance.get("device")) for r in results.values()})
    seconds = sum(float(r.provenance.get("seconds", 0)) for r in results.values())
    long = f"{seconds:.2g}" if seconds < 100 else f"{seconds:,.0f}"
    subject = f"{plural(len(results), unit.removesuffix('s'))}, {choice.batch_text}"
    if unit == "networks":
        subject = plural(sum(len(r.given) for r in results.values()), "sample")
    n_shipped = sum(bool(r.provenance.get(SHIPPED)) for r in results.values())
    source = "kept in the cache"
    if n_shipped:
        source = "shipped with nmfdiag" if n_shipped == len(results) else f"{n_shipped} of them shipped with nmfdiag"
    return f"{subject}; {long} s of computing on {', '.join(devices)}, {source}."


def settings(choice: Choice, results: Mapping[Any, Any]) -> dict[str, str]:
    """Return everything that the results depend on, as text."""
    request, result = next(iter(results.items()))
    networks = {
        "networks": ", ".join(n.name for n in choice.all_networks),
        "weights and probe batches (sha256)": ", ".join(n.digest[:12] for n in choice.all_networks),
        "batch": _distinct_text(side.batch_text for side in choice.sides),
        "seed of batch and solver": str(request.seed),
        "NMF": f"{request.solver}, {_tolerance(request, result)}, at most {request.max_iter} iterations",
    }
    n_unconverged = sum(not converged for r in results.values() for converged in r.converged)
    if request.unit == "curves":
        return networks | {
            "operation": "the k leading directions are " + ("removed" if request.operation == "ablate" else "kept"),
            "random ablation": f"mean over {request.draws} draws",
            "ranks of the first curve": ", ".join(map(str, result.ranks)),
            "ranks not converged": f"{n_unconverged} (small markers)",
            "torch": str(result.provenance.get("torch")),
            "processor and threads": f"{result.provenance.get('processor')}, {result.provenance.get('threads')}",
        }
    timed = list(results.values())
    return networks | {
        "NMF": f"{_tolerance(request, result)}, at most {request.max_iter} iterations",
        "solvers": _distinct_text(r.solver for r in results),
        "activation matrix": f"{max(r.rows for r in timed):,} rows × {max(r.channels for r in timed)} channels",
        "repeats of a point": _distinct_text(sorted({len(r.wall_seconds) for r in timed if r.wall_seconds})),
        "ranks not converged": f"{n_unconverged} (small markers)",
        **{key: _distinct_text(r.provenance.get(key) for r in timed) for key in ("device", "processor", "threads")},
        "versions": ", ".join(f"{name} {result.provenance.get(name)}" for name in ("nmfdiag", "torch", "numpy")),
        "measured": span(sorted(str(r.provenance.get("date")) for r in timed)),
    }


def _tolerance(request: Any, result: Any) -> str:
    tol = request.tol or result.provenance.get("tol")
    return "the solver's own tolerance" if tol is None else f"tol {tol:g}"


def _distinct_text(values: Any) -> str:
    return ", ".join(map(str, dict.fromkeys(values)))
