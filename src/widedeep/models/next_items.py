"""The part that recommends: it orders the catalogue by what is popular lately, and by what others rated next.

It learns the order of people's ratings, never how a pair was rated. See `widedeep.features.questions` for its inputs.
"""

import math

import torch
from torch import Tensor, nn

from widedeep.features.questions import ANCHORS, NUMBERS, REACH, WITNESSES, Neighbours, Questions
from widedeep.features.tensors import FeatureSet

# Half-lives of popularity, as shares of the training ratings. With the last one, all ratings count the same.
SHARES = (0.003, 0.0125, 0.05, 0.2, math.inf)
HIDDEN, CHANNELS = 32, 4


class NextItems(nn.Module):
    """Score of item i for a question: sum_c g_c p_c(i) + h log(1 + s_i / tau).

    p is a network of the popularity of the item at the moment of the question. g and h are a network of what is known
    of the user. s_i is the sum over the neighbours that are item i. A neighbour counts

        exp(place + recency + lag) / (witnesses + 5)^norm

    with a learnt weight for each value of the first three, a wide model over neighbours. At the start the latest
    anchors and the nearest neighbours count most.

    ratings : () float32, number of training ratings
    """

    def __init__(self) -> None:
        super().__init__()
        self.ratings: Tensor
        self.register_buffer("ratings", torch.ones(()))
        lags = (torch.arange(2 * REACH + 1) - REACH).abs()
        self.place = nn.Parameter(-0.35 * torch.arange(ANCHORS))
        self.recency = nn.Parameter(torch.zeros(int(_bucket(torch.tensor(WITNESSES))) + 1))
        self.lag = nn.Parameter(-0.14 * (lags - 1.0))
        self.norm = nn.Parameter(torch.tensor(0.5))
        self.tau = nn.Parameter(torch.tensor(-1.0))  # its logarithm
        self.popularity = nn.Sequential(nn.Linear(2 * len(SHARES), HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, CHANNELS))
        self.gate = nn.Sequential(nn.Linear(NUMBERS, 16), nn.SiLU(), nn.Linear(16, CHANNELS + 1))
        last = self.gate[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.zero_()
            last.bias[0] = last.bias[CHANNELS] = 1

    @property
    def half_lives(self) -> tuple[float, ...]:
        """Half-lives of popularity, in numbers of ratings."""
        return tuple(share * float(self.ratings) for share in SHARES)

    def fit(self, features: FeatureSet) -> None:
        self.ratings.fill_(len(features.known()))

    def forward(self, questions: Questions) -> Tensor:
        """Score the whole catalogue: (B, I). Items that the user had before are not masked."""
        gates = self.gate(questions.numbers)
        popular = self.popularity(questions.popularity)  # (G, I, C)
        # One product of matrices: the gates of a question are 0 at all moments but its own.
        own = nn.functional.one_hot(questions.moment, len(popular)).to(gates.dtype)
        score = (own[:, :, None] * gates[:, None, :CHANNELS]).flatten(1) @ popular.transpose(1, 2).flatten(0, 1)
        near = torch.log1p(self._neighbours(questions) / self.tau.exp())
        total: Tensor = score + gates[:, CHANNELS:] * near
        return total

    def explain(self, questions: Questions, item: int) -> tuple[Tensor, Tensor]:
        """Take the score of an item apart, for a single question.

        Returns
        -------
        what popularity adds to the score, (), and what each item of the history adds, (ANCHORS,), the latest first. The
        latter share the term of the neighbours in proportion to their weights.
        """
        found = questions.neighbours.item == item
        near = Neighbours(*(part[found] for part in questions.neighbours))
        weight = self._weights(near)
        by_place = weight.new_zeros(ANCHORS).index_add(0, near.place, weight)
        gate = self.gate(questions.numbers)[0, CHANNELS]
        total = gate * torch.log1p(by_place.sum() / self.tau.exp())
        return self(questions)[0, item] - total, total * by_place / by_place.sum().clamp(min=1e-30)

    def _neighbours(self, questions: Questions) -> Tensor:
        """Sum up the weights of the neighbours: (B, I)."""
        near, items = questions.neighbours, questions.popularity.shape[1]
        weight = self._weights(near)
        total = weight.new_zeros(len(questions.numbers) * items)
        return total.index_add(0, near.question * items + near.item, weight).view(-1, items)

    def _weights(self, near: Neighbours) -> Tensor:
        """Return the weight of each neighbour, (E,)."""
        # One look-up in a table of all combinations is several times faster than one for each part.
        parts = ((self.place, near.place), (self.recency, _bucket(near.recency)), (self.lag, near.lag))
        table, kind = torch.zeros(1, device=near.item.device), torch.zeros_like(near.item)
        for weights, index in parts:
            table = (table[:, None] + weights).flatten()
            kind = kind * len(weights) + index
        return (table[kind] - self.norm * torch.log(near.witnesses + 5)).exp()


def _bucket(recency: Tensor) -> Tensor:
    """Return 0 for 0, 1 for 1 and 2, 2 for 3 to 6, and so on."""
    return (recency + 1).float().log2().long()
