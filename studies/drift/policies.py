"""A prequential evaluation: models predict a window of ratings that they have not seen, and may then learn from it.

The three policies begin with the same model of the initial part. `stale` leaves it as it is. For each window, `retrain`
trains a new model from scratch on all earlier ratings, and `warm_start` grows its last model and trains it on the
ratings of the last window. All policies see live histories. They differ in weights and vocabularies only.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import pandas as pd
from annotated_types import Ge, Gt, Lt

from studies.drift.stream import Moment, Stream, moment, seen_by
from studies.judging import evaluate
from widedeep.columns import TEST
from widedeep.evaluation.rating import per_user_errors
from widedeep.features.tensors import FeatureSet
from widedeep.models.model import Model
from widedeep.models.registry import Architecture
from widedeep.params import EvaluateParams, Params, Recipe, changed, checked
from widedeep.scoring import predict
from widedeep.sections import Float, Int, Section, Share
from widedeep.tables.files import external
from widedeep.training.fit import fit
from widedeep.training.grow import grow, new_rows
from widedeep.yaml import read_yaml

STALE, RETRAIN, WARM_START = "stale", "retrain", "warm_start"
PLACES = 10  # length of the lists

Part = Annotated[Float, Gt(0), Lt(1)]


class Policies(Section):
    """The settings in policies.yaml.

    params : values that replace those of params.yaml, for all policies
    initial : share of the ratings before the first window
    windows : number of windows
    validation : share of the initial part that validates the number of epochs
    warm_start : values that replace those of params, for the policy warm_start
    replay : share of the earlier ratings that warm_start learns again
    """

    params: dict[str, Any]
    initial: Part
    windows: Annotated[Int, Ge(2)]
    validation: Part
    warm_start: dict[str, Any]
    replay: Share


class Judged(NamedTuple):
    """The results of a policy in a window.

    per_user : errors and ranking metrics by user, as in `widedeep.evaluation.judge`
    seconds : seconds of training that made the model
    """

    window: int
    policy: str
    per_user: pd.DataFrame
    seconds: float


class Scored(NamedTuple):
    """The errors by user of a model of `retrain` in a window.

    trained_before : the model was trained on all ratings before this window
    window : the window of the predicted ratings
    """

    trained_before: int
    window: int
    per_user: pd.DataFrame


def load_policies(path: Path, params: Params) -> tuple[Policies, Params, Recipe]:
    """Read the policies, the parameters of all policies, and the recipe of `warm_start`.

    Raises
    ------
    UserError
        The file is not readable YAML, or a key is unknown or missing, or a value is impossible.
    """
    policies = checked(Policies, read_yaml(path), str(path))
    params = changed(params, policies.params, f"{path}, params")
    return policies, params, changed(params, policies.warm_start, f"{path}, warm_start").recipe


def prequential(stream: Stream, params: Params, policies: Policies, warm: Recipe) -> Iterator[Judged | Scored]:
    """Judge every policy in every window. Score every model of `retrain` on its own window and all later ones.

    The number of epochs of `retrain` is chosen once, on the last share `policies.validation` of the initial part. Later
    trainings have no validation rows, so that the latest ratings are used for training.
    """
    first = int(stream.starts[0])
    choice = moment(stream, first, params.featurize, validation=policies.validation)
    epochs = train(choice.training, params.recipe).epochs
    recipe = params.recipe.with_train(epochs=epochs)
    about = recipe.architecture
    print(f"epochs of {RETRAIN}: {epochs}", flush=True)

    judging = params.evaluate.model_copy(update={"ks": (PLACES,)})
    known = moment(stream, first, params.featurize)
    initial = last = train(known.training, recipe)
    spec = known.features.spec
    for window, start in enumerate(stream.starts.tolist(), 1):
        fresh = known
        newest = initial
        if window > 1:
            fresh = moment(stream, start, params.featurize)
            newest = train(fresh.training, recipe)
            grown = moment(stream, start, params.featurize, known.vocabulary)
            since = int(stream.starts[window - 2]) - 1
            last = update(last.model, known, grown, since, warm, policies.replay)
            known = grown
        yield from score(fresh, newest.model, window, len(stream.starts))
        stale = seen_by(known.rows(window), spec)
        yield judge(window, STALE, stale, initial.model, initial.seconds if window == 1 else 0, about, judging)
        yield judge(window, RETRAIN, fresh.rows(window), newest.model, newest.seconds, about, judging)
        yield judge(window, WARM_START, known.rows(window), last.model, last.seconds, about, judging)


class Trained(NamedTuple):
    """A trained model.

    epochs : number of epochs after which it was best; without validation rows, all epochs
    seconds : seconds of training
    """

    model: Model
    epochs: int
    seconds: float


def train(features: FeatureSet, recipe: Recipe, start: Model | None = None) -> Trained:
    """Train a new model, or train the model `start` further."""
    with TemporaryDirectory(prefix="widedeep-") as checkpoints:
        begin = time.perf_counter()
        done = fit(features, recipe, Path(checkpoints), start=start)
        return Trained(done.model, done.epoch + 1, time.perf_counter() - begin)


def update(model: Model, before: Moment, after: Moment, since: int, recipe: Recipe, replay: float) -> Trained:
    """Grow a model, and train it on the ratings later than `since` and on a share `replay` of the earlier ones.

    The seconds include those of growing.
    """
    begin = time.perf_counter()
    grown = grow(model, before.vocabulary, after.training)
    rows = new_rows(after.training, since, replay, recipe.train.seed)
    seconds = time.perf_counter() - begin
    done = train(rows, recipe, grown)
    return done._replace(seconds=done.seconds + seconds)


def judge(
    window: int,
    policy: str,
    features: FeatureSet,
    model: Model,
    seconds: float,
    about: Architecture,
    params: EvaluateParams,
) -> Judged:
    """Judge a model on the test rows of a window."""
    per_user = evaluate(features, model, about, params).per_user
    print(f"window {window}, {policy}: {seconds:.1f} s", flush=True)
    return Judged(window, policy, per_user, seconds)


def score(at: Moment, model: Model, trained_before: int, windows: int) -> Iterator[Scored]:
    """Score a model on every window from `trained_before` on, with live histories."""
    rows = at.features.splits[TEST]
    predicted = predict({"model": model}, at.features, rows)["model"].double()
    user = external(at.features.names.user_ids, rows.user.numpy()).to_numpy(zero_copy_only=False)
    for window in range(trained_before, windows + 1):
        own = at.window == window
        yield Scored(trained_before, window, per_user_errors(user[own.numpy()], rows.rating[own], predicted[own]))
