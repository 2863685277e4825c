"""Split the ratings into training, validation and test. Each rating gets exactly one split."""

import math

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from widedeep.columns import ITEM, TEST, TIMESTAMP, TRAIN, USER, VALIDATION
from widedeep.errors import UserError
from widedeep.params import PreprocessParams


def temporal(ratings: ir.Table, validation_fraction: float, test_fraction: float) -> ir.StringValue:
    """Split at two moments v <= w that are the same for all users: train t < v, validation v <= t < w, test t >= w.

    w is chosen so that the last `test_fraction` of the ratings is at or after w, and v so that the last `test_fraction`
    plus `validation_fraction` is at or after v. Ratings of the same second stay together, so a part may be a little
    larger than its fraction.

    Raises
    ------
    UserError
        The data set has no timestamps, or too few different ones for the parts.
    """
    if ratings[TIMESTAMP].isnull().any().execute():
        raise UserError(
            "preprocess.split: temporal needs timestamps, and this data set has none. "
            "Set preprocess.split to random (or to predefined, if the data set has folds)."
        )
    rows = int(ratings.count().execute())

    def position(fraction: float) -> int:
        return min(rows - math.floor(rows * fraction + 1e-9), rows - 1)

    def second(at: int) -> int:
        return int(ratings.select(TIMESTAMP).order_by(TIMESTAMP).limit(1, offset=at).execute().iloc[0, 0])

    test_at, validation_at = position(test_fraction), position(test_fraction + validation_fraction)
    test_from, validation_from = second(test_at), second(validation_at)
    if ratings[TIMESTAMP].min().execute() >= validation_from:
        raise UserError(
            "preprocess.split: temporal leaves no rating to train on: too many ratings share the earliest second. "
            "Set preprocess.split to random."
        )
    if validation_fraction and validation_at == test_at:
        needed = math.ceil(100 * ((rows - test_at + 1) / rows - test_fraction) - 1e-9) / 100
        advice = f", set it to {needed:g} or more" if needed + test_fraction < 1 else ""
        raise UserError(
            f"preprocess.validation_fraction: {validation_fraction:g} of {rows} ratings is no whole rating beside the "
            f"{rows - test_at} for the test, so there is none to validate on. Use more ratings{advice}, or set it to 0 "
            "for no validation."
        )
    if validation_fraction and validation_from == test_from:
        raise UserError(
            "preprocess.split: temporal leaves no rating to validate on: too many ratings share the second of the "
            "test cut-off. Raise preprocess.validation_fraction, set it to 0, or set preprocess.split to random."
        )
    return ibis.cases(
        (ratings[TIMESTAMP] >= test_from, TEST), (ratings[TIMESTAMP] >= validation_from, VALIDATION), else_=TRAIN
    )


def leave_last_out(ratings: ir.Table, validation: bool, user_ids: pa.Array) -> ir.StringValue:
    """Split each user's ratings: the latest is for the test, the one before it for validation, the others for training.

    If several ratings have the same second, the one with the highest item code counts as the latest.

    Parameters
    ----------
    validation : whether there is a validation part; if not, all but the latest are for training
    user_ids : the id of each user, for error messages

    Raises
    ------
    UserError
        The data set has no timestamps, or a user has fewer ratings than there are parts.
    """
    if ratings[TIMESTAMP].isnull().any().execute():
        raise UserError(
            "preprocess.split: leave_last_out needs timestamps, and this data set has none. "
            "Set preprocess.split to random."
        )
    needed = 3 if validation else 2
    by_user = ratings.group_by(USER).aggregate(n=ratings.count())
    short = by_user.filter(by_user.n < needed).order_by(USER).execute()
    if len(short):
        user = user_ids[short[USER].iloc[0]].as_py()
        raise UserError(
            f"preprocess.split: leave_last_out needs at least {needed} ratings per user. User {user} "
            f"has {short['n'].iloc[0]}; {len(short)} users in all have too few. "
            f"Set preprocess.min_ratings_per_user to {needed}."
        )
    order = [ratings[TIMESTAMP].desc(), ratings[ITEM].desc()]
    rank = ibis.row_number().over(group_by=USER, order_by=order)
    if not validation:
        return ibis.cases((rank == 0, TEST), else_=TRAIN)
    return ibis.cases((rank == 0, TEST), (rank == 1, VALIDATION), else_=TRAIN)


def random(rows: int, params: PreprocessParams) -> npt.NDArray[np.object_]:
    """Draw the split of each of `rows` ratings with `params.seed`: (rows,) strings.

    The rows are drawn by their number. So the same seed gives the same split only if the table has the same order.

    Raises
    ------
    UserError
        A fraction above 0 rounds to no rating.
    """
    for name, use in (("test_fraction", "test"), ("validation_fraction", "validate")):
        fraction = getattr(params, name)
        if fraction and not round(rows * fraction):
            raise UserError(
                f"preprocess.{name}: {fraction:g} of {rows} ratings rounds to none, so there is none to {use} on. Use "
                f"more ratings, or set it to {math.ceil(100 / rows) / 100:g} or more"
                f"{', or to 0 for no validation' if use == 'validate' else ''}."
            )
    order = np.random.default_rng(params.seed).permutation(rows)
    n_test = round(rows * params.test_fraction)
    n_validation = round(rows * params.validation_fraction)
    split = np.full(rows, TRAIN, dtype=object)
    split[order[:n_test]] = TEST
    split[order[n_test : n_test + n_validation]] = VALIDATION
    return split


def predefined(is_test: npt.NDArray[np.bool_], params: PreprocessParams) -> npt.NDArray[np.object_]:
    """Keep the test rows of a fold, and draw `validation_fraction` of the other rows for validation: (rows,) strings.

    is_test : (rows,) bool
    """
    base = np.flatnonzero(~is_test)
    order = np.random.default_rng(params.seed).permutation(base)
    split = np.where(is_test, TEST, TRAIN).astype(object)
    split[order[: round(len(base) * params.validation_fraction)]] = VALIDATION
    return split
