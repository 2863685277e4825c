"""Commands that hand a trained model on: as a folder, or to the registry of MLflow."""

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from widedeep.cli.versions import MODEL, PATHS
from widedeep.errors import UserError
from widedeep.revisions import read_lock

MODELS = Path(MODEL)
CARD = Path("reports/model_card.md")
REPORT = Path("reports/report.html")


def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder, or an earlier export to replace.")],
) -> None:
    """Pack the model and what is said of it into one folder.

    The folder needs neither this repository nor its data: `widedeep serve OUT` answers by it on any machine that has
    the package. Metrics and report lie in it, and the card becomes README.md.
    """
    from widedeep.serving import papers
    from widedeep.serving.export import export

    check_one_run()
    beside = {"metrics.json": PATHS.metrics, papers.CARD: CARD, papers.REPORT: REPORT}
    names = export(MODELS, beside, out)
    print(f"{out}: {len(names)} files. Answer by it: widedeep serve {out}")


def register(
    models: Annotated[Path, typer.Argument(metavar="FOLDER", help="The model that stage train wrote.")] = MODELS,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the model in the registry.")] = "widedeep",
) -> None:
    """Put the model into the registry of MLflow, as its next version.

    The store is mlflow.db, or that of MLFLOW_TRACKING_URI. MLflow loads the model as a function of a frame with the
    column user_id.
    """
    from importlib.metadata import version

    from widedeep.register import register

    number = register(models, name, f"widedeep=={version('widedeep')}")
    print(f"{name}, version {number}. Load it: mlflow.pyfunc.load_model('models:/{name}/{number}')")


def check_one_run() -> None:
    """Refuse metrics, a card or a report that are not those of the model, as far as dvc.lock knows the files."""
    from widedeep.files import dvc_md5

    for path in (MODELS, PATHS.metrics, CARD, REPORT, PATHS.lock):
        if not path.exists():
            raise UserError(f"{path} is missing. `dvc repro` makes it.")
    md5 = {MODEL: dvc_md5(MODELS)}
    md5 |= {path.as_posix(): hashlib.md5(path.read_bytes()).hexdigest() for path in (PATHS.metrics, CARD, REPORT)}
    for name, stage in read_lock(PATHS.lock).stages.items():
        for entry in (*stage.deps, *stage.outs):
            if entry.md5 != md5.get(entry.path, entry.md5):
                raise UserError(
                    f"{entry.path} is not that of the last run of stage {name}, so model, metrics, card and report "
                    "may not be of one run. Run `dvc repro`."
                )
