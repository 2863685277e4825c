"""Judge a model on features in memory. Stage evaluate does the same with the features of the pipeline."""

import pandas as pd

from widedeep.columns import GENRES, ITEM_ID, RATING, SPLIT, TEST, TIMESTAMP, TRAIN, USER_ID
from widedeep.evaluation.background import Background
from widedeep.evaluation.judge import Evaluation, judge
from widedeep.features.tensors import FeatureSet
from widedeep.models.model import Model
from widedeep.models.registry import Architecture
from widedeep.params import EvaluateParams
from widedeep.score_tables import score_tables
from widedeep.tables.files import external


def evaluate(features: FeatureSet, model: Model, about: Architecture, params: EvaluateParams) -> Evaluation:
    """Score the test rows with the model, and judge the scores.

    about : the description from which the model was built

    Raises
    ------
    UserError
        There is no test row.
    """
    predictions, recommendations, _ = score_tables(features, {about.model: model}, params)
    return judge(predictions, recommendations, background(features), params)


def background(features: FeatureSet) -> Background:
    """Collect the facts that the metrics need, from the training rows, the test rows and the genres of the items."""
    users, items = external(features.names.user_ids), external(features.names.item_ids)
    ratings = []
    for split in (TRAIN, TEST):
        rows = features.splits[split]
        ids = {USER_ID: users.take(rows.user.numpy()), ITEM_ID: items.take(rows.item.numpy())}
        values = {RATING: rows.rating.numpy(), TIMESTAMP: rows.timestamp.numpy(), SPLIT: split}
        ratings.append(pd.DataFrame({name: column.to_pandas() for name, column in ids.items()} | values))
    bags = features.spec.of_kind("bag")
    names = (bags[0].values or ()) if bags else ()
    genres = [[names[index - 1] for index in own if index] for own in features.items.bag.tolist()]
    listed = pd.DataFrame({ITEM_ID: items.to_pandas(), GENRES: genres})
    return Background.of(pd.concat(ratings), listed, features.spec.dataset, features.spec.rating_scale)
