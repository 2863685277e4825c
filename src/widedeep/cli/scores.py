"""The command `widedeep evaluate`, for the score tables of any system."""

from pathlib import Path
from typing import Annotated

import typer

from widedeep.cli.versions import PARAMS


def evaluate(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS",
            help="Parquet file with the columns model, knowledge, user_id, item_id and predicted. It has a row for "
            "each test rating.",
        ),
    ],
    recommendations: Annotated[
        Path,
        typer.Argument(
            metavar="RECOMMENDATIONS",
            help="Parquet file with the columns model, knowledge, user_id, rank, item_id and score. It has a row for "
            "each place in a list.",
        ),
    ],
    tables: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The tables that stage preprocess made of the data.")
    ] = Path("data/interim"),
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Write metrics, plots and the report into this folder.")
    ] = Path("reports/judged"),
    beside: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Compare with the score tables of this folder, as in --beside reports."),
    ] = None,
) -> None:
    """Judge the predictions and lists of any system.

    The system gets the same metrics, intervals and report as the model of the pipeline. Section evaluate of params.yaml
    sets the parameters. The summary is printed as Markdown.
    """
    from widedeep.params import load_params
    from widedeep.report.judged import judge_files

    print(judge_files(predictions, recommendations, tables, out, load_params(PARAMS).evaluate, beside), end="")
