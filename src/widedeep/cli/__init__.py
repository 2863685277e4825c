"""The command `widedeep`. Its default paths are those of dvc.yaml, so run it in the root of the repository.

The functions of the commands import heavy modules themselves, so that help and completion answer at once.
"""

import sys
from collections.abc import Sequence

import typer

from widedeep.cli import ask, inspect, release, scores, serve, studies, versions
from widedeep.errors import FAILED, MISTAKE, print_anywhere, show

APP = typer.Typer(
    help="Ask, compare, tune and measure the recommender that `dvc repro` trains.\n\n"
    "Run it in the root of the repository.\n\n"
    "Exit status of every command: 0 for success, 1 for a broken gate or a failed run, 2 for a mistake in the call.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    inspect.inspect,
    versions.compare,
    versions.history,
    versions.bisect,
    scores.evaluate,
    ask.recommend,
    ask.similar,
    ask.explain,
    ask.predict,
    ask.batch,
    serve.serve,
    serve.events,
    release.export,
    release.register,
    studies.tune,
    studies.presets,
    studies.noise,
    studies.ablation,
    studies.benchmark,
):
    APP.command()(command)
APP.command("drift", hidden=True, help="Do the same as `widedeep compare`.")(versions.compare)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status. An error that the user can fix is printed to stderr in one line."""
    print_anywhere()
    try:
        status = typer.main.get_command(APP).main(arguments, prog_name="widedeep", standalone_mode=False)
        sys.stdout.flush()
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "widedeep"
        print(f"error: {error.format_message()} (see {command} --help)", file=sys.stderr)
        return MISTAKE
    except typer.Abort:
        return FAILED
    except Exception as error:
        return show(error, MISTAKE)
    return status or 0
