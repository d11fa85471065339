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
    train.add_argument(
        "--watch",
        type=Path,
        metavar="FOLDER",
        help="watch for memorisation and write FOLDER/NAME/run.jsonl; same weights",
    )
    train.set_defaults(run=_zoo_train)
    added = zoo.add_parser(
        "add", parents=[common], help="add a classifier of torchvision with trained weights, such as VGG-19 on ImageNet"
    )
    added.add_argument("name", metavar="NAME", help="of the network in the zoo")
    added.add_argument("--arch", required=True, help="one of torchvision's classifiers, such as vgg19")
    added.add_argument(
        "--weights",
        required=True,
        help="imagenet (torchvision downloads its default weights), or a .pth or .safetensors",
    )
    added.add_argument("--data", required=True, type=Path, help="folder CLASS/IMAGE of images that it was trained on")
    added.add_argument(
        "--test", type=Path, help="folder CLASS/IMAGE of test images; without it test accuracies are unknown"
    )
    added.add_argument(
        "--classes", nargs="+", default=[], metavar="CLASS", help="by name, folder or number; default all"
    )
    added.add_argument("--per-class", type=int, default=20, help="images of each class (default: 20)")
    added.add_argument("--class-index", type=Path, help='JSON {"0": ["n01440764", "tench"], ...}, for WordNet ids')
    added.add_argument("--out", type=Path, help="folder of the zoo (default: $NMFDIAG_ZOO, else zoo/)")
    added.set_defaults(run=_zoo_add)
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

    for name, about in (
        ("report", "the diagnosis of a zoo network as one HTML file, and as JSON"),
        ("check", "exit with 1 where a network's lowest single-class AuC is under a threshold"),
    ):
        command = commands.add_parser(name, parents=[common], help=about)
        command.add_argument("name", metavar="NAME")
        command.add_argument("--per-class", type=int, default=20)
        command.add_argument("--layers", nargs="+")
        if name == "report":
            command.add_argument("--methods", nargs="+", choices=["nmf", "pca", "random"], default=["nmf"])
            command.add_argument("--html", type=Path, help="default NAME.html")
            command.add_argument("--to-json", type=Path, metavar="FILE", help="write the numbers to this file, too")
        else:
            command.add_argument("--below", type=float, required=True, metavar="AUC", help="between 0 and 1")
        command.set_defaults(run=_report if name == "report" else _check)

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

    recorded = commands.add_parser(
        "record", parents=[common], help="run a declared experiment and record it; goes on where it was stopped"
    )
    recorded.add_argument(
        "experiment", metavar="EXPERIMENT", help="generalization, data-size, early-stopping, few-shot or curves"
    )
    recorded.add_argument("--only", nargs="+", default=[], metavar="NAME", help="beginnings of the networks' names")
    recorded.add_argument("--data", help="folder of the data sets (default: $NMFDIAG_DATA, else data/)")
    recorded.add_argument("--download", action="store_true", help="let torchvision download what is missing")
    recorded.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    recorded.add_argument("--out", type=Path, default=Path("recorded"), help="folder of the records")
    recorded.set_defaults(run=_record)

    evidence = commands.add_parser("evidence", parents=[common], help="which of the paper's claims hold on our records")
    evidence.add_argument("--markdown", action="store_true", help="print the table of the reproduction log")
    evidence.set_defaults(run=_evidence)

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
        f"{e.name:28} {e.train_accuracy:6.3f} {_share(e.test_accuracy):>6} {e.n_parameters:11,}"
        for e in entries().values()
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

            options = {"root": arguments.data, "download": arguments.download, "device": device, "on_epoch": show}
            if arguments.watch is None:
                trained = train(each, **options)
            else:
                from nmfdiag.runs.watched import train_watched

                trained = train_watched(each, arguments.watch, **options)
        entry = keep(each, trained, training_set(each, dataset), dataset, arguments.out or user_zoo())
        rows.append(
            {"name": entry.name, "train_accuracy": entry.train_accuracy, "test_accuracy": entry.test_accuracy,
             "epochs": len(entry.log), "folder": str(entry.folder)}
        )  # fmt: skip
    text = "\n".join(f"{r['name']}: train {r['train_accuracy']:.3f}, test {r['test_accuracy']:.3f}" for r in rows)
    return OK, rows, text


