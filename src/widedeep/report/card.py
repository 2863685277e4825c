"""Render the model card: Markdown in the form of Hugging Face, with the metrics as YAML at its head."""

import io
from collections.abc import Mapping
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from widedeep.columns import FROZEN, IMPLICIT, ITEM_ID, RATING, SPLIT, SPLITS, TEST, TRAIN, USER_ID
from widedeep.evaluation.metrics import label_of
from widedeep.report.about import About
from widedeep.report.labels import model_label, model_title
from widedeep.report.ranking import ranking_finding
from widedeep.report.rating import rating_findings
from widedeep.report.report import KNOWLEDGE, Tables, periods
from widedeep.report.results import Results, estimates_by_model
from widedeep.report.slices import SLICES
from widedeep.report.summary import render_summary
from widedeep.report.text import PERCENT, count, escape, interval, markdown_table, number, percent, signed

OBJECTIVES = {"rating": "to predict ratings", "ranking": "to order the catalogue", "joint": "ratings and lists"}


def render_card(
    about: About,
    metrics: Mapping[str, Any],
    plots: Mapping[str, pd.DataFrame],
    tables: Tables,
    terms: str,
    k: int,
) -> str:
    """Render the card as text. The same numbers give the same text.

    Parameters
    ----------
    metrics : as in reports/metrics.json
    plots : the tables of reports/plots that `evaluate` writes, by name
    terms : terms of use of the data set, in Markdown
    k : length of the lists in the headline
    """
    results = Results(about.model, metrics)
    title = f"{model_title(about.model)} on {escape(tables.dataset)}"
    sections = {
        "Model": _model(about, results.no_ratings),
        "Data and terms": _data(tables, terms),
        "Intended use": _use(results.no_ratings),
        "Metrics": _metrics(results, tables.dataset, k),
        "Slices": _slices(results, plots),
        "Drift": _drift(tables),
        "Limits": _limits(results, tables.ratings, k),
    }
    body = "\n".join(f"## {heading}\n\n{text.strip()}\n" for heading, text in sections.items())
    return f"---\n{_front_matter(results, tables.dataset, k)}---\n\n# Model card: {title}\n\n{body}"


def _front_matter(results: Results, dataset: str, k: int) -> str:
    found = []
    for task, names in (("rating", ["rmse", "mae"]), ("ranking", [f"ndcg_at_{k}", f"recall_at_{k}"])):
        for knowledge, estimates in results.metrics[task].items():
            found += [
                {"type": name, "name": f"{knowledge} {label_of(name)}", "value": estimates[name]["value"]}
                for name in names
                if name in estimates
            ]
    result = {
        "task": {"type": "recommendation", "name": "Recommendation"},
        "dataset": {"type": dataset, "name": dataset},
        "metrics": found,
    }
    head = {
        "library_name": "widedeep",
        "license": "other",  # that of the code is MIT; the model holds ratings, so it follows the terms of the data
        "license_name": "terms-of-the-data",
        "tags": ["recommendation", results.model],
        "model-index": [{"name": model_title(results.model), "results": [result]}],
    }
    text = io.StringIO()
    yaml = YAML()
    yaml.width = 1000
    yaml.dump(head, text)
    return text.getvalue()


def _model(about: About, no_ratings: str) -> str:
    learnt = "lists only" if no_ratings else OBJECTIVES.get(about.objective, about.objective)
    return (
        f"{model_title(about.model)}, trained by `dvc repro` of widedeep with the objective `{about.objective}` "
        f"({learnt}). Parameters are in params.yaml, and the architecture is in models/model.json."
    )


def _data(tables: Tables, terms: str) -> str:
    ratings, low_high = tables.ratings, "–".join(f"{bound:g}" for bound in tables.rating_scale)
    days = periods(ratings)
    rows = []
    for split in SPLITS:
        part = ratings[ratings[SPLIT] == split]
        if len(part):
            users, items = part[USER_ID].nunique(), part[ITEM_ID].nunique()
            rows.append([split, count(len(part)), count(users), count(items), days.get(split, "")])
    what = f"{count(len(ratings))} ratings on the scale {low_high}"
    if tables.rating_scale == IMPLICIT:
        what = f"{count(len(ratings))} rows of implicit feedback: each says that a user had an item"
    return (
        f"{what}. The split is `{tables.split}`.\n\n"
        f"{markdown_table(['split', 'ratings', 'users', 'items', 'days (UTC)'], rows, range(1, 4))}\n"
        f"{terms}\n\n"
        "The folder of the model holds ids, titles and what each training user rated. So these terms hold for the "
        "model too. Before you pass it on, check that you may pass on the data."
    )


