"""Why an item has its score."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from widedeep.columns import ITEM_ID, TITLE
from widedeep.features.questions import Questions
from widedeep.models.model import Model
from widedeep.serving.catalogue import Catalogue

OFTEN = {True: "popular lately", False: "popular"}  # with and without an order in time


@dataclass(frozen=True)
class Explanation:
    """Why an item has its score.

    parts : part, item_id, title and value. The values add up to the score.
    sentence : the strongest parts in words; "" if none stands out
    """

    parts: pd.DataFrame
    sentence: str


def unexplained(score: float) -> Explanation:
    """Return the score as the only part."""
    return Explanation(parts_of([("model", None, None, score)]), "")


@torch.inference_mode()
def explained(model: Model, asked: Questions, code: int, catalogue: Catalogue, online: bool) -> Explanation:
    """Take the score of an item apart, for a model that learns lists from questions.

    online : whether the data have an order in time
    """
    popular, near = model.explain(asked, code)
    latest = asked.seen.latest(torch.zeros(1, dtype=torch.int64), asked.seen.count, len(near))
    anchors = latest.other.flip(0).tolist()
    parts: list[tuple[str, str | None, str | None, float]] = [(OFTEN[online], None, None, float(popular))]
    for anchor, value in zip(anchors, near.tolist(), strict=False):
        if value:
            parts.append(("history", catalogue.ids[anchor], catalogue.titles[anchor], value))
    names = [catalogue.name(anchor) for anchor in anchors]
    return Explanation(parts_of(parts), _sentence(near, names, code, asked.popularity[0, :, 0], OFTEN[online]))


def parts_of(parts: Sequence[tuple[str, str | None, str | None, float]]) -> pd.DataFrame:
    return pd.DataFrame(parts, columns=["part", ITEM_ID, TITLE, "value"])


def _sentence(near: Tensor, names: list[str], code: int, lately: Tensor, often: str) -> str:
    """Say in words what lifts the score: the two items of the history that do most, and popularity."""
    reasons = []
    best = [place for place in near.argsort(descending=True).tolist() if near[place] > 0.02 * near.sum()][:2]
    if best:
        reasons.append("because you had " + " and ".join(names[place] for place in best))
    if lately[code] > 0 and float((lately < lately[code]).float().mean()) > 0.95:
        reasons.append(often)
    sentence = "; ".join(reasons)
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else ""
