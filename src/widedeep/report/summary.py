"""Render the headline numbers as Markdown, for a terminal, a merge request or the README."""

from collections.abc import Iterator, Mapping
from typing import Any

from widedeep.columns import FROZEN
from widedeep.report.labels import model_label
from widedeep.report.results import Estimate, Results
from widedeep.report.text import count, interval, markdown_table

RANKED = ("ndcg", "recall", "hit_rate", "coverage")


def render_summary(model: str, metrics: Mapping[str, Any], dataset: str, k: int) -> str:
    """Render tables with 95 % intervals: RMSE by model and knowledge, and metrics of lists of k items by model.

    Each knowledge under which the model has lists has a table of its own. The first table ends with the paired
    differences of the trained model from each baseline. If there are no metrics of ratings, a sentence says why.
    """
    results = Results(model, metrics)
    if results.no_ratings:
        return "\n".join([f"No metrics of ratings on {dataset}: {results.no_ratings}.\n", *_of_lists(results, k)])
    by_knowledge = {knowledge: results.by_model("rating", knowledge) for knowledge in results.knowledges}
    rows = [
        [model_label(name), *(_text(by_model[name]["rmse"]) for by_model in by_knowledge.values())]
        for name in (model, *results.rated)
    ]
    for name in results.rated:
        differences = (by_model[model][f"rmse_minus_{name}"] for by_model in by_knowledge.values())
        rows.append([f"{model_label(model)} minus {model_label(name)}, paired", *map(_text, differences)])
    n = count(by_knowledge[results.knowledges[0]][model]["rmse"]["n"])
    return "\n".join(
        [markdown_table([f"RMSE on {n} test ratings of {dataset}", *by_knowledge], rows), *_of_lists(results, k)]
    )


def _of_lists(results: Results, k: int) -> Iterator[str]:
    """Yield a table for each knowledge under which the model has lists."""
    names = [f"{metric}_at_{k}" for metric in RANKED]
    for knowledge in results.listed:
        by_model = results.by_model("ranking", knowledge)
        rows = [
            [model_label(name), *(_text(found[name_at]) if name_at in found else "–" for name_at in names)]
            for name, found in by_model.items()
        ]
        lists = count(by_model[results.model][f"coverage_at_{k}"]["n"])
        head = "full ranking, frozen" if knowledge == FROZEN else f"next item, online, {lists} questions"
        yield markdown_table([head, *names], rows)
    if results.missing_of_lists:
        yield "".join(f"{sentence}\n" for sentence in results.missing_of_lists)


def _text(estimate: Estimate) -> str:
    return interval(estimate["value"], estimate["low"], estimate["high"])
