"""Wide & Deep (Cheng et al. 2016, arXiv 1606.07792): a linear model and a neural network that share one output.

Shapes: B rows, F category fields, G genre slots, N numbers, E embedding size.
"""

import torch
from torch import Tensor, nn

from widedeep.features.spec import Cross, Spec
from widedeep.features.store import Inputs
from widedeep.params import WideDeepParams

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class Standardize(nn.Module):
    """(x - mean) / deviation of each number by the training rows; a constant number becomes 0."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

    def fit(self, numbers: Tensor) -> None:
        """Take mean and deviation from numbers (rows, N)."""
        deviation, mean = torch.std_mean(numbers.double(), dim=0, correction=0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 1e-6, 1 / deviation.clamp(min=1e-6), 0))

    def forward(self, numbers: Tensor) -> Tensor:
        standardized: Tensor = (numbers - self.mean) * self.scale
        return standardized


class Wide(nn.Module):
    """The linear part: a weight per value of every category, genre and cross, and per number.

    An embedding of size 1 is the one-hot vector times the weights, without the vector. All weights lie in one table;
    row 0 is the absent value and stays 0. The genres of an item share a weight of 1, so that an item with many genres
    does not count more.
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        categories, bags = spec.of_kind("category"), spec.of_kind("bag")
        self.position = {field.name: slot for slot, field in enumerate(categories)}
        self.cardinality = {field.name: int(field.cardinality or 0) for field in (*categories, *bags)}
        self.crosses = spec.crosses
        sizes = [*(self.cardinality[field.name] for field in (*categories, *bags))]
        sizes += [cross.cardinality for cross in spec.crosses]
        self.starts = [1, *(1 + end for end in torch.tensor(sizes).cumsum(0).tolist())]
        self.table = nn.Embedding(self.starts[-1], 1, padding_idx=0)
        self.numbers = nn.Linear(len(spec.of_kind("number") + spec.of_kind("history")), 1)
        nn.init.zeros_(self.table.weight)
        nn.init.zeros_(self.numbers.weight)
        nn.init.zeros_(self.numbers.bias)

    def forward(self, inputs: Inputs, numbers: Tensor) -> Tensor:  # -> (B,)
        starts = iter(self.starts)
        indices = [inputs.categories[:, slot] + next(starts) for slot in self.position.values()]
        slots = inputs.bag > 0  # (B, G)
        share = slots / slots.sum(1, keepdim=True).clamp(min=1)
        total = self.table(torch.stack(indices, 1)).sum((1, 2))
        groups = [(inputs.bag, next(starts))] if inputs.bag.shape[1] else []
        groups += [(self._cross(cross, inputs), next(starts)) for cross in self.crosses]
        for index, start in groups:
            weight = self.table(torch.where(index > 0, index + start, 0))[..., 0]
            total = total + ((weight * share).sum(1) if weight.ndim == 2 else weight)
        output: Tensor = total + self.numbers(numbers)[:, 0]
        return output

    def _cross(self, cross: Cross, inputs: Inputs) -> Tensor:
        """Index of each row's combination: (B,), or (B, G) if the genres are one of the fields; 0 unseen."""
        parts = [self._values(name, inputs) for name in cross.fields]
        wide = any(part.ndim == 2 for part in parts)
        index = torch.zeros((), dtype=torch.int64, device=inputs.categories.device)
        seen = torch.ones((), dtype=torch.bool, device=inputs.categories.device)
        for name, part in zip(cross.fields, parts, strict=True):
            part = part[:, None] if wide and part.ndim == 1 else part
            index = index * self.cardinality[name] + part
            seen = seen & (part > 0)
        if cross.hashed:
            index = stable_hash(index).remainder(cross.cardinality - 1)
        return torch.where(seen, index + 1, 0)

    def _values(self, name: str, inputs: Inputs) -> Tensor:
        return inputs.categories[:, self.position[name]] if name in self.position else inputs.bag


class Deep(nn.Module):
    """The neural part: an embedding per category, the mean embedding of the genres, and numbers into an MLP."""

    def __init__(self, spec: Spec, params: WideDeepParams) -> None:
        super().__init__()
        categories, bags = spec.of_kind("category"), spec.of_kind("bag")
        sizes = torch.tensor([field.cardinality for field in categories])
        self.starts: Tensor
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)
        # One table for all fields: a single look-up is faster than one per field.
        self.categories = nn.Embedding(int(sizes.sum()), params.embedding_size)
        self.bag = nn.Embedding(int(bags[0].cardinality or 0), params.embedding_size, padding_idx=0) if bags else None
        for table in (self.categories, self.bag):
            if table is not None:
                nn.init.normal_(table.weight, std=params.embedding_deviation)
        with torch.no_grad():  # the unseen value starts as "nothing known"
            self.categories.weight[self.starts] = 0
            if self.bag is not None:
                self.bag.weight[0] = 0

        width = params.embedding_size * (len(categories) + len(bags))
        width += len(spec.of_kind("number") + spec.of_kind("history"))
        layers: list[nn.Module] = []
        for size in params.hidden:
            layers.append(nn.Linear(width, size))
            layers += [nn.BatchNorm1d(size)] if params.batch_norm else []
            layers += [ACTIVATIONS[params.activation](), nn.Dropout(params.dropout)]
            width = size
        self.mlp = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, inputs: Inputs, numbers: Tensor) -> Tensor:  # -> (B,)
        parts = [self.categories(inputs.categories + self.starts).flatten(1), numbers]  # (B, F * E), (B, N)
        if self.bag is not None:
            slots = (inputs.bag > 0).sum(1, keepdim=True).clamp(min=1)
            parts.append(self.bag(inputs.bag).sum(1) / slots)  # (B, E)
        output: Tensor = self.mlp(torch.cat(parts, 1))[:, 0]
        return output


class WideDeep(nn.Module):
    """Predicted rating of each row: mean training rating + wide + deep, in rating points.

    With `bounded_output` the sum goes through a sigmoid into the rating scale; otherwise it is unbounded (evaluation
    clips every model to the scale).
    """

    def __init__(self, spec: Spec, params: WideDeepParams) -> None:
        super().__init__()
        self.standardize = Standardize(len(spec.of_kind("number") + spec.of_kind("history")))
        self.wide = Wide(spec)
        self.deep = Deep(spec, params)
        self.low, self.high = spec.rating_scale
        self.bounded = params.bounded_output
        inside = min(max((spec.mean - self.low) / (self.high - self.low), 0.01), 0.99)
        start = torch.logit(torch.tensor(inside)) if self.bounded else torch.tensor(spec.mean)
        self.start: Tensor
        self.register_buffer("start", start.float())

    def forward(self, inputs: Inputs) -> Tensor:  # -> (B,)
        numbers = self.standardize(inputs.numbers)
        score: Tensor = self.start + self.wide(inputs, numbers) + self.deep(inputs, numbers)
        if self.bounded:
            score = self.low + (self.high - self.low) * torch.sigmoid(score)
        return score


def stable_hash(keys: Tensor) -> Tensor:
    """SplitMix64 (Steele et al. 2014) of int64 keys, the same on every device and in every process."""
    keys = keys + _signed(0x9E3779B97F4A7C15)
    keys = (keys ^ _shift(keys, 30)) * _signed(0xBF58476D1CE4E5B9)
    keys = (keys ^ _shift(keys, 27)) * _signed(0x94D049BB133111EB)
    return keys ^ _shift(keys, 31)


def _shift(keys: Tensor, bits: int) -> Tensor:
    """Logical right shift; torch's is arithmetic."""
    return (keys >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    return constant - 2**64 if constant >= 2**63 else constant
