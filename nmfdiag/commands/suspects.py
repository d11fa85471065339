"""``suspects``: which labels of a network's training samples look wrong, and how many."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nmfdiag.commands.network_options import add_network_options
from nmfdiag.commands.outcome import OK, WRONG, Commands, Outcome, say
from nmfdiag.commands.result_cache import add_cache_option, result_cache
from nmfdiag.errors import NmfdiagError

if TYPE_CHECKING:
    from nmfdiag.commands.labelled_network import ScoredNetwork
    from nmfdiag.measures.suspects.ranking_quality import RankingQuality
    from nmfdiag.measures.suspects.result import Suspects

TABLE, CSV, JSON = "table", "csv", "json"
DATALAB, FIFTYONE, LABEL_STUDIO = "datalab", "fiftyone", "label-studio"
TOOLS = (DATALAB, FIFTYONE, LABEL_STUDIO)
TO_STDOUT = "-"
LONGEST_NAME, LONGEST_FILE = 24, 48
"""Characters of a class's name and of a file's path in the table, at most."""
EPILOG = """Samples are named by their numbers in your data: rows of the .npz, places in the
sorted list of images; those of a network of the zoo are rows of its probe pool.

--export writes
  datalab FILE.csv         the columns of cleanlab's Datalab.get_issues("label")
  fiftyone samples.json    a LegacyFiftyOneDataset, of an image folder or a zip of one
  label-studio FILE.json   tasks with predictions, one for each row of the table,
                           and beside them FILE.xml, their labelling interface

