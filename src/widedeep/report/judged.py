"""Judge the score tables of any system, for `widedeep evaluate`."""

from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from widedeep.columns import FROZEN, KNOWLEDGE, MODEL, RANK
from widedeep.errors import UserError
from widedeep.evaluation.background import Background
from widedeep.evaluation.files import load_scores
from widedeep.evaluation.judge import Evaluation, judge, save_evaluation
from widedeep.evaluation.metrics import list_length
from widedeep.files import replacing
from widedeep.params import EvaluateParams
from widedeep.report.about import About
from widedeep.report.report import BESIDE, Choices, Scores, Tables, render_report
from widedeep.report.summary import render_summary
from widedeep.tables.files import load_about, load_named

EXAMPLES = 10  # users whose lists the report shows


def judge_files(
    predictions: Path,
    recommendations: Path,
    tables: Path,
    out: Path,
    params: EvaluateParams,
    beside: Path | None = None,
) -> str:
    """Judge the first model of the predictions. Write the results into the folder `out`, and return the summary.

    The results are metrics.json, per_user.parquet, the tables of the plots, report.html and summary.md. The summary is
    Markdown.

    Parameters
    ----------
    predictions, recommendations : the score tables (see `widedeep.evaluation.files`). Further models in them stand
        beside the first.
    tables : folder of the preprocess stage, with the data on which the system was trained
    params : section `evaluate` of params.yaml. Cut-offs beyond the longest list are left out.
    beside : folder with the score tables of another run, such as reports/. Its models stand beside the first too.

    Raises
    ------
    UserError
        A file or folder is missing, a table breaks a rule of its format, or the two runs do not have the same test
        rows.
    """
    about, (ratings, items) = load_about(tables), load_named(tables)
    background = Background.of(ratings, items, about.dataset, about.rating_scale)
    scores, lists = load_scores(predictions, recommendations, background, beside)
    params = params.model_copy(update={"ks": _reached(lists, params.ks, len(background.catalogue))})
    evaluation = judge(scores, lists, background, params)
    summary = render_summary(evaluation.model, evaluation.metrics, background.dataset, list_length(params.ks))
    shown = Tables(ratings, items, about.dataset, about.rating_scale, about.split)
    page = _page(evaluation, scores, lists, shown, params)
    with ExitStack() as outputs:  # renamed together, after all are written
        save_evaluation(evaluation, out, outputs)
        for name, text in (("report.html", page), ("summary.md", summary)):
            outputs.enter_context(replacing(out / name)).write_text(text, encoding="utf-8")
    return summary


def _page(
    evaluation: Evaluation, scores: pd.DataFrame, lists: pd.DataFrame, tables: Tables, params: EvaluateParams
) -> str:
    """Render the report of the judged system. It has no learning curves, because the system was trained elsewhere."""
    own = scores[scores[MODEL] == evaluation.model]
    test = own[own[KNOWLEDGE] == own[KNOWLEDGE].iloc[0]]
    relevant = params.relevant_from(tables.rating_scale)
    choices = Choices(list_length(params.ks), relevant, EXAMPLES, params.seed)
    own, beside = (lists[(lists[MODEL] == name) & (lists[KNOWLEDGE] == FROZEN)] for name in (evaluation.model, BESIDE))
    of_model = Scores(test, own, None if evaluation.model == BESIDE else beside)
    about = About(evaluation.model)
    return render_report(about, evaluation.metrics, evaluation.curves, None, of_model, tables, choices)


def _reached(lists: pd.DataFrame, ks: tuple[int, ...], n_items: int) -> tuple[int, ...]:
    """Select the cut-offs that the lists of every model reach. A list of the whole catalogue reaches every cut-off."""
    longest = int(lists.groupby([MODEL, KNOWLEDGE], observed=True)[RANK].max().min())
    reached = tuple(k for k in ks if k <= longest or longest >= n_items)
    if not reached:
        raise UserError(
            f"evaluate.ks asks for lists of at least {min(ks)} items. The longest lists have {longest}. "
            "Set evaluate.ks in params.yaml to lengths that the lists reach."
        )
    return reached
