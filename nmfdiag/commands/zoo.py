"""``zoo``: the trained networks."""

import argparse
import sys
from pathlib import Path
from typing import Any

from nmfdiag.commands.outcome import OK, WRONG, Commands, Outcome, progress_bar, share
from nmfdiag.commands.own_network import add_own
from nmfdiag.errors import NmfdiagError
from nmfdiag.measures.methods import activations_for, leading_method

OUT = "folder of the zoo (default: $NMFDIAG_ZOO, else zoo/)"


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the commands."""
    zoo = commands.add_parser("zoo", help="the trained networks").add_subparsers(required=True, metavar="COMMAND")
    zoo.add_parser("list", parents=[common], help="what is there").set_defaults(run=_list)
    train = zoo.add_parser("train", parents=[common], help="train networks from their recipes")
    train.add_argument("names", nargs="+", metavar="NAME", help="such as digits-mlp-p0.4-s0")
    train.add_argument("--data", help="folder of the data sets (default: $NMFDIAG_DATA, else data/)")
    train.add_argument("--download", action="store_true", help="let torchvision download what is missing")
    train.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    train.add_argument("--out", type=Path, help=OUT)
    train.add_argument(
        "--watch",
        type=Path,
        metavar="FOLDER",
        help="watch for memorisation and write FOLDER/NAME/run.jsonl; same weights",
    )
    train.set_defaults(run=_train)
    _add_adding(zoo, common)
    verify = zoo.add_parser("verify", parents=[common], help="recompute hashes and accuracies")
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    verify.add_argument("--data", help="folder of the data sets, to check accuracies on them too")
    verify.set_defaults(run=_verify)
    gone = zoo.add_parser("remove", parents=[common], help="take one of your own networks out; its files are deleted")
    gone.add_argument("names", nargs="+", metavar="NAME")
    gone.set_defaults(run=_remove)


def _add_adding(zoo: Commands, common: argparse.ArgumentParser) -> None:
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
    added.add_argument("--out", type=Path, help=OUT)
    added.set_defaults(run=_add)
    own = zoo.add_parser(
        "open", parents=[common], help="add a network of your own, on your own data: every page then takes it"
    )
    own.add_argument("called", metavar="NAME", help="of the network in the zoo")
    add_own(own, code=False)
    own.add_argument("--per-class", type=int, default=50, help="samples of each class (default: 50)")
    own.add_argument(
        "--signed", action="store_true", help="layers with negative values, too, such as GELU: by signed NMF"
    )
    own.add_argument("--replace", action="store_true", help="take the place of a network that was added by this name")
    own.add_argument("--out", type=Path, help=OUT)
    own.set_defaults(run=_open)


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
        f"{e.name:28} {e.train_accuracy:6.3f} {share(e.test_accuracy):>6} {e.n_parameters:11,}"
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
                from nmfdiag.monitor.train_watched import train_watched

                trained = train_watched(each, arguments.watch, **options)
        entry = keep(each, trained, training_set(each, dataset), dataset, arguments.out or user_zoo())
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
    return OK, record, f"{text} images, test {share(entry.test_accuracy)}. In {entry.folder}."


def _open(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.commands.preflight import checked, objections, preflight_words
    from nmfdiag.commands.targets import Target, opened, way_of
    from nmfdiag.zoo.add_network import add_opened, free_folder
    from nmfdiag.zoo.registry import entries, user_zoo

    if way_of(arguments) in ("model", "exported"):
        raise NmfdiagError(
            "The zoo runs no code of a network's own: one of --model or --exported can be diagnosed, but not put there. Networks of a "
            "known architecture can, by their --weights."
        )
    if arguments.called in entries() and not arguments.replace:  # told before minutes are spent
        raise NmfdiagError(f"The name {arguments.called!r} is taken: choose another one, or give --replace.")
    free_folder(arguments.called, arguments.out or user_zoo(), replace=arguments.replace)
    with progress_bar() as show:
        show(0.0, "opening")
        own = opened(arguments, arguments.per_class)
        show(0.4, "checking")
        target = Target.of(own)
        wanted = [leading_method("all")] if arguments.signed else None
        found, methods = checked(target, per_class=arguments.per_class, methods=wanted)
        kinds = activations_for(methods)
        entry = add_opened(
            arguments.called, own, activations=kinds, replace=arguments.replace, zoo=arguments.out,
            on_progress=lambda done, words: show(0.8 + 0.2 * done, words),
        )  # fmt: skip
    reasons = objections(found)
    record = {
        "name": entry.name, "classes": [entry.class_names[c] for c in entry.classes], "layers": list(entry.layers),
        "pool_accuracy": entry.pool_accuracy, "method": entry.method, "preflight": found.to_dict(), "problems": reasons,
        "provenance": own.provenance, "folder": str(entry.folder), "other_weights": list(own.other_weights),
    }  # fmt: skip
    lines = [preflight_words(target, found, methods), *reasons, f"{entry.name} is in {entry.folder}."]
    return OK, record, "\n".join(lines)


def _verify(arguments: argparse.Namespace) -> Outcome:
    from tqdm import tqdm

    from nmfdiag.zoo.registry import entries, lookup
    from nmfdiag.zoo.store import verify

    chosen = [lookup(name) for name in arguments.names] or list(entries().values())
    found = {entry.name: verify(entry, root=arguments.data) for entry in tqdm(chosen, unit="network", file=sys.stderr)}
    wrong = {name: problems for name, problems in found.items() if problems}
    lines = [f"{name}: {'; '.join(problems)}" for name, problems in wrong.items()]
    lines.append(f"{len(found) - len(wrong)} of {len(found)} networks are as recorded.")
    return WRONG if wrong else OK, found, "\n".join(lines)


def _remove(arguments: argparse.Namespace) -> Outcome:
    from nmfdiag.zoo.registry import lookup
    from nmfdiag.zoo.remove_network import remove

    chosen = [lookup(name) for name in arguments.names]
    for entry in chosen:
        remove(entry)
    names = [entry.name for entry in chosen]
    return (
        OK,
        {"removed": names},
        f"{', '.join(names)} removed. Their curves stay in the cache until it needs the room.",
    )
