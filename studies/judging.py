"""Judge a model on features in memory, as stage evaluate does on those of the pipeline."""

import pandas as pd

from widedeep.columns import GENRES, ITEM, RATING, SPLIT, TEST, TIMESTAMP, TRAIN, USER
from widedeep.evaluation.background import Background
from widedeep.evaluation.judge import Evaluation, judge
from widedeep.features.store import Features
from widedeep.models.model import Model
from widedeep.params import EvaluateParams, ModelParams
from widedeep.scoring import score_tables


def evaluate(features: Features, model: Model, about: ModelParams, params: EvaluateParams) -> Evaluation:
    """Score the test rows and judge the scores, of the model and of the baselines. `about`: its parameters.

    Raises
    ------
    UserError
        There is no test row.
    """
    predictions, recommendations = score_tables(features, model, about.model, about, params)
    return judge(predictions, recommendations, background(features), params)


def background(features: Features) -> Background:
    """What the metrics need to know about the data, from the training and the test rows and the genres of the items."""
    ratings = []
    for split in (TRAIN, TEST):
        rows = features.splits[split]
        ids = {USER: features.users.ids[rows.user].numpy(), ITEM: features.items.ids[rows.item].numpy()}
        values = {RATING: rows.rating.numpy(), TIMESTAMP: rows.timestamp.numpy(), SPLIT: split}
        ratings.append(pd.DataFrame(ids | values))
    bags = features.spec.of_kind("bag")
    names = (bags[0].values or ()) if bags else ()
    genres = [[names[index - 1] for index in own if index] for own in features.items.bag.tolist()]
    items = pd.DataFrame({ITEM: features.items.ids.numpy(), GENRES: genres})
    return Background.of(pd.concat(ratings), items, features.spec.dataset, features.spec.rating_scale)
