"""The command line: every command has help, a mistake is one line with status 2, and the shell can complete values."""

import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
import typer

from tests.conftest import ROOT
from widedeep.cli import APP, main
from widedeep.errors import UserError, exit_on_user_error, show

ASK = ("recommend", "similar", "explain", "predict", "batch", "serve", "events")
COMMANDS = (
    "inspect",
    "compare",
    "history",
    "bisect",
    "evaluate",
    *ASK,
    "export",
    "register",
    "tune",
    "presets",
    "noise",
    "ablation",
    "benchmark",
)


def test_help_lists_the_commands_with_a_whole_sentence_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    for line in lines:
        assert line.endswith((".", "?")), line
        assert not line.endswith("..."), line


def test_help_imports_no_library_that_takes_long() -> None:
    """`widedeep --help` takes a tenth of a second of a processor; torch alone would take more than one."""
    code = (
        "import sys, widedeep.cli; widedeep.cli.main(['--help']); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "typer" in loaded
    slow = {
        "torch",
        "pytorch_lightning",
        "numpy",
        "pandas",
        "pyarrow",
        "pydantic",
        "dvc",
        "mlflow",
        "optuna",
        "ibis",
        "fastapi",
    }
    assert loaded & slow == set()


@pytest.mark.parametrize("command", [*COMMANDS, "drift"])
def test_every_option_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: widedeep {command} ")
    parameters = typer.main.get_command(APP).commands[command].params  # type: ignore[attr-defined]
    assert all(getattr(parameter, "help", None) for parameter in parameters)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("compare --last 3", "No such option: --last"),
        ("compare a b c", "unexpected extra argument"),
        ("history --last 0", "must be a whole number of at least 1. Got '0' instead"),
        (f"history --last {'9' * 5000}", "must have at most 9 digits. Got '99999999999999999999...' instead"),
        ("history --last few", "must be a whole number of at least 1. Got 'few' instead"),
        ("presets ml-100k random", "Missing argument 'OBJECTIVE'"),
        ("presets ml-100k randm rating", "There is no split 'randm'. Did you mean 'random'?"),
        ("noise --seeds 1", "must be a whole number of at least 2. Got '1' instead"),
        ("noise --params nowhere.yaml", "nowhere.yaml does not exist"),
        ("tune --model bais", "Got 'bais' instead. Did you mean 'bias'?"),
        ("ablation ml-100k random joint", "Missing option '--out'"),
        ("", "Missing command"),
        ("comprae", "No such command 'comprae'"),
    ],
)
def test_mistake_is_one_line_and_status_2(
    call: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(call.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert said in printed.err


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [("ascii", "-0.5 -> e ? - ..."), ("latin-1", "-0.5 -> é ? - ..."), ("utf-8", "−0.5 → é 語 – …")],
)
def test_any_text_is_printed_on_any_terminal(encoding: str, printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {name: BytesIO() for name in ("stdout", "stderr")}
    for name, stream in written.items():
        monkeypatch.setattr(sys, name, TextIOWrapper(stream, encoding=encoding, write_through=True))
    with exit_on_user_error():
        print("−0.5 → é 語 – …")
    show(UserError("−0.5 → é 語 – …"))
    assert written["stdout"].getvalue().decode(encoding) == f"{printed}\n"
    assert written["stderr"].getvalue().decode(encoding) == f"error: {printed}\n"


@pytest.mark.parametrize("call", ["tune", "presets ml-100k random rating", "noise", "benchmark --list"])
def test_study_outside_of_the_repository_says_where_to_run_it(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(call.split()) == 2
    assert "Run this command in the root of the repository" in capsys.readouterr().err


def test_shell_completes_commands_and_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("_WIDEDEEP_COMPLETE", "complete_bash")
    for words, expected in (("widedeep comp", "compare"), ("widedeep presets ml-100", "ml-100k")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        with pytest.raises(SystemExit):
            main([])
        assert expected in capsys.readouterr().out.split()