Exit codes: 0 done, 1 the check of --fail-above failed (or nothing can be told),
2 bad input, 3 the answer could not be written, 130 interrupted."""


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    del common  # its --json takes no file
    command = commands.add_parser(
        "suspects",
        help="list training samples whose given label looks wrong, and estimate how many there are",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="name of a zoo network, whose probe pool is scored")
    add_network_options(command)
    command.add_argument("--per-class", type=int, metavar="N", help="samples of each class at most (default: all)")
    command.add_argument("--layers", nargs="+", metavar="LAYER", help="layers to probe (default: all)")
    command.add_argument(
        "--history",
        metavar="FILE",
        help="what a monitored training run recorded of each sample, or the folder of the run",
    )
    command.add_argument(
        "--nmf-ratio",
        action="store_true",
        help="also give each sample's NMF error in its own class over that in the best other one, in CSV and JSON; not part of the score",
    )
    command.add_argument("--device", default="auto", help="auto (the default), cpu or cuda")
    add_cache_option(command)
    command.add_argument("--top", type=int, default=20, metavar="N", help="rows of the table (default: 20)")
    command.add_argument(
        "--fail-above",
        type=float,
        metavar="SHARE",
        help="exit with code 1 if the lower end of the interval of the share of wrong labels is above this",
    )
    output = command.add_argument_group("output")
    output.add_argument(
        "--format", choices=(TABLE, CSV, JSON, *TOOLS), default=TABLE, help="what is printed (default: table)"
    )
    output.add_argument("--csv", type=Path, metavar="FILE", help="also write one row per sample to this file")
    output.add_argument(
        "--json",
        nargs="?",
        const=TO_STDOUT,
        metavar="FILE",
        help="write one JSON document to FILE.json, or print it (-)",
    )
    output.add_argument(
        "--export",
        nargs=2,
        action="append",
        default=[],
        metavar=("TOOL", "FILE"),
        help=f"also write what another tool imports: {', '.join(TOOLS)}",
    )
    output.add_argument(
        "--files-at",
        default="",
        metavar="URL",
        help="where Label Studio finds the images, such as /data/local-files/?d=",
    )
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> Outcome:
    from dataclasses import replace

    from nmfdiag.commands.labelled_network import load_labelled, score_labels
    from nmfdiag.jobs.compute import resolve

    json_file = _read_json_option(arguments)
    _check_options(arguments, json_file)
    device = resolve(arguments.device)
    network = load_labelled(arguments, arguments.per_class)
    if arguments.history and network.true_labels is not None:
        raise NmfdiagError(f"--history goes with your own network: {network.name} of the zoo was trained without one.")
    if FIFTYONE in (arguments.format, *(tool for tool, _ in arguments.export)) and not network.file_names:
        raise NmfdiagError("FiftyOne shows files, and these samples have none: give an image folder or a zip of one.")
    if network.provenance and not arguments.json:
        say("\n".join(f"  {key:14} {value}" for key, value in network.provenance.items()))
    with result_cache(arguments) as cache:
        scored = score_labels(
            network,
            cache,
            device=device,
            per_class=arguments.per_class,
            history=arguments.history,
            layers=arguments.layers,
            nmf_ratio=arguments.nmf_ratio,
        )
    result = replace(scored.suspects, provenance=scored.suspects.provenance | (network.provenance or {}))
    scored = replace(scored, suspects=result)
    by_truth = _by_truth(scored)
    code, check = _check(arguments.fail_above, result)
    record = {"name": network.name, **result.to_dict(), **_findings(scored, by_truth), "check": check}
    record["files"] = _write_files(arguments, scored, json_file, record)
    if arguments.format in (CSV, *TOOLS):
        return code, record, _exported(arguments, scored, arguments.format)
    lines = [*_answer_lines(scored, by_truth, arguments.top), *([check["text"]] if check else [])]
    if record["files"]:
        lines.append(f"Written: {', '.join(record['files'])}")
    if network.file_names and not arguments.files_at and any(tool == LABEL_STUDIO for tool, _ in arguments.export):
        lines.append(
            "Label Studio finds the images once it knows where they are: --files-at URL, such as /data/local-files/?d="
        )
    return code, record, "\n".join(lines)


def _read_json_option(arguments: argparse.Namespace) -> Path | None:
    """Return the file of ``--json``, and set whether JSON is printed; a NAME that follows the bare option is none."""
    target, arguments.json = arguments.json, arguments.format == JSON
    if target in (None, TO_STDOUT):
        arguments.json |= target == TO_STDOUT
        return None
    if target.endswith(".json"):
        return Path(target)
    if arguments.name is not None:
        raise NmfdiagError(f"--json takes FILE.json, or - to print, got {target!r}.")
    arguments.name, arguments.json = target, True
    return None


def _check_options(arguments: argparse.Namespace, json_file: Path | None) -> None:
    if arguments.top < 0:
        raise NmfdiagError(f"--top must be 0 or more, got {arguments.top}.")
    if arguments.per_class is not None and arguments.per_class < 2:
        raise NmfdiagError(f"--per-class must be 2 or more, got {arguments.per_class}.")
    if arguments.fail_above is not None and not 0 <= arguments.fail_above < 1:
        raise NmfdiagError(f"--fail-above must lie in [0, 1), got {arguments.fail_above}.")
    for tool, _ in arguments.export:
        if tool not in TOOLS:
            raise NmfdiagError(f"--export knows no {tool!r}: accepted are {', '.join(TOOLS)}.")
    files = [arguments.csv, json_file, *(Path(file) for _, file in arguments.export)]
    for path in files:
        if path and not path.parent.is_dir():
            raise NmfdiagError(f"There is no folder {path.parent} to write {path.name} into.")


def _check(threshold: float | None, suspects: "Suspects") -> tuple[int, dict[str, Any] | None]:
    """Return the exit code, and the check's record; None where none was asked for."""
    from nmfdiag.text import percent

    if threshold is None:
        return OK, None
    rate = suspects.noise_rate
    if not rate.is_known:
        failed, text = True, "The check fails: how many labels are wrong can't be told."
    else:
        failed = rate.low > threshold
        text = f"The lower end of the interval of the share of wrong labels, {percent(rate.low)}, is {'above' if failed else 'not above'} {percent(threshold)}."
    return WRONG if failed else OK, {"fail_above": threshold, "low": rate.low, "failed": failed, "text": text}


def _findings(scored: "ScoredNetwork", by_truth: "RankingQuality | None") -> dict[str, Any]:
    """Return what JSON says beyond :meth:`nmfdiag.Suspects.to_dict`: the most suspicious class, and the score by the true labels."""
    from dataclasses import asdict

    from nmfdiag.diagnosis.suspects_text import most_suspicious_class

    worst = most_suspicious_class(scored.suspects)
    return {
        "most_suspicious_class": worst and dict(zip(("class", "n_suspicious", "n_samples"), worst, strict=True)),
        "by_true_labels": by_truth and asdict(by_truth),
    }


def _by_truth(scored: "ScoredNetwork") -> "RankingQuality | None":
    """Return how well the score finds the wrong labels; None where the true ones are unknown, all are right, or all wrong."""
    from nmfdiag.measures.suspects.ranking_quality import ranking_quality

    truth, suspects = scored.network.true_labels, scored.suspects
    return None if truth is None else ranking_quality(suspects.score, suspects.given != truth[scored.places])


