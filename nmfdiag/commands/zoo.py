"""``zoo``: list, train, add, verify and remove networks."""

import argparse
import sys
from pathlib import Path
from typing import Any

from nmfdiag.commands.network_options import add_network_options
from nmfdiag.commands.outcome import OK, WRONG, Commands, Outcome, accuracy_text, progress_bar
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.methods import activations_for, leading_method

OUT = "folder of the zoo (default: $NMFDIAG_ZOO, else zoo/)"


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    zoo = commands.add_parser("zoo", help="manage the trained networks").add_subparsers(
        required=True, metavar="COMMAND"
    )
    zoo.add_parser("list", parents=[common], help="list networks").set_defaults(run=_list)
    train = zoo.add_parser("train", parents=[common], help="train networks from their recipes")
    train.add_argument("names", nargs="+", metavar="NAME", help="names of recipes, such as digits-mlp-p0.4-s0")
    train.add_argument("--data", help="folder of the data sets (default: $NMFDIAG_DATA, else data/)")
    train.add_argument("--download", action="store_true", help="let torchvision download missing data sets")
    train.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    train.add_argument("--out", type=Path, help=OUT)
    train.add_argument(
        "--watch",
        type=Path,
        metavar="FOLDER",
        help="also monitor memorisation and write FOLDER/NAME/run.jsonl; the weights stay the same",
    )
    train.set_defaults(run=_train)
    _add_own_commands(zoo, common)
    verify = zoo.add_parser("verify", parents=[common], help="recompute and compare hashes and accuracies")
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    verify.add_argument("--data", help="folder of the data sets, to check accuracies on them as well")
    verify.set_defaults(run=_verify)
    remove = zoo.add_parser("remove", parents=[common], help="remove networks of your own and delete their files")
    remove.add_argument("names", nargs="+", metavar="NAME")
    remove.set_defaults(run=_remove)


def _add_own_commands(zoo: Commands, common: argparse.ArgumentParser) -> None:
    add = zoo.add_parser(
        "add", parents=[common], help="add a classifier of torchvision with trained weights, such as VGG-19 on ImageNet"
    )
    add.add_argument("name", metavar="NAME", help="name of the new zoo network")
    add.add_argument("--arch", required=True, help="one of torchvision's classifiers, such as vgg19")
    add.add_argument(
        "--weights",
        required=True,
        help="imagenet (torchvision downloads its default weights), or a .pth or .safetensors file",
    )
    add.add_argument("--data", required=True, type=Path, help="folder CLASS/IMAGE of training images")
    add.add_argument(
        "--test", type=Path, help="folder CLASS/IMAGE of test images; without it, test accuracies stay unknown"
    )
    add.add_argument(
        "--classes", nargs="+", default=[], metavar="CLASS", help="names, folders or numbers of classes (default: all)"
    )
    add.add_argument("--per-class", type=int, default=20, help="images per class (default: 20)")
    add.add_argument("--class-index", type=Path, help='JSON {"0": ["n01440764", "tench"], ...}, for WordNet ids')
    add.add_argument("--out", type=Path, help=OUT)
    add.set_defaults(run=_add)
    open_command = zoo.add_parser(
        "open", parents=[common], help="add your own network with your own data, for use on every page"
    )
    open_command.add_argument("called", metavar="NAME", help="name of the new zoo network")
    add_network_options(open_command, code=False)
    open_command.add_argument("--per-class", type=int, default=50, help="samples per class (default: 50)")
    open_command.add_argument(
        "--signed", action="store_true", help="include layers with negative values, such as GELU, by signed NMF"
    )
    open_command.add_argument(
        "--replace", action="store_true", help="replace the network that was added under this name"
    )
    open_command.add_argument("--out", type=Path, help=OUT)
    open_command.set_defaults(run=_open)


def _list(_: argparse.Namespace) -> Outcome:
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
        f"{e.name:28} {e.train_accuracy:6.3f} {accuracy_text(e.test_accuracy):>6} {e.n_parameters:11,}"
        for e in entries().values()
    ]
    return OK, rows, "\n".join(lines)


