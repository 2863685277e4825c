"""Scores of the catalogue and predicted ratings, for one user at a time."""

from typing import Literal

import torch
from torch import Tensor, nn

from widedeep.errors import UserError
from widedeep.features.assemble import ask, grid
from widedeep.features.context import Context
from widedeep.features.questions import Questions, ask_with_histories, popularity_now
from widedeep.models.model import Model
from widedeep.models.next_items import NextItems
from widedeep.scoring import penalised, predict, score_of_anyone
from widedeep.serving.asker import Asker
from widedeep.serving.known import Known

Horizon = Literal["period", "next"]
RECENT = 0.05  # half-life of recent popularity, as a share of all ratings


class Remembering(nn.Module):
    """A module that keeps its last answer, as long as it is asked about the same tensor.

    The popularity of all items changes with new ratings only, and is read at every question.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.last: tuple[Tensor | None, Tensor] = None, torch.empty(0)

    def forward(self, asked: Tensor) -> Tensor:
        of, answer = self.last  # another thread may replace it, so it is read once
        if of is not asked:
            answer = self.module(asked)
            self.last = asked, answer
        return answer


class Scorer:
    """A model, with what it read last of the popularity of items: this changes with new ratings only."""

    def __init__(self, model: Model) -> None:
        self.model = model
        for part in list(model.modules()):
            if isinstance(part, NextItems) and not isinstance(part.popularity, Remembering):
                part.register_module("popularity", Remembering(part.popularity))
        self._popular: tuple[Context | None, Tensor] = None, torch.empty(0)

    @torch.inference_mode()
    def scores(
        self, known: Known, asker: Asker, second: int, horizon: Horizon, nothing: bool, penalty: float = 0
    ) -> Tensor:
        """Score the catalogue: (1, I) float32.

        nothing : the model has nothing to go by
        penalty : popularity penalty, see `widedeep.scoring.penalised`
        """
        model, asked, moment = self.model, None, torch.tensor([second])
        if model.half_lives:
            asked = self.question(known, asker, second, horizon)
            scored: Tensor = model.answer(asked)
        elif nothing:
            half_life = max(1.0, RECENT * len(known.settled.state.by_item.other))
            return popularity_now(known.settled, (half_life,))[:, :, 0]
        else:
            everything = torch.arange(len(known.context.items))
            inputs = grid(asker.context, asker.code, everything, moment, model.reads, model.ranks_with_history)
            scored = model(inputs).ranking.expand(1, len(everything))
        common = score_of_anyone(model, known.at(second), moment, asked) if penalty else None
        return penalised(scored.float(), common, penalty)

    @torch.inference_mode()
    def question(self, known: Known, asker: Asker, second: int, horizon: Horizon) -> Questions:
        """Collect what the model reads to score the catalogue.

        Raises
        ------
        UserError
            There is no such horizon.
        """
        if horizon not in ("period", "next"):
            raise UserError(f"horizon must be period or next. Got {horizon!r} instead.")
        context = known.at(second)
        of, popularity = self._popular  # another thread may replace it, so it is read once
        if of is not context:
            popularity = popularity_now(context, self.model.half_lives)
            self._popular = context, popularity
        code = asker.code if asker.known else asker.code - 1  # nobody in the context is someone new
        moment = torch.tensor([second])
        return ask_with_histories(context, code, asker.seen, moment, popularity, horizon == "period")

    @torch.inference_mode()
    def predicted(self, context: Context, user: Tensor, item: Tensor, second: int) -> Tensor:
        """Predict the ratings of P pairs: (P,) float32."""
        asked = ask(context, user, item, torch.tensor(second))
        return predict({"": self.model}, context, asked)[""]
