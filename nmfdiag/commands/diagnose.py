"""``diagnose``, ``report``, ``check``: one network, of the zoo or of one's own."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.commands.outcome import OK, WRONG, Commands, Outcome, progress_bar, say
from nmfdiag.commands.own_network import add_own
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.methods import METHODS

if TYPE_CHECKING:
    from nmfdiag.commands.targets import Target
    from nmfdiag.diagnosis.diagnose import Diagnosis
    from nmfdiag.zoo.registry import ZooEntry

ABOUT = {
    "diagnose": "AuC by layer, phases and reading of a network",
    "report": "the diagnosis of a network as one HTML file, and as JSON",
    "check": "exit with 1 where a network's lowest single-class AuC is under a threshold",
}


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    for name, about in ABOUT.items():
        command = commands.add_parser(name, parents=[common], help=about)
        command.add_argument("name", nargs="?", metavar="NAME", help="of a network in the zoo")
        add_own(command)
        command.add_argument("--layers", nargs="+", metavar="LAYER", help="default all")
        command.add_argument("--classes", nargs="+", type=int, metavar="CLASS", help="by number; default all")
        command.add_argument("--per-class", type=int, default=20, help="samples a batch (default: 20)")
        command.add_argument("--draws", type=int, default=1, help="batches of each class, drawn anew (default: 1)")
        command.add_argument(
            "--methods", nargs="+", choices=tuple(METHODS), help="default nmf, or signed where no layer is a ReLU"
        )
        command.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
        command.add_argument(
            "--preflight", action="store_true", help="look only: layers, accuracy, cost; 1 if a diagnosis means nothing"
        )
        command.add_argument("--solver", help="hals (the default) or mu; of a network in the zoo")
        if name == "report":
            command.add_argument("--html", type=Path, help="default NAME.html")
            command.add_argument("--to-json", type=Path, metavar="FILE", help="write the numbers to this file, too")
        elif name == "check":
            command.add_argument("--below", type=float, required=True, metavar="AUC", help="between 0 and 1")
        command.set_defaults(run=_run, answer={"diagnose": _told, "report": _reported, "check": _compared}[name])


def _run(arguments: argparse.Namespace) -> Outcome:
    """Pre-flight of a network of one's own, or where asked for; diagnosis; then what the command makes of it."""
    from dataclasses import replace

    from nmfdiag.commands.preflight import checked, objections, preflight_words
    from nmfdiag.commands.targets import BY_NAME, target_of, way_of

    below = getattr(arguments, "below", None)
    if below is not None and not 0 < below <= 1:
        raise NmfdiagError(f"--below must lie in (0, 1], got {below}.")
    if arguments.draws < 1:
        raise NmfdiagError(f"--draws must be 1 or more, got {arguments.draws}.")
    for path in (getattr(arguments, "html", None), getattr(arguments, "to_json", None)):
        if path and not path.parent.is_dir():
            raise NmfdiagError(f"There is no folder {path.parent} to write {path.name} into.")
    if way_of(arguments) == BY_NAME and not arguments.preflight:
        entry, diagnosis = _from_cache(arguments)
        code, answer, text = arguments.answer(arguments, entry, diagnosis)
        return code, answer | {"provenance": diagnosis.provenance}, text
    target = target_of(arguments)
    found, methods = checked(target, per_class=arguments.per_class, methods=arguments.methods, layers=arguments.layers)
    record: dict[str, Any] = {"preflight": found.to_dict()}
    words = preflight_words(target, found, methods)
    if arguments.preflight:
        reasons = objections(found)
        record |= {"name": target.name, "methods": methods, "problems": reasons, "provenance": target.provenance}
        return WRONG if reasons else OK, record, "\n".join([words, *reasons])
    target = replace(target, train_accuracy=found.accuracy)
    if not arguments.json:
        say(words)
    diagnosis = _diagnosis(arguments, target, methods)
    code, answer, text = arguments.answer(arguments, target, diagnosis)
    return code, answer | record | {"provenance": diagnosis.provenance}, text


def _diagnosis(arguments: argparse.Namespace, target: "Target", methods: Sequence[str]) -> "Diagnosis":
    from dataclasses import replace

    from nmfdiag.diagnosis.diagnose import diagnose

    options: dict[str, Any] = {"per_class": arguments.per_class, "methods": methods}
    options |= {"layers": arguments.layers} if arguments.layers else {}
    options |= {"n_draws": arguments.draws} if arguments.draws > 1 else {}
    options |= {"title": target.name, "class_names": target.class_names, "without": [target.name]}
    with progress_bar("{desc} {percentage:3.0f}% |{bar}|", title=target.name) as show:
        found = diagnose(target.model, target.inputs, target.labels, on_progress=show, **options)
        show(1.0, "done")
    return replace(found, provenance=found.provenance | target.provenance)


