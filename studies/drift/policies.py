"""A prequential evaluation: models meet a window of ratings that they have not seen, are scored, and may then learn.

Three policies share the model of the initial part. `stale` leaves it as it is. `retrain` trains a new one from scratch
on all earlier ratings. `warm_start` grows its last model and trains it on the ratings of the last window. All see live
histories (the feature store); what differs is the weights and the vocabularies.
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
from widedeep.sections import Float, Int, Section, Share, read_yaml
from widedeep.tables.files import external
from widedeep.training.fit import fit
from widedeep.training.grow import grow, new_rows

STALE, RETRAIN, WARM_START = "stale", "retrain", "warm_start"
PLACES = 10

Part = Annotated[Float, Gt(0), Lt(1)]


class Policies(Section):
    """policies.yaml.

    params: what all policies set in place of values of params.yaml. warm_start: what that policy sets in place of
    these. replay: the share of the earlier ratings that it learns again.
    """

    params: dict[str, Any]
    initial: Part
    windows: Annotated[Int, Ge(2)]
    validation: Part
    warm_start: dict[str, Any]
    replay: Share


class Judged(NamedTuple):
    """What a policy did in a window: sums by user of the errors and the rankings, as `evaluate` gives them, and the
    seconds of training that made its model."""

    window: int
    policy: str
    per_user: pd.DataFrame
    seconds: float


class Scored(NamedTuple):
    """Errors by user of the model that is trained on all before a window, on the rows of another."""

    trained_before: int
    window: int
    per_user: pd.DataFrame


def load_policies(path: Path, params: Params) -> tuple[Policies, Params, Recipe]:
    """The policies, the parameters that all have, and how `warm_start` trains.

    Raises
    ------
    UserError
        The file is not readable YAML, or a key is unknown, missing or impossible.
    """
    policies = checked(Policies, read_yaml(path), str(path))
    params = changed(params, policies.params, f"{path}, params")
    return policies, params, changed(params, policies.warm_start, f"{path}, warm_start").recipe


def prequential(stream: Stream, params: Params, policies: Policies, warm: Recipe) -> Iterator[Judged | Scored]:
    """Judge every policy in every window; and score every model of `retrain` on its own and all later windows.

    The epochs of `retrain` are those at which the rating of the last `policies.validation` of the initial part was
    predicted best, trained on what is before. There is nothing to validate on later: the freshest ratings train.
    """
    first = int(stream.starts[0])
    choice = moment(stream, first, params.featurize, validation=policies.validation)
    epochs = trained(choice.training, params.recipe).epochs
    recipe = params.recipe.with_train(epochs=epochs)
    about = recipe.architecture
    print(f"epochs of {RETRAIN}: {epochs}", flush=True)

    judging = params.evaluate.model_copy(update={"ks": (PLACES,)})
    known = moment(stream, first, params.featurize)
    initial = last = trained(known.training, recipe)
    spec = known.features.spec
    for window, start in enumerate(stream.starts.tolist(), 1):
        fresh = known
        newest = initial
        if window > 1:
            fresh = moment(stream, start, params.featurize)
            newest = trained(fresh.training, recipe)
            grown = moment(stream, start, params.featurize, known.vocabulary)
            since = int(stream.starts[window - 2]) - 1
            last = warmed(last.model, known, grown, since, warm, policies.replay)
            known = grown
        yield from scores(fresh, newest.model, window, len(stream.starts))
        stale = seen_by(known.rows(window), spec)
        yield judged(window, STALE, stale, initial.model, initial.seconds if window == 1 else 0, about, judging)
        yield judged(window, RETRAIN, fresh.rows(window), newest.model, newest.seconds, about, judging)
        yield judged(window, WARM_START, known.rows(window), last.model, last.seconds, about, judging)


class Trained(NamedTuple):
    model: Model
    epochs: int
    seconds: float


def trained(features: FeatureSet, recipe: Recipe, start: Model | None = None) -> Trained:
    """A model, the number of epochs after which it was best (without validation: all), and the seconds it took."""
    with TemporaryDirectory(prefix="widedeep-") as checkpoints:
        begin = time.perf_counter()
        done = fit(features, recipe, Path(checkpoints), start=start)
        return Trained(done.model, done.epoch + 1, time.perf_counter() - begin)


def warmed(model: Model, before: Moment, after: Moment, since: int, recipe: Recipe, replay: float) -> Trained:
    """The model after it has grown and learnt the ratings later than `since`, with a share `replay` of the
    earlier ones. Growing counts among its seconds."""
    begin = time.perf_counter()
    grown = grow(model, before.vocabulary, after.training)
    rows = new_rows(after.training, since, replay, recipe.train.seed)
    seconds = time.perf_counter() - begin
    done = trained(rows, recipe, grown)
    return done._replace(seconds=done.seconds + seconds)


def judged(
    window: int,
    policy: str,
    features: FeatureSet,
    model: Model,
    seconds: float,
    about: Architecture,
    params: EvaluateParams,
) -> Judged:
    per_user = evaluate(features, model, about, params).per_user
    print(f"window {window}, {policy}: {seconds:.1f} s", flush=True)
    return Judged(window, policy, per_user, seconds)


def scores(at: Moment, model: Model, trained_before: int, windows: int) -> Iterator[Scored]:
    """Errors on every window from `trained_before` on, with live histories, clipped to the rating scale."""
    rows = at.features.splits[TEST]
    predicted = predict({"model": model}, at.features, rows)["model"].double()
    user = external(at.features.names.user_ids, rows.user.numpy()).to_numpy(zero_copy_only=False)
    for window in range(trained_before, windows + 1):
        own = at.window == window
        yield Scored(trained_before, window, per_user_errors(user[own.numpy()], rows.rating[own], predicted[own]))
