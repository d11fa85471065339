"""Shared by ``diagnose``, ``report`` and ``check``: their options, the pre-flight check and the diagnosis of one network."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.commands.network_options import add_network_options
from nmfdiag.commands.outcome import OK, WRONG, Commands, Outcome, progress_bar, say
from nmfdiag.commands.result_cache import add_cache_option, result_cache
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.methods import METHODS

if TYPE_CHECKING:
    from nmfdiag.commands.target import Target
    from nmfdiag.diagnosis.diagnose import Diagnosis
    from nmfdiag.jobs.cache import CurveCache
    from nmfdiag.jobs.own_results import OwnResults
    from nmfdiag.measures.suspects.result import Suspects
    from nmfdiag.zoo.registry import ZooEntry

Answer = Callable[[argparse.Namespace, "Target | ZooEntry", "Diagnosis"], Outcome]
"""From the options, the network and its diagnosis to a command's outcome."""


def add_diagnosis_command(
    commands: Commands, common: argparse.ArgumentParser, name: str, help_text: str, answer: Answer
) -> argparse.ArgumentParser:
    """Add a command that diagnoses one network; returns its parser."""
    command = commands.add_parser(name, parents=[common], help=help_text)
    command.add_argument("name", nargs="?", metavar="NAME", help="name of a zoo network")
    add_network_options(command)
    command.add_argument("--layers", nargs="+", metavar="LAYER", help="default: all")
    command.add_argument("--classes", nargs="+", type=int, metavar="CLASS", help="class numbers (default: all)")
    command.add_argument("--per-class", type=int, default=20, help="samples per batch (default: 20)")
    command.add_argument("--draws", type=int, default=1, help="number of batches drawn from each class (default: 1)")
    command.add_argument(
        "--methods", nargs="+", choices=tuple(METHODS), help="default: nmf, or signed if no layer is a ReLU"
    )
    command.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    command.add_argument(
        "--preflight",
        action="store_true",
        help="only check layers, accuracy and cost; exit code 1 if a diagnosis would mean nothing",
    )
    command.add_argument("--solver", help="hals (the default) or mu; zoo networks only")
    add_cache_option(command)
    command.set_defaults(run=_run, answer=answer)
    return command


def _run(arguments: argparse.Namespace) -> Outcome:
    """Check and diagnose the network, then let the command answer; a zoo network is checked on request only."""
    from nmfdiag.commands.target import BY_NAME, load_target, way_of
    from nmfdiag.jobs.own_results import OwnResults

    _check_options(arguments)
    if way_of(arguments) == BY_NAME and not arguments.preflight:
        with result_cache(arguments) as cache:
            entry, diagnosis = _diagnose_entry(arguments, cache)
        code, answer, text = arguments.answer(arguments, entry, diagnosis)
        return code, answer | {"provenance": diagnosis.provenance}, text
    target = load_target(arguments)
    with result_cache(arguments) as cache:
        return _diagnose_own(arguments, target, OwnResults(cache, target.code_id))


def _diagnose_own(arguments: argparse.Namespace, target: "Target", results: "OwnResults") -> Outcome:
    from dataclasses import replace

    from nmfdiag.commands.preflight import check_network, objections, preflight_text

    preflight, methods = check_network(
        target,
        per_class=arguments.per_class,
        methods=arguments.methods,
        layers=arguments.layers,
        n_draws=arguments.draws,
        results=results,
    )
    record: dict[str, Any] = {"preflight": preflight.to_dict()}
    summary = preflight_text(target, preflight, methods)
    if arguments.preflight:
        reasons = objections(preflight)
        record |= {"name": target.name, "methods": methods, "problems": reasons, "provenance": target.provenance}
        return WRONG if reasons else OK, record, "\n".join([summary, *reasons])
    if not arguments.json:
        say(summary)
    target = replace(target, train_accuracy=preflight.accuracy)
    diagnosis = _diagnose_target(arguments, target, methods, results)
    code, answer, text = arguments.answer(arguments, target, diagnosis)
    return code, answer | record | {"provenance": diagnosis.provenance}, text