def _zoo_add(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.zoo.adding import add

    with tqdm(total=1, file=sys.stderr, bar_format="{percentage:3.0f}% |{bar}| {elapsed} {desc}") as bar:

        def show(done: float, words: str) -> None:
            bar.set_description_str(words)
            bar.update(done - bar.n)

        entry = add(
            arguments.name, arguments.arch, arguments.weights, arguments.data, test=arguments.test, zoo=arguments.out,
            classes=arguments.classes, per_class=arguments.per_class, class_index=arguments.class_index, on_progress=show,
        )  # fmt: skip
    names = [entry.class_names[c] for c in entry.classes]
    record = {
        "name": entry.name, "classes": names, "layers": list(entry.layers), "pool_accuracy": entry.pool_accuracy,
        "test_accuracy": entry.test_accuracy, "folder": str(entry.folder),
    }  # fmt: skip
    text = f"{entry.name}: {len(names)} classes, {len(entry.layers)} ReLU layers, accuracy {entry.pool_accuracy:.3f} on their"
    return OK, record, f"{text} images, test {_share(entry.test_accuracy)}. In {entry.folder}."


def _share(value: float | None) -> str:
    return "?" if value is None else f"{value:.3f}"


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


def _report(arguments: argparse.Namespace) -> Outcome:
    diagnosis = _diagnosis(arguments, methods=arguments.methods)
    path = arguments.html or Path(f"{arguments.name}.html")
    diagnosis.to_html(path)
    if arguments.to_json:
        diagnosis.to_json(arguments.to_json)
    written = [str(each) for each in (path, arguments.to_json) if each]
    return OK, {**diagnosis.to_dict(), "files": written}, f"{diagnosis.verdict}\nWritten: {', '.join(written)}"


def _check(arguments: argparse.Namespace) -> Outcome:
    if not 0 < arguments.below <= 1:
        raise NmfdiagError(f"--below must lie in (0, 1], got {arguments.below}.")
    diagnosis = _diagnosis(arguments)
    layer, at = diagnosis.lowest
    found = at.mean < arguments.below
    words = f"{layer} has the lowest AuC, {at}: {'under' if found else 'not under'} {arguments.below:g}."
    record = {"layer": layer, "auc": at.mean, "standard_error": at.sem, "below": arguments.below, "memorises": found}
    return WRONG if found else OK, record, "\n".join([words, *diagnosis.remarks])


def _diagnosis(arguments: argparse.Namespace, **options: Any) -> Any:
    from tqdm import tqdm

    from nmfdiag.views.diagnosis import diagnose
    from nmfdiag.zoo.registry import lookup

    entry = lookup(arguments.name)
    pool = entry.load_pool()
    with tqdm(total=1, file=sys.stderr, desc=entry.name, bar_format="{desc} {percentage:3.0f}% |{bar}|") as bar:
        return diagnose(
            entry.load_model(),
            pool.inputs,
            pool.given_labels,
            layers=arguments.layers,
            per_class=arguments.per_class,
            on_progress=lambda done, words: bar.update(done - bar.n),
            **options,
        )


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


def _record(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.runs.compute import resolve
    from nmfdiag.runs.evidence.curves import record_curves
    from nmfdiag.runs.recording import record

    device = resolve(arguments.device)
    with tqdm(total=1, file=sys.stderr, bar_format="{percentage:3.0f}% |{bar}| {elapsed}<{remaining} {desc}") as bar:

        def show(words: str, done: float) -> None:
            bar.set_description_str(words)
            bar.update(done - bar.n)

        if arguments.experiment == "curves":
            done = record_curves(arguments.out, only=arguments.only, device=device, on_step=show)
        else:
            data: dict[str, Any] = {"root": arguments.data, "download": arguments.download}
            done = record(arguments.experiment, arguments.out, only=arguments.only, device=device, on_step=show, **data)
    return OK, {"recorded": done, "folder": str(arguments.out)}, f"{len(done)} recorded in {arguments.out}."


def _evidence(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.runs.evidence.claims import findings
    from nmfdiag.views.evidence_words import claims_markdown, claims_table, evidence_answer

    found = findings()
    lines = [f"{c.figure:6} {f.verdict} ({f.counted}): {c.claim}\n       {f.measured}" for c, f in found.items()]
    text = claims_markdown(found) if arguments.markdown else "\n".join([*lines, evidence_answer(found)])
    return OK, claims_table(found).to_dict("records"), text


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
