"""The command about score tables of any system: `widedeep evaluate`."""

from pathlib import Path
from typing import Annotated

import typer


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
    tables: Annotated[Path, typer.Option(metavar="FOLDER", help="The data, as stage preprocess writes them.")] = Path(
        "data/interim"
    ),
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Write metrics, plots and the report into this folder.")
    ] = Path("reports/judged"),
    beside: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Put the score tables of this folder beside it, as in: --beside reports."),
    ] = None,
) -> None:
    """Judge the predictions and lists of any system.

    It gets the metrics, the intervals and the report that the pipeline gives its own model. The parameters are those of
    section evaluate in params.yaml. The summary is printed as Markdown.
    """
    from widedeep.cli.versions import PARAMS
    from widedeep.params import load_params
    from widedeep.report.judged import judge_files

    print(judge_files(predictions, recommendations, tables, out, load_params(PARAMS).evaluate, beside), end="")