def _use(no_ratings: str) -> str:
    predict = "" if no_ratings else " to predict ratings,"
    return (
        f"Use it to recommend items of this catalogue,{predict} and to compare recommenders: from Python, the shell or "
        "over HTTP. Someone new is served by a few ratings or likes. The model is not for decisions about "
        "people. It was judged on logged ratings only, not with users who saw its lists."
    )


def _metrics(results: Results, dataset: str, k: int) -> str:
    findings = rating_findings(results)
    findings += [ranking_finding(results, knowledge, k) for knowledge in results.listed]
    notes = [f"- `{knowledge}`: {KNOWLEDGE[knowledge]}" for knowledge in results.knowledges or results.listed]
    tables = render_summary(results.model, results.metrics, dataset, k)
    brackets = f"Brackets hold 95{PERCENT} bootstrap intervals over users."
    return f"{' '.join(findings)}\n\n{tables}\n- {brackets}\n" + "\n".join(notes)


def _slices(results: Results, plots: Mapping[str, pd.DataFrame]) -> str:
    """Make a table of RMSE per kind of group: the model beside the first baseline."""
    if results.no_ratings:
        return f"There is no RMSE of groups: {results.no_ratings}."
    parts = []
    for name, (heading, _) in SLICES.items():
        rows = []
        for group, part in plots[name].groupby("group", sort=False):
            by_model = estimates_by_model(part, "rmse")
            cells = [interval(by_model[one]["value"], *_bounds(by_model[one])) for one in results.compared]
            rows.append([str(group), count(part["n"].iloc[0]), count(part["users"].iloc[0]), *cells])
        if rows:
            head = ["group", "ratings", "users", *map(model_label, results.compared)]
            parts.append(f"{heading}:\n\n{markdown_table(head, rows, (1, 2))}")
    return f"RMSE of groups of test ratings, {results.knowledges[0]}.\n\n" + "\n".join(parts)


def _bounds(estimate: Mapping[str, Any]) -> tuple[float, float]:
    """Return the interval. From two users or fewer there is none worth showing."""
    if estimate["users"] < 3:
        return estimate["value"], estimate["value"]
    return estimate["low"], estimate["high"]


def _drift(tables: Tables) -> str:
    ratings = tables.ratings
    train, test = (ratings[ratings[SPLIT] == split] for split in (TRAIN, TEST))
    new_users, new_items = (1 - test[column].isin(train[column]).mean() for column in (USER_ID, ITEM_ID))
    before, after = float(train[RATING].mean()), float(test[RATING].mean())
    means = (
        f"The mean rating is {number(before)} in training and {number(after)} in the test ({signed(after - before)}). "
    )
    return (
        f"{percent(new_users)} of the test ratings are by users without a training rating, and {percent(new_items)} "
        f"are of items without one. {'' if tables.rating_scale == IMPLICIT else means}`reports/drift.json` and "
        "`reports/plots/drift.csv` say how far each feature moved."
    )


def _limits(results: Results, ratings: pd.DataFrame, k: int) -> str:
    items = ratings.loc[ratings[SPLIT] == TRAIN, ITEM_ID].nunique()
    users = ratings.loc[ratings[SPLIT] == TEST, USER_ID].nunique()
    lines = [
        f"The test has {count(users)} users, so differences smaller than the intervals cannot be seen.",
        f"Only {count(items)} items have training ratings. Of other items the model knows at most what describes them.",
        "Ratings come from people who chose what to rate. What is often rated is often recommended.",
        "Nobody has measured whether groups of people are served equally well, beyond the slices above.",
        "New ratings move what the model knows. Its weights change only with the next training.",
    ]
    lists = results.metrics["ranking"].get(FROZEN, {})
    if f"coverage_at_{k}" in lists:
        share = percent(lists[f"coverage_at_{k}"]["value"])
        lines.insert(1, f"The frozen lists of {k} of all ranked users together hold {share} of the catalogue.")
    return "\n".join(f"- {line}" for line in lines)
