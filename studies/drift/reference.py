"""River's matrix factorization on the same stream. It predicts each rating and then learns from it at once.

See Montiel et al., "River: machine learning for streaming data in Python", JMLR 2021. The settings are those of River's
tutorial on MovieLens 100K, "From batch to online: recommender systems".
"""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from river import optim, reco

from studies.drift.policies import Judged
from studies.drift.stream import Stream
from widedeep.columns import ITEM, ONLINE, RATING, TIMESTAMP, USER
from widedeep.evaluation.metrics import ABSOLUTE_ERROR, SQUARED_ERROR
from widedeep.evaluation.rating import per_user_errors
from widedeep.tables.files import external

RIVER = "river"


def biased_mf() -> reco.BiasedMF:
    """Make an untrained model."""
    return reco.BiasedMF(
        n_factors=10,
        bias_optimizer=optim.SGD(0.025),
        latent_optimizer=optim.SGD(0.05),
        weight_initializer=optim.initializers.Zeros(),
        latent_initializer=optim.initializers.Normal(mu=0, sigma=0.1, seed=73),
        l2_bias=0,
        l2_latent=0,
    )


def one_pass(stream: Stream) -> Iterator[Judged]:
    """Predict each rating and then learn from it. Yield the results of the initial part (window 0) and of each window.

    Predictions are clipped to the rating scale. The seconds of a window are those of the window before, whose ratings
    the model has learnt by then.
    """
    low, high = stream.tables.about.rating_scale
    ratings = stream.tables.ratings
    user, item, rating, timestamp = (ratings[name].to_numpy() for name in (USER, ITEM, RATING, TIMESTAMP))
    ids = external(stream.tables.user_ids).to_numpy(zero_copy_only=False)
    window = stream.window(timestamp)
    model = biased_mf()
    seconds = 0.0
    for number in range(len(stream.starts) + 1):
        own = window == number
        start = time.perf_counter()
        predicted = np.array([*_predict_and_learn(model, user[own], item[own], rating[own])]).clip(low, high)
        errors = per_user_errors(ids[user[own]], rating[own], predicted)
        names = {name: f"{ONLINE}_{name}" for name in (SQUARED_ERROR, ABSOLUTE_ERROR)}
        yield Judged(number, RIVER, errors.rename(columns=names), seconds)
        seconds = time.perf_counter() - start


def _predict_and_learn(
    model: reco.BiasedMF, user: NDArray[np.int64], item: NDArray[np.int64], rating: NDArray[np.float32]
) -> Iterator[float]:
    for one, other, value in zip(user.tolist(), item.tolist(), rating.tolist(), strict=True):
        yield model.predict_one(one, other)
        model.learn_one(one, other, value)
