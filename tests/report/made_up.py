"""A made-up evaluation of 8 users and 20 items: metrics, plots and tables as the stages write them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

KS = (1, 5)
BASELINES = {"bias": 1.0, "popularity": 1.1, "global_mean": 1.2}  # RMSE of each
UNRATED = {"recent_popularity": 0.25, "ease": 0.15}  # they have lists only: how good these are
GENRES = ("Action", "Comedy", "Drama")
CURVES = pd.DataFrame({"epoch": [0, 1, 2], "train_rmse": [1.2, 1.0, 0.9], "validation_rmse": [1.1, 0.95, 0.97]})
COUNTS: dict[str, Any] = {
    "rows": {"read": 130, "bad_rows": {"rating outside the scale": 3}, "duplicates": 4, "filtered": 3},
    "ratings": {"kept": 108, "train": 60, "validation": 16, "test": 32},
    "users": {"rated": 8, "listed": 8},
    "items": {"rated": 20, "listed": 20, "rated_but_not_listed": 0},
    "understood": [],
}


def estimate(value: float, half: float = 0.05, n: int = 32) -> dict[str, float]:
    return {"value": round(value, 6), "low": round(value - half, 6), "high": round(value + half, 6), "n": n}


def metrics(
    model: str = "wide_deep",
    online: bool = True,
    ks: Sequence[int] = KS,
    judged: bool = True,
    next_item: bool = True,
) -> Any:
    """Make metrics as in reports/metrics.json. The model has RMSE 0.9. `judged`: a user has a relevant test item.

    `next_item`: the model has online lists.
    """

    def rating(rmse: float, shift: float) -> dict[str, Any]:
        names = {"rmse": 1.0, "mae": 0.8, "user_mean_rmse": 0.95, "user_mean_mae": 0.75}
        return {name: estimate(rmse * factor + shift) for name, factor in names.items()}

    def ranking(level: float, n: int = 6, lists: int = 8) -> dict[str, Any]:
        names = ("precision", "recall", "f1", "ndcg", "map", "mrr", "hit_rate")
        found = {f"{name}_at_{k}": estimate(level + k / 100, n=n) for name in names for k in ks} if judged else {}
        k = max(ks)
        others = {f"novelty_at_{k}": estimate(2.5, n=lists), f"diversity_at_{k}": estimate(0.7, n=lists)}
        return found | others | {f"coverage_at_{k}": estimate(0.4, 0, lists)}

    def lists(level: float, next_item: bool = True) -> dict[str, Any]:
        both = online and judged and next_item
        return {"frozen": ranking(level)} | ({"online": ranking(level / 2, 24, 24)} if both else {})

    knowledges = {"online": 0.0, "frozen": 0.1} if online else {"frozen": 0.0}
    others = {name: rmse for name, rmse in BASELINES.items() if name != model}
    own = {name: rating(0.9, shift) for name, shift in knowledges.items()}
    for found in own.values():
        found |= {f"rmse_minus_{name}": estimate(0.9 - rmse) for name, rmse in others.items()}
    baselines: dict[str, Any] = {
        name: {"rating": {knowledge: rating(rmse, shift) for knowledge, shift in knowledges.items()}}
        for name, rmse in others.items()
    }
    for name in set(others) - {"global_mean"}:
        baselines[name]["ranking"] = lists(0.3 if name == "bias" else 0.2, next_item=name != "bias")
    baselines |= {name: {"ranking": lists(level)} for name, level in UNRATED.items() if name != model}
    return {"rating": own, "ranking": lists(0.1, next_item), "baselines": baselines}


def plots(found: Any, model: str = "wide_deep", months: bool = True, genres: bool = True) -> dict[str, pd.DataFrame]:
    """Make the tables that stage `evaluate` writes to reports/plots."""
    of_model = {model: found} | found["baselines"]
    by_k = [
        {"model": name, "metric": metric.partition("_at_")[0], "k": int(metric.partition("_at_")[2]), **e}
        for name, tasks in of_model.items()
        for metric, e in tasks.get("ranking", {}).get("frozen", {}).items()
        if not metric.startswith(("novelty", "diversity", "coverage"))
    ]
    by_k.sort(key=lambda row: row["metric"])

    def by_group(groups: Sequence[str]) -> pd.DataFrame:
        rows = [
            {"group": group, "model": name, "n": 16, "users": 12 - place, "rmse": rmse, "low": rmse - 0.1, "high": 2.0}
            for place, group in enumerate(groups)
            for name in of_model
            if "rating" in of_model[name]
            for rmse in [0.9 + place / 50 if name == model else BASELINES.get(name, 1.0)]
        ]
        return pd.DataFrame(rows, columns=["group", "model", "n", "users", "rmse", "low", "high"])

    known = []
    for task, metric, level in (("rating", "rmse", 0.9), ("ranking", f"ndcg_at_{max(KS)}", 0.1)):
        for place, group in enumerate(("0", "1-2", "20+")):
            for name, tasks in of_model.items():
                if "online" in tasks.get(task, ()):
                    value = level + (BASELINES | UNRATED).get(name, 0.0) + place / 50
                    known.append((metric, group, name, 16, 12 - place, value, value - 0.05, value + 0.05))
    by_penalty = []
    for knowledge, metrics in found["ranking"].items():
        for metric, e in metrics.items():
            if metric in {f"{name}_at_{max(KS)}" for name in ("ndcg", "coverage", "novelty", "diversity")}:
                for at in (0.0, 0.5):
                    own = {name: e[name] + at / 10 for name in ("value", "low", "high")}
                    by_penalty.append(
                        {"model": model, "metric": f"{knowledge}_{metric}", "popularity_penalty": at} | e | own
                    )
                    if metric.startswith("novelty"):
                        by_penalty.append({**by_penalty[-1], "model": "liked", "value": 5.25, "low": 5.0, "high": 5.5})
    predicted = [1.5, 2.5, 3.5, 4.5]
    return {
        "calibration": pd.DataFrame({"mean_predicted": predicted, "mean_rating": [1.6, 2.4, 3.5, 4.4], "n": 8}),
        "ranking_by_k": pd.DataFrame(by_k, columns=["model", "metric", "k", "value", "low", "high", "n"]),
        "by_popularity_penalty": pd.DataFrame(
            by_penalty, columns=["model", "metric", "popularity_penalty", "value", "low", "high", "n"]
        ),
        "by_known_ratings": pd.DataFrame(
            known, columns=["metric", "group", "model", "n", "users", "value", "low", "high"]
        ),
        "rmse_by_user_activity": by_group(["new", "1-9", "10-49"]),
        "rmse_by_item_popularity": by_group(["new", "1-4", "5-19"]),
        "rmse_by_genre": by_group(GENRES if genres else []),
        "rmse_by_month": by_group(["2001-01", "2001-02", "2001-05"] if months else []),
    }


def ratings() -> pd.DataFrame:
    """Make ratings. Users 7 and 8 have no training rating, and user 6 has no relevant test rating.

    Items 1 to 9 are rated in training, items 12 to 15 in test.
    """
    rows = [
        {"user_id": user, "item_id": item, "rating": (user * item) % 9 / 2 + 0.5, "split": "train"}
        for user in range(1, 7)
        for item in range(1, 10 + user % 3)
    ]
    rows += [
        {"user_id": user, "item_id": item, "rating": 1.0 if user == 6 else 3.0 + item % 3 / 2, "split": "test"}
        for user in range(1, 9)
        for item in range(12, 16)
    ]
    table = pd.DataFrame(rows).astype({"rating": np.float32})
    return table.assign(timestamp=978_307_200 + 86_400 * table.index)  # a rating a day, from 2001-01-01 UTC


def items() -> pd.DataFrame:
    item = np.arange(1, 21)
    genres = [[GENRES[number % 3]] if number % 4 else [] for number in item]
    titles = [f"Title {number}" for number in item]
    return pd.DataFrame({"item_id": item, "title": titles, "year": np.where(item % 7, 1990.0 + item, np.nan)}).assign(
        genres=genres
    )


def lists(rated: pd.DataFrame, length: int = 20) -> pd.DataFrame:
    """Make the model's lists: the items that a user did not rate in training, from the last to the first."""
    train = rated[rated["split"] == "train"]
    rows = []
    for user in sorted(rated.loc[rated["split"] == "test", "user_id"].unique()):
        known = set(train.loc[train["user_id"] == user, "item_id"])
        listed = [item for item in range(20, 0, -1) if item not in known][:length]
        rows += [
            {"user_id": user, "rank": rank, "item_id": item, "predicted": 5 - rank / 10}
            for rank, item in enumerate(listed, 1)
        ]
    return pd.DataFrame(rows)


def windows(months: int = 4, train: int = 2) -> pd.DataFrame:
    """Make the drift of two features: `genres` moves as by chance, `year` by 0.1 per month after training."""
    rows = [
        {
            "feature": feature,
            "entity": "item",
            "window": f"2001-{month + 1:02d}",
            "start": f"2001-{month + 1:02d}-01T00:00:00",
            "split": "train" if month < train else "test",
            "n": 100,
            "psi": 0.02 if feature == "genres" else 0.02 + 0.1 * max(0, month - train + 1),
            "psi_by_chance": 0.02,
            "js": 0.05,
        }
        for feature in ("genres", "year")
        for month in range(months)
    ]
    return pd.DataFrame(rows)