def _answer_lines(scored: "ScoredNetwork", by_truth: "RankingQuality | None", n_rows: int) -> list[str]:
    from nmfdiag.diagnosis.suspects_text import class_sentence, expected_sentence, repeat_sentences, truth_sentence

    suspects, truth = scored.suspects, scored.network.true_labels
    n = min(n_rows, len(suspects.given))
    sentences = [suspects.noise_rate.statement, class_sentence(suspects)]
    if truth is not None:
        sentences.append(truth_sentence(suspects, truth[scored.places], by_truth))
    return [
        *filter(None, sentences),
        *(["", *_table(suspects, n), ""] if n else []),
        *filter(None, [expected_sentence(suspects, n)]),
        *repeat_sentences(suspects),
        suspects.extent,
        *suspects.remarks,
    ]


def _table(suspects: "Suspects", n: int) -> list[str]:
    """Return the n most suspicious samples as lines of a table."""
    head = ["sample", "file", "given", "suggested", "score", "confidence", "layers against"]
    rows = [
        [
            str(suspects.indices[row]),
            _end_of(suspects.file_text(row)),
            _start_of(suspects.class_name(int(suspects.given[row]))),
            _start_of(suspects.class_name(int(suspects.suggested[row]))),
            f"{suspects.score[row]:.3f}",
            f"{suspects.confidence[row]:.2f}",
            f"{suspects.layers_against[row]} of {len(suspects.layers)}",
        ]
        for row in suspects.order[:n]
    ]
    columns = [column for column in zip(head, *rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    is_text = [column[0] in ("file", "given", "suggested") for column in columns]
    return [
        "  ".join(
            f"{cell:{'<' if left else '>'}{width}}" for cell, width, left in zip(line, widths, is_text, strict=True)
        ).rstrip()
        for line in zip(*columns, strict=True)
    ]


def _start_of(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _end_of(path: str) -> str:
    return path if len(path) <= LONGEST_FILE else f"…{path[1 - LONGEST_FILE :]}"


def _write_files(
    arguments: argparse.Namespace, scored: "ScoredNetwork", json_file: Path | None, record: dict[str, Any]
) -> list[str]:
    """Write all files that were asked for and return their paths."""
    written: list[Path] = []
    if arguments.csv:
        scored.suspects.to_csv(arguments.csv)
        written.append(arguments.csv)
    if json_file:
        json_file.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        written.append(json_file)
    for tool, file in arguments.export:
        Path(file).write_text(_exported(arguments, scored, tool) + "\n", encoding="utf-8")
        written.append(Path(file))
        if tool == LABEL_STUDIO:
            written.append(_write_config(scored, Path(file)))
    return list(map(str, written))


def _exported(arguments: argparse.Namespace, scored: "ScoredNetwork", form: str) -> str:
    """Return the suspects in a form of :data:`TOOLS`, or as CSV."""
    from nmfdiag.measures.suspects.exports import datalab_issues, fiftyone_dataset, label_studio_tasks

    suspects = scored.suspects
    if form == CSV:
        return suspects.to_frame().to_csv(index=False).rstrip("\n")
    if form == DATALAB:
        return datalab_issues(suspects).to_csv().rstrip("\n")
    if form == FIFTYONE:
        folder = Path(arguments.data).resolve() if arguments.data and Path(arguments.data).is_dir() else ""
        return json.dumps(fiftyone_dataset(suspects, folder), indent=1)
    rows = suspects.order[: arguments.top]
    pictures = [] if suspects.file_names else scored.pictures(rows)
    images = dict(zip(suspects.indices[rows].tolist(), pictures, strict=True)) if pictures else None
    return json.dumps(label_studio_tasks(suspects, arguments.top, files_at=arguments.files_at, images=images), indent=1)


def _write_config(scored: "ScoredNetwork", tasks: Path) -> Path:
    """Write the labelling interface beside Label Studio's tasks."""
    from nmfdiag.measures.suspects.exports import label_studio_config
    from nmfdiag.plots.sample_images import is_image

    with_images = bool(scored.suspects.file_names) or is_image(scored.network.stored.shape[1:])
    path = tasks.with_suffix(".xml")
    path.write_text(label_studio_config(scored.suspects, with_images=with_images), encoding="utf-8")
    return path