def _check_options(arguments: argparse.Namespace) -> None:
    for gate in ("below", "noise", "memorised", "error"):
        limit = getattr(arguments, gate, None)
        if limit is not None and not 0 < limit <= 1:
            raise NmfdiagError(f"--{gate} must lie in (0, 1], got {limit}.")
    n_suspects = getattr(arguments, "suspects", None)
    if n_suspects is not None and (n_suspects < 0 or n_suspects == 1):
        raise NmfdiagError(f"--suspects must be 0, or 2 or more, got {n_suspects}.")
    if arguments.draws < 1:
        raise NmfdiagError(f"--draws must be 1 or more, got {arguments.draws}.")
    paths: list[Path | None] = [getattr(arguments, "html", None), getattr(arguments, "to_json", None)]
    for path in paths:
        if path and not path.parent.is_dir():
            raise NmfdiagError(f"There is no folder {path.parent} to write {path.name} into.")


def _diagnose_target(
    arguments: argparse.Namespace, target: "Target", methods: Sequence[str], results: "OwnResults"
) -> "Diagnosis":
    from dataclasses import replace

    from nmfdiag.diagnosis.diagnose import diagnose
    from nmfdiag.zoo.registry import batch_norm_remarks

    options: dict[str, Any] = {"per_class": arguments.per_class, "methods": methods}
    options |= {"layers": arguments.layers} if arguments.layers else {}
    options |= {"n_draws": arguments.draws} if arguments.draws > 1 else {}
    options |= {"title": target.name, "class_names": target.class_names, "without": [target.name]}
    with progress_bar("{desc} {percentage:3.0f}% |{bar}|", title=target.name) as show:
        diagnosis = diagnose(
            target.model,
            target.inputs,
            target.labels,
            on_progress=show,
            results=results,
            train_size=arguments.train_size,
            selected_classes=target.selected_classes,
            **options,
        )
        show(1.0, "done")
    remarks = (*batch_norm_remarks(target.provenance), *diagnosis.remarks)
    n_results = results.n_reused + results.n_computed
    origin = {"results": f"{results.n_reused} of {n_results} from the cache", **target.provenance}
    return replace(diagnosis, remarks=remarks, provenance=diagnosis.provenance | origin)


def _diagnose_entry(arguments: argparse.Namespace, cache: "CurveCache") -> "tuple[ZooEntry, Diagnosis]":
    """Diagnose a network of the zoo from cached curves; missing ones are computed and cached."""
    from dataclasses import replace

    from tqdm import tqdm

    from nmfdiag.diagnosis.diagnose import diagnosis_of
    from nmfdiag.jobs.compute import resolve
    from nmfdiag.jobs.requests import profile_requests
    from nmfdiag.jobs.sweep import sweep
    from nmfdiag.measures.curve import CompressionCurve
    from nmfdiag.zoo.registry import lookup

    entry, device = lookup(arguments.name), resolve(arguments.device)
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
    curves, skipped = {}, {}
    answers = tqdm(
        sweep(requests, cache, device=device), total=len(requests), unit="curve", file=sys.stderr, desc=entry.name
    )
    for request, answer in answers:
        if isinstance(answer, CompressionCurve):
            curves[request] = answer
        elif len(requests) == 1:
            raise answer
        else:
            skipped[f"{request.layer}, class {request.class_idx}, {request.method}"] = str(answer)
    if not curves:
        raise NmfdiagError(f"No curve could be computed: {next(iter(skipped.values()))}")
    diagnosis = diagnosis_of(curves, entry, suspects=_scored(entry.name, cache, device))
    return entry, replace(
        diagnosis, profile=replace(diagnosis.profile, skipped=skipped)
    )  # layers not requested aren't skipped


def _scored(name: str, cache: "CurveCache", device: str) -> "Suspects | None":
    """Return what a zoo network says about its labels, cached or computed; None where that can't be measured."""
    from nmfdiag.jobs.requests import SuspectsRequest
    from nmfdiag.jobs.score_labels import score

    request = SuspectsRequest(name)
    if (suspects := cache.get(request.key)) is None:
        try:
            with progress_bar("{desc} {percentage:3.0f}% |{bar}|", title=f"labels of {name}") as show:
                suspects = score(request, device=device, on_progress=show)
            cache.put(request.key, suspects)
        except NmfdiagError as error:
            say(f"nmfdiag: what it says about the labels could not be measured: {error}")
    return suspects