def _train(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.data.datasets import load
    from nmfdiag.jobs.compute import resolve
    from nmfdiag.zoo.recipes import recipe
    from nmfdiag.zoo.registry import user_zoo
    from nmfdiag.zoo.store import keep
    from nmfdiag.zoo.training import train, training_set

    recipes = [recipe(name) for name in arguments.names]
    device = resolve(arguments.device)
    rows = []
    for network_recipe in recipes:
        dataset = load(network_recipe.dataset, "train", root=arguments.data, download=arguments.download)
        with tqdm(desc=network_recipe.name, unit="epoch", file=sys.stderr, total=network_recipe.max_epochs) as bar:

            def show(line: dict[str, float], bar: Any = bar) -> None:
                bar.set_postfix(train=f"{line['train_accuracy']:.3f}", test=f"{line['test_accuracy']:.3f}")
                bar.update()

            options = {"root": arguments.data, "download": arguments.download, "device": device, "on_epoch": show}
            if arguments.watch is None:
                trained = train(network_recipe, **options)
            else:
                from nmfdiag.monitor.train_watched import train_watched

                trained = train_watched(network_recipe, arguments.watch, **options)
        entry = keep(
            network_recipe, trained, training_set(network_recipe, dataset), dataset, arguments.out or user_zoo()
        )
        rows.append(
            {"name": entry.name, "train_accuracy": entry.train_accuracy, "test_accuracy": entry.test_accuracy,
             "epochs": len(entry.log), "folder": str(entry.folder)}
        )  # fmt: skip
    text = "\n".join(f"{r['name']}: train {r['train_accuracy']:.3f}, test {r['test_accuracy']:.3f}" for r in rows)
    return OK, rows, text


def _add(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.zoo.add_network import add

    with progress_bar() as show:
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
    return OK, record, f"{text} images, test {accuracy_text(entry.test_accuracy)}. In {entry.folder}."


def _open(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.commands.preflight import check_network, objections, preflight_text
    from nmfdiag.commands.target import Target, open_own_network, way_of
    from nmfdiag.zoo.add_network import add_opened, free_folder
    from nmfdiag.zoo.registry import entries, user_zoo

    if way_of(arguments) in ("model", "exported"):
        raise NmfdiagError(
            "The zoo runs no code of a network's own: one of --model or --exported can be diagnosed, but not put there. Networks of a "
            "known architecture can, by their --weights."
        )
    if arguments.called in entries() and not arguments.replace:  # before minutes are spent
        raise NmfdiagError(f"The name {arguments.called!r} is taken: choose another one, or give --replace.")
    free_folder(arguments.called, arguments.out or user_zoo(), replace=arguments.replace)
    with progress_bar() as show:
        show(0.0, "opening")
        opened = open_own_network(arguments, arguments.per_class)
        show(0.4, "checking")
        target = Target.from_opened(opened)
        wanted_methods = [leading_method("all")] if arguments.signed else None
        preflight, methods = check_network(target, per_class=arguments.per_class, methods=wanted_methods)
        kinds = activations_for(methods)
        entry = add_opened(
            arguments.called, opened, activations=kinds, train_size=arguments.train_size, replace=arguments.replace, zoo=arguments.out,
            on_progress=lambda share, text: show(0.8 + 0.2 * share, text),
        )  # fmt: skip
    reasons = objections(preflight)
    record = {
        "name": entry.name, "classes": [entry.class_names[c] for c in entry.classes], "layers": list(entry.layers),
        "pool_accuracy": entry.pool_accuracy, "method": entry.method, "preflight": preflight.to_dict(), "problems": reasons,
        "provenance": opened.provenance, "folder": str(entry.folder), "other_weights": list(opened.other_weights),
    }  # fmt: skip
    lines = [preflight_text(target, preflight, methods), *reasons, f"{entry.name} is in {entry.folder}."]
    return OK, record, "\n".join(lines)


def _verify(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.zoo.registry import entries, lookup
    from nmfdiag.zoo.store import verify

    selected = [lookup(name) for name in arguments.names] or list(entries().values())
    results = {
        entry.name: verify(entry, root=arguments.data) for entry in tqdm(selected, unit="network", file=sys.stderr)
    }
    problems_by_name = {name: problems for name, problems in results.items() if problems}
    lines = [f"{name}: {'; '.join(problems)}" for name, problems in problems_by_name.items()]
    lines.append(f"{len(results) - len(problems_by_name)} of {len(results)} networks are as recorded.")
    return WRONG if problems_by_name else OK, results, "\n".join(lines)


def _remove(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.zoo.registry import lookup, remove

    selected = [lookup(name) for name in arguments.names]
    for entry in selected:
        remove(entry)
    names = [entry.name for entry in selected]
    return (
        OK,
        {"removed": names},
        f"{', '.join(names)} removed. Their curves stay in the cache until it needs the room.",
    )
