"""The same questions from a shell. Exit codes: 0 all well, 1 something checked is wrong, 2 the caller's mistake."""

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nmfdiag.errors import NmfdiagError

OK, WRONG, MISTAKE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code, record, text = arguments.run(arguments)
    except NmfdiagError as error:
        print(json.dumps({"error": str(error)}) if arguments.json else f"nmfdiag: {error}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt:
        print("nmfdiag: interrupted; finished curves are kept.", file=sys.stderr)
        return INTERRUPTED
    print(json.dumps(record, indent=1) if arguments.json else text)
    return code


Outcome = tuple[int, Any, str]


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document")
    parser = argparse.ArgumentParser("nmfdiag", description="Detect memorisation in ReLU networks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    commands.add_parser("info", parents=[common], help="versions, devices, cache").set_defaults(run=_info)

    zoo = commands.add_parser("zoo", help="the trained networks").add_subparsers(required=True, metavar="COMMAND")
    zoo.add_parser("list", parents=[common], help="what is there").set_defaults(run=_zoo_list)
    train = zoo.add_parser("train", parents=[common], help="train networks from their recipes")
    train.add_argument("names", nargs="+", metavar="NAME", help="such as digits-mlp-p0.4-s0")
    train.add_argument("--data", help="folder of the data sets (default: $NMFDIAG_DATA, else data/)")
    train.add_argument("--download", action="store_true", help="let torchvision download what is missing")
    train.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    train.add_argument("--out", type=Path, help="folder of the zoo (default: $NMFDIAG_ZOO, else zoo/)")
    train.set_defaults(run=_zoo_train)
    verify = zoo.add_parser("verify", parents=[common], help="recompute hashes and accuracies")
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    verify.add_argument("--data", help="folder of the data sets, to check accuracies on them too")
    verify.set_defaults(run=_zoo_verify)

    diagnose = commands.add_parser(
        "diagnose", parents=[common], help="AuC by layer, phases and reading of a zoo network"
    )
    diagnose.add_argument("name", metavar="NAME")
    diagnose.add_argument("--layers", nargs="+")
    diagnose.add_argument("--classes", nargs="+", type=int)
    diagnose.add_argument("--per-class", type=int, default=20)
    diagnose.add_argument("--solver", default="hals")
    diagnose.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    diagnose.set_defaults(run=_diagnose)

    sweep = commands.add_parser("sweep", parents=[common], help="AuC of many networks; goes on where it was stopped")
    sweep.add_argument("names", nargs="+", metavar="NAME", help="a network, or the beginning of several: cifar10-cnn")
    sweep.add_argument("--layers", nargs="+")
    sweep.add_argument("--batch", choices=["class", "multi"], default="class", help="each class alone, or all mixed")
    sweep.add_argument("--methods", nargs="+", choices=["nmf", "pca", "random"], default=["nmf"])
    sweep.add_argument(
        "--operation", choices=["compress", "ablate"], default="compress", help="keep k directions, or remove them"
    )
    sweep.add_argument("--per-class", type=int, default=20, help="samples a batch")
    sweep.add_argument("--grid", default="full", help="full (the default) or coarse ranks")
    sweep.add_argument("--solver", default="hals")
    sweep.add_argument(
        "--scheduler", default="local", help="local (the default), or a Dask scheduler's tcp://host:port"
    )
    sweep.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    sweep.add_argument("--csv", type=Path, help="write one row a curve to this file")
    sweep.set_defaults(run=_sweep)

    cache = commands.add_parser("cache", help="the computed curves").add_subparsers(required=True, metavar="COMMAND")
    cache.add_parser("stats", parents=[common], help="how much is kept, and where").set_defaults(run=_cache_stats)
    cache.add_parser("clear", parents=[common], help="forget all curves").set_defaults(run=_cache_clear)

    bench = commands.add_parser("bench", parents=[common], help="time the engine against its peers on real activations")
    bench.add_argument(
        "--only", nargs="+", metavar="SECTION", help="peers, curves, scaling, memory, truth, runtime; default all"
    )
    bench.add_argument("--shapes", nargs="+", default=[], metavar="LAYER", help="conv1 to conv4 and fc1; default all")
    bench.add_argument("--repeats", type=int, default=3)
    bench.add_argument("--device", default="cpu", help="cpu (the default), cuda or auto")
    bench.add_argument("--quick", action="store_true", help="small matrices, few ranks, less than a minute")
    bench.add_argument("--data", help="folder of the data sets (default: $NMFDIAG_DATA, else data/)")
    bench.add_argument("--out", type=Path, default=Path("bench-results"), help="folder of the results")
    bench.set_defaults(run=_bench)
    return parser


def _bench(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.runs.bench.cases import Options
    from nmfdiag.runs.bench.suite import SECTIONS, run, save, to_text
    from nmfdiag.runs.compute import resolve

    options = Options(
        only=tuple(arguments.only or SECTIONS),
        shapes=tuple(arguments.shapes),
        repeats=arguments.repeats,
        device=resolve(arguments.device),
        quick=arguments.quick,
        data=arguments.data,
    )
    report = run(options, say=lambda words: print(words, file=sys.stderr, flush=True))
    paths = save(report, arguments.out, options)
    written = f"Written: {', '.join(map(str, paths))}"
    return OK, {**report.to_record(), "files": [str(path) for path in paths]}, f"{to_text(report)}\n{written}"


def _info(_: argparse.Namespace) -> Outcome:
    import torch

    from nmfdiag import __version__
    from nmfdiag.runs.compute import devices

    record = {
        "nmfdiag": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "devices": devices(),
        "threads": torch.get_num_threads(),
        "cache": _stats(),
    }
    return OK, record, "\n".join(f"{key:8} {value}" for key, value in record.items())


def _zoo_list(_: argparse.Namespace) -> Outcome:
    from nmfdiag.zoo.registry import entries

    rows = [
        {
            "name": entry.name,
            "label_noise": entry.recipe.label_noise,
            "train_accuracy": entry.train_accuracy,
            "test_accuracy": entry.test_accuracy,
            "parameters": entry.n_parameters,
            "layers": list(entry.layers),
        }
        for entry in entries().values()
    ]
    lines = [f"{'network':28} {'train':>6} {'test':>6} {'parameters':>11}"]
    lines += [
        f"{r['name']:28} {r['train_accuracy']:6.3f} {r['test_accuracy']:6.3f} {r['parameters']:11,}" for r in rows
    ]
    return OK, rows, "\n".join(lines)


def _zoo_train(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.data import load
    from nmfdiag.runs.compute import resolve
    from nmfdiag.zoo.keep import keep
    from nmfdiag.zoo.recipes import recipe
    from nmfdiag.zoo.registry import user_zoo
    from nmfdiag.zoo.training import train, training_set

    recipes = [recipe(name) for name in arguments.names]
    device = resolve(arguments.device)
    rows = []
    for each in recipes:
        dataset = load(each.dataset, "train", root=arguments.data, download=arguments.download)
        with tqdm(desc=each.name, unit="epoch", file=sys.stderr, total=each.max_epochs) as bar:

            def show(line: dict[str, float], bar: Any = bar) -> None:
                bar.set_postfix(train=f"{line['train_accuracy']:.3f}", test=f"{line['test_accuracy']:.3f}")
                bar.update()

            trained = train(each, root=arguments.data, download=arguments.download, device=device, on_epoch=show)
        entry = keep(each, trained, training_set(each, dataset), dataset, arguments.out or user_zoo())
        rows.append(
            {"name": entry.name, "train_accuracy": entry.train_accuracy, "test_accuracy": entry.test_accuracy,
             "epochs": len(entry.log), "folder": str(entry.folder)}
        )  # fmt: skip
    text = "\n".join(f"{r['name']}: train {r['train_accuracy']:.3f}, test {r['test_accuracy']:.3f}" for r in rows)
    return OK, rows, text


def _zoo_verify(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.zoo.keep import verify
    from nmfdiag.zoo.registry import entries, lookup

    chosen = [lookup(name) for name in arguments.names] or list(entries().values())
    found = {entry.name: verify(entry, root=arguments.data) for entry in tqdm(chosen, unit="network", file=sys.stderr)}
    wrong = {name: problems for name, problems in found.items() if problems}
    lines = [f"{name}: {'; '.join(problems)}" for name, problems in wrong.items()]
    lines.append(f"{len(found) - len(wrong)} of {len(found)} networks are as recorded.")
    return WRONG if wrong else OK, found, "\n".join(lines)


def _diagnose(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.measures.phases import phases
    from nmfdiag.measures.reading import reading
    from nmfdiag.measures.summary import spread
    from nmfdiag.runs.cache import CurveCache
    from nmfdiag.runs.compute import compute
    from nmfdiag.runs.request import profile_requests
    from nmfdiag.zoo.registry import lookup

    entry = lookup(arguments.name)
    requests = profile_requests(
        entry,
        layers=arguments.layers,
        classes=arguments.classes,
        per_class=arguments.per_class,
        solver=arguments.solver,
    )
    cache = CurveCache()
    values: dict[str, list[float]] = {}
    for request in tqdm(requests, unit="curve", file=sys.stderr, desc=entry.name):
        curve = cache.get(request.key)
        if curve is None:
            curve = compute(request, device=arguments.device)
            cache.put(request.key, curve)
        values.setdefault(request.layer, []).append(curve.auc)
    by_layer = {layer: spread(v) for layer, v in values.items()}
    found = phases(list(by_layer), [s.mean for s in by_layer.values()], [s.sem for s in by_layer.values()])
    words = reading(by_layer, found)
    record = {
        "name": entry.name,
        "train_accuracy": entry.train_accuracy,
        "test_accuracy": entry.test_accuracy,
        "verdict": words,
        "layers": [
            {"layer": layer, "auc": s.mean, "standard_error": s.sem, "batches": s.n} for layer, s in by_layer.items()
        ],
    }
    lines = [
        f"{layer:12} AuC {s}  ({s.n} single-class batches of {arguments.per_class})" for layer, s in by_layer.items()
    ]
    return OK, record, "\n".join([*lines, words])


def _sweep(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.measures.curve import CompressionCurve
    from nmfdiag.runs.cache import CurveCache
    from nmfdiag.runs.request import MULTI_CLASS, profile_requests
    from nmfdiag.runs.sweep import sweep
    from nmfdiag.views.tables import auc_table, profile_table
    from nmfdiag.zoo.registry import entries

    zoo = entries()
    chosen = [entry for name, entry in zoo.items() if any(name.startswith(start) for start in arguments.names)]
    unknown = [start for start in arguments.names if not any(name.startswith(start) for name in zoo)]
    if unknown:
        raise NmfdiagError(f"No network's name begins with {unknown[0]!r}: there are {', '.join(zoo)}.")
    requests = [
        request
        for entry in chosen
        for request in profile_requests(
            entry,
            layers=arguments.layers,
            classes=[MULTI_CLASS] if arguments.batch == "multi" else None,
            methods=arguments.methods,
            per_class=arguments.per_class,
            grid=arguments.grid,
            solver=arguments.solver,
            operation=arguments.operation,
        )
    ]
    answers = sweep(requests, CurveCache(), scheduler=arguments.scheduler, device=arguments.device)
    found = dict(tqdm(answers, total=len(requests), unit="curve", file=sys.stderr))
    answered = [(request, found[request]) for request in requests]
    curves = {request: answer for request, answer in answered if isinstance(answer, CompressionCurve)}
    errors = {str(answer) for _, answer in answered if not isinstance(answer, CompressionCurve)}
    if not curves:
        raise NmfdiagError(f"No curve could be computed: {'; '.join(sorted(errors))}")
    if arguments.csv:
        profile_table(curves, zoo).to_csv(arguments.csv, index=False)
    table = auc_table(curves, zoo)
    record = {"curves": len(curves), "errors": sorted(errors), "auc": table.to_dict("records")}
    return OK, record, "\n".join([table.to_string(index=False, float_format="{:.3f}".format), *sorted(errors)])


def _cache_stats(_: argparse.Namespace) -> Outcome:
    record = _stats()
    return OK, record, f"{record['curves']:,} curves, {record['bytes'] / 2**20:.1f} MiB in {record['folder']}"


def _cache_clear(_: argparse.Namespace) -> Outcome:
    from nmfdiag.runs.cache import CurveCache

    gone = CurveCache().clear()
    return OK, {"cleared": gone}, f"{gone:,} curves forgotten."


def _stats() -> dict[str, Any]:
    from nmfdiag.runs.cache import CurveCache

    return CurveCache().stats()