def _from_cache(arguments: argparse.Namespace) -> "tuple[ZooEntry, Diagnosis]":
    """A network of the zoo: curves that are in the cache are taken from there, the others put there."""
    from dataclasses import replace

    from tqdm import tqdm

    from nmfdiag.diagnosis.diagnose import diagnosis_of
    from nmfdiag.jobs.cache import CurveCache
    from nmfdiag.jobs.compute import compute, resolve
    from nmfdiag.jobs.requests import profile_requests
    from nmfdiag.zoo.registry import lookup

    entry, cache, device = lookup(arguments.name), CurveCache(), resolve(arguments.device)
    requests = [
        request
        for draw in range(arguments.draws)
        for request in profile_requests(
            entry,
            layers=arguments.layers,
            classes=arguments.classes,
            methods=arguments.methods or [entry.method],
            per_class=arguments.per_class,
            solver=arguments.solver or "hals",
            seed=draw,
        )
    ]
    results, skipped = {}, {}
    for request in tqdm(requests, unit="curve", file=sys.stderr, desc=entry.name):
        curve = cache.get(request.key)
        if curve is None:
            try:
                curve = compute(request, device=device)
            except NmfdiagError as error:
                if len(requests) == 1:
                    raise
                skipped[f"{request.layer}, class {request.class_idx}, {request.method}"] = str(error)
                continue
            cache.put(request.key, curve)
        results[request] = curve
    if not results:
        raise NmfdiagError(f"No curve could be computed: {next(iter(skipped.values()))}")
    found = diagnosis_of(results, entry)
    profile = replace(found.profile, skipped=skipped)  # not what was not asked for
    if cache.notice:
        say(f"nmfdiag: {cache.notice}")
    return entry, replace(found, profile=profile)


def _told(_: argparse.Namespace, target: "Target | ZooEntry", diagnosis: "Diagnosis") -> Outcome:
    profile = diagnosis.profile
    methods = dict.fromkeys([diagnosis.method, *(m.curve.method for m in profile.measured)])
    rows = [(method, layer, s) for method in methods for layer, s in profile.auc_by_layer(method).items()]
    record = {
        "name": target.name,
        "train_accuracy": target.train_accuracy,
        "test_accuracy": target.test_accuracy,
        "verdict": diagnosis.verdict,
        "layers": [
            {"layer": layer, "auc": s.mean, "standard_error": s.sem, "batches": s.n, "method": method}
            for method, layer, s in rows
        ],
        "remarks": list(diagnosis.remarks),
        "comparison": diagnosis.comparison.to_dict() if diagnosis.comparison else None,
        "skipped": profile.skipped,
    }
    sizes = {method: [m.curve.n_samples for m in profile.measured if m.curve.method == method] for method in methods}
    lines = [
        f"{f'{method:8}' * (len(methods) > 1)}{layer:12} AuC {s}  ({s.n} single-class batches of {_span(sizes[method])})"
        for method, layer, s in rows
    ]
    return OK, record, "\n".join([*lines, diagnosis.verdict, *diagnosis.remarks])


def _span(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low}" if low == high else f"{low} to {high}"


def _reported(arguments: argparse.Namespace, target: "Target | ZooEntry", diagnosis: "Diagnosis") -> Outcome:
    path = arguments.html or Path(f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', target.name).strip('-')}.html")
    diagnosis.to_html(path)
    if arguments.to_json:
        diagnosis.to_json(arguments.to_json)
    written = [str(each) for each in (path, arguments.to_json) if each]
    return OK, {**diagnosis.to_dict(), "files": written}, f"{diagnosis.verdict}\nWritten: {', '.join(written)}"


def _compared(arguments: argparse.Namespace, _: "Target | ZooEntry", diagnosis: "Diagnosis") -> Outcome:
    layer, at = diagnosis.lowest
    found = at.mean < arguments.below
    words = f"{layer} has the lowest AuC, {at}: {'under' if found else 'not under'} {arguments.below:g}."
    record = {"layer": layer, "auc": at.mean, "standard_error": at.sem, "below": arguments.below, "memorises": found}
    return WRONG if found else OK, record, "\n".join([words, *diagnosis.remarks])
