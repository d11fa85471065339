"""``check``: whether a network passes gates on wrong labels, memorising, its expected error or its AuC, as an exit code.

A gate whose value can't be told fails, since a check that could not look has not passed; so does an inconclusive diagnosis without any gate.
"""

import argparse
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nmfdiag.commands.diagnosis_command import add_diagnosis_command
from nmfdiag.commands.outcome import OK, WRONG, Commands, Outcome
from nmfdiag.diagnosis.answers import GENERALISES, LABELS, MEMORISING, NOISY, UNKNOWN
from nmfdiag.measures.memorised import MEMORISED
from nmfdiag.text import percent

if TYPE_CHECKING:
    from nmfdiag.commands.target import Target
    from nmfdiag.diagnosis.diagnose import Diagnosis
    from nmfdiag.zoo.registry import ZooEntry

EPILOG = f"""Without a gate the code of the diagnosis decides: generalises passes; noisy_labels,
memorises and inconclusive fail. With gates only these are judged. A gate whose value
can't be told fails, and the output says why. --noise and --memorised without a SHARE
stand at {percent(NOISY)} and {percent(MEMORISED)}; put them behind NAME.

Exit codes: 0 passed, 1 failed (or nothing can be told), 2 bad input, 130 interrupted."""
TITLES = {"noise": "Wrong labels", "memorised": "Memorised answers", "error": "Expected error"}
"""What a gate judges."""


@dataclass(frozen=True)
class Gate:
    """A judged gate.

    Attributes:
        name: Of its option.
        limit: It fails at this value and above.
        value: The estimate; None where it can't be told.
        low: Lower end of its interval.
        high: Its upper end.
        failed: Whether it failed.
        reason: Why there is no value.
    """

    name: str
    limit: float
    value: float | None
    low: float | None
    high: float | None
    failed: bool
    reason: str = ""

    @property
    def text(self) -> str:
        """A sentence."""
        title = TITLES[self.name]
        if self.value is None or self.low is None or self.high is None:
            return f"{title}: can't be told, so that --{self.name} {self.limit:g} fails. {self.reason}".rstrip()
        interval = f"{percent(self.low).removesuffix(' %')} to {percent(self.high)}"
        state = "fails" if self.failed else "passes"
        return f"{title}: {percent(self.value)} ({interval}); --{self.name} {self.limit:g} {state}."


def add_to(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    check = add_diagnosis_command(
        commands, common, "check", "exit with code 1 if a network has wrong labels, memorises, or fails a gate", _answer
    )
    check.epilog, check.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    gates = check.add_argument_group("gates")
    for name, limit, quantity in (("noise", NOISY, "wrong labels"), ("memorised", MEMORISED, "memorised answers")):
        gates.add_argument(
            f"--{name}",
            type=float,
            nargs="?",
            const=limit,
            metavar="SHARE",
            help=f"fail if the estimated share of {quantity} reaches this ({limit:g})",
        )
    gates.add_argument(
        "--error", type=float, metavar="SHARE", help="fail if the expected error on new samples reaches this"
    )
    gates.add_argument("--below", type=float, metavar="AUC", help="fail if the lowest single-class AuC is below this")


def _answer(arguments: argparse.Namespace, _: "Target | ZooEntry", diagnosis: "Diagnosis") -> Outcome:
    gates = _judged_gates(arguments, diagnosis)
    texts = [gate.text for gate in gates]
    failed = any(gate.failed for gate in gates)
    record: dict[str, Any] = {
        "code": diagnosis.code,
        "verdict": diagnosis.verdict,
        "gates": [asdict(gate) for gate in gates],
    }
    if arguments.below is not None:
        layer, auc = diagnosis.lowest
        is_below = auc.mean < arguments.below
        failed |= is_below
        texts.append(f"{layer} has the lowest AuC, {auc}: {'under' if is_below else 'not under'} {arguments.below:g}.")
        record |= {
            "layer": layer, "auc": auc.mean, "standard_error": auc.sem, "below": arguments.below, "memorises": is_below,
        }  # fmt: skip
    if not texts:
        failed = diagnosis.code != GENERALISES
        texts = [diagnosis.verdict if diagnosis.controls else diagnosis.answers[LABELS].text]
        texts.append(f"Code {diagnosis.code}: {'fails' if failed else 'passes'}.")
    return WRONG if failed else OK, record | {"passed": not failed}, "\n".join([*texts, *diagnosis.remarks])


def _judged_gates(arguments: argparse.Namespace, diagnosis: "Diagnosis") -> list[Gate]:
    """Return the gates of the options that were given, but for AuC's."""
    gates = []
    for name, question, limit in (("noise", LABELS, arguments.noise), ("memorised", MEMORISING, arguments.memorised)):
        if limit is not None:
            answer = diagnosis.answers[question]
            unknown = answer.code == UNKNOWN or answer.estimate is None
            value, low, high = (None,) * 3 if unknown else (answer.estimate, answer.low, answer.high)
            gates.append(
                Gate(name, limit, value, low, high, value is None or value >= limit, answer.text if unknown else "")
            )
    if arguments.error is not None:
        error = diagnosis.expected_error
        if error is None:
            gates.append(Gate("error", arguments.error, None, None, None, True, diagnosis.answers[LABELS].text))
        else:
            has_failed = error.estimate >= arguments.error
            gates.append(Gate("error", arguments.error, error.estimate, error.low, error.high, has_failed))
    return gates
