"""Ways to name a network: each wrong combination has its sentence and is a mistake, before anything is opened."""

import pytest

from nmfdiag.cli import MISTAKE, main

WHICH = "Which network? Give the NAME of one in the zoo, --weights FILE --data DATA"
CHECKPOINT = ["--weights", "w.pt", "--data", "x.npz"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], WHICH),
        (["--data", "x.npz"], WHICH),
        (["a", "--arch", "cnn"], "A network is named in one way, got NAME and --arch."),
        (
            ["--arch", "cnn", "--model", "a:b", "--exported", "c.pt2"],
            "A network is named in one way, got --arch and --model and --exported.",
        ),
        (["a", *CHECKPOINT], "--weights goes with --arch or --model, not with NAME."),
        (["a", "--data", "x.npz"], "--data goes with --weights, --model or --exported, not with NAME."),
        (["a", "--size", "32"], "--size goes with --weights, --model or --exported, not with NAME."),
        (
            ["a", "--normalization", "none"],
            "--normalization goes with --weights, --model or --exported, not with NAME.",
        ),
        (["--exported", "c.pt2", *CHECKPOINT], "--weights goes with --arch or --model, not with --exported."),
        (
            ["--activations", "a.npz", "--data", "x"],
            "--data goes with --weights, --model or --exported, not with --act",
        ),
        (["--arch", "cnn", *CHECKPOINT, "--trust"], "--trust goes with --exported, not with --arch."),
        ([*CHECKPOINT, "--trust"], "--trust goes with --exported, not with --weights."),
        (["--model", "a:b", "--data", "x", "--trust"], "--trust goes with --exported, not with --model."),
        ([*CHECKPOINT, "--solver", "mu"], "--solver goes with NAME, not with --weights."),
        (["--arch", "cnn", "--data", "x"], "--arch needs --weights, too: the file of its trained weights."),
        (["--arch", "cnn", "--weights", "w"], "--arch needs --data, too: samples that it was trained on."),
        (["--weights", "w.pt"], "--weights needs --data, too"),
        (["--model", "a:b"], "--model needs --data, too"),
        (["--exported", "c.pt2", "--trust"], "--exported needs --data, too"),
        (["a", "--draws", "0"], "--draws must be 1 or more, got 0."),
    ],
)
def test_wrong_combinations(capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    assert main(["diagnose", *options]) == MISTAKE
    output = capsys.readouterr()
    assert (
        output.err.startswith("nmfdiag: ") and message in output.err and output.err.count("\n") == 1 and not output.out
    )


@pytest.mark.parametrize("command", [["report"], ["check", "--below", ".5"], ["zoo", "open", "name"]])
def test_they_are_the_same_everywhere(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert main([*command, "--arch", "cnn", "--data", "x"]) == MISTAKE
    assert "--arch needs --weights, too" in capsys.readouterr().err
    assert main(command) == MISTAKE
    assert ("the NAME of one" in capsys.readouterr().err) == (command[0] != "zoo")


@pytest.mark.parametrize(
    ("size", "message"), [("a", "is not a size"), ("1x2x3", "more than two sides"), ("2x", "is not a size")]
)
def test_sizes(capsys: pytest.CaptureFixture[str], size: str, message: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["diagnose", *CHECKPOINT, "--size", size])
    assert stopped.value.code == MISTAKE and message in capsys.readouterr().err
