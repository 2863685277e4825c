"""Sections evaluate, report, drift and compare of params.yaml: what is measured and shown."""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, Len
from pydantic import AfterValidator, PlainValidator, TypeAdapter, ValidationError, model_validator

from widedeep.columns import IMPLICIT
from widedeep.errors import UserError
from widedeep.sections import Count, Float, Fraction, Int, NonNegative, Section, Seed, Size, Switch, increasing


def _windows(value: Any) -> Any:
    if value in ("month", "quarter"):
        return value
    try:
        return _PARTS.validate_python(value)
    except ValidationError:
        raise ValueError("must be month, quarter or a whole number from 2 to 1000") from None


Windows = Annotated[Literal["month", "quarter"] | int, PlainValidator(_windows)]

_PARTS: TypeAdapter[int] = TypeAdapter(Annotated[Int, Ge(2), Le(1000)])


def liked_from(rating_scale: tuple[float, float]) -> float:
    """Return the rating from which a user liked an item: three quarters up the rating scale (lowest, highest).

    With implicit feedback, users liked all that they had.
    """
    low, high = rating_scale
    return low + 0.75 * (high - low)


class EvaluateParams(Section):
    ks: Annotated[tuple[Annotated[Count, Le(1000)], ...], Len(1, 20), AfterValidator(increasing)]
    relevant_rating: Float | None
    ranked_users: Annotated[Count, Le(10**7)]
    ranked_questions: Annotated[Count, Le(10**7)]
    popularity_penalty: Fraction
    bootstrap_replicates: Annotated[Int, Ge(100), Le(100_000)]
    seed: Seed

    def relevant_from(self, rating_scale: tuple[float, float]) -> float:
        """Return the rating from which a test item is relevant.

        This is `relevant_rating`. If that is None, it is the rating from which a user liked an item (see `liked_from`).

        Raises
        ------
        UserError
            There is a `relevant_rating`, but the data have no ratings.
        """
        if rating_scale == IMPLICIT and self.relevant_rating is not None:
            raise UserError(
                "evaluate.relevant_rating must be null for implicit feedback, where every test item is relevant. "
                f"Got {self.relevant_rating:g} instead."
            )
        return liked_from(rating_scale) if self.relevant_rating is None else self.relevant_rating


class ReportParams(Section):
    examples: Annotated[Size, Le(1000)]
    seed: Seed


class Gate(Section):
    relative: NonNegative | None
    absolute: NonNegative | None
    significant: Switch

    @model_validator(mode="after")
    def _check(self) -> "Gate":
        if self.relative is None and self.absolute is None:
            raise ValueError("a gate needs a limit: relative and absolute must not both be null")
        return self


class DriftParams(Section):
    windows: Windows


class CompareParams(Section):
    gates: dict[str, Gate]
