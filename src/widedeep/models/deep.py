"""The deep part: an MLP on the embeddings of all fields and the numbers (Cheng et al. 2016, eq. 2)."""

import torch
from torch import Tensor, nn

from widedeep.features.inputs import Inputs, Side
from widedeep.features.spec import Spec
from widedeep.models.knobs import LayersConfig, WideDeepConfig
from widedeep.models.numbers import Numbers
from widedeep.models.table import Table

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class Embeddings(nn.Module):
    """Embeddings of size `size` for the categories and genres of users, or of items.

    The categories share one table, because a single look-up is faster than one per field. Unseen and missing values
    start at 0. The genres of an item have the mean of their vectors.
    """

    def __init__(self, spec: Spec, entity: str, size: int, deviation: float, uncertain: bool = False) -> None:
        super().__init__()
        fields = [field for field in spec.fields if field.entity == entity]
        named = {field.name: int(field.cardinality or 0) for field in fields if field.kind == "category"}
        bags = {field.name: int(field.cardinality or 0) for field in fields if field.kind == "bag"}
        categories = torch.tensor([*named.values()])
        self.starts: Tensor
        self.register_buffer("starts", categories.cumsum(0) - categories, persistent=False)
        parts = zip(named, self.starts.tolist(), strict=True)
        self.categories = Table(int(categories.sum()), size, uncertain=uncertain, parts=parts)
        self.bag: Table | None = None
        for name, cardinality in bags.items():
            self.bag = Table(cardinality, size, padding_idx=0, uncertain=uncertain, parts=[(name, 0)])
        self.fields = len(categories) + len(bags)
        for table in (self.categories, self.bag):
            if table is not None:
                nn.init.normal_(table.weight, std=deviation)
        with torch.no_grad():
            self.categories.weight[self.starts] = 0
            if self.bag is not None:
                self.bag.weight[0] = 0

    def forward(self, side: Side) -> Tensor:  # -> (n, fields, size)
        vectors: Tensor = self.categories(side.categories + self.starts)
        if self.bag is None:
            return vectors
        slots = (side.bag > 0).sum(1, keepdim=True).clamp(min=1)
        return torch.cat([vectors, (self.bag(side.bag).sum(1) / slots)[:, None]], 1)


def vectors(spec: Spec, name: str, size: int, deviation: float, uncertain: bool = False) -> Table:
    """Make a table with a vector of `size` for each index of the field `name`. The vector of index 0 stays 0."""
    table = Table(spec.cardinality(name), size, padding_idx=0, uncertain=uncertain, parts=[(name, 0)])
    nn.init.normal_(table.weight, std=deviation)
    with torch.no_grad():
        table.weight[0] = 0
    return table


class Mlp(nn.Module):
    """Hidden layers and a linear output of size `heads`. The caller applies the first linear layer itself."""

    def __init__(self, config: LayersConfig, heads: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place, width in enumerate(config.hidden):
            layers += [nn.Linear(config.hidden[place - 1], width)] if place else []
            layers += [ACTIVATIONS[config.activation](), nn.Dropout(config.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(config.hidden[-1], heads))

    def forward(self, first: Tensor) -> Tensor:  # (..., hidden[0]) -> (..., heads)
        output: Tensor = self.layers(first.flatten(0, -2))
        return output.view(*first.shape[:-1], -1)


class Deep(nn.Module):
    """The deep part.

    The first layer is a sum: W [user, item, numbers] = W_u user + W_i item + W_n numbers. So W_u user is computed once
    for each user and W_i item once for each item, and not for each pair.
    """

    def __init__(self, spec: Spec, config: WideDeepConfig, numbers: Numbers, heads: int) -> None:
        super().__init__()
        size, first = config.embedding_size, config.hidden[0]
        self.user, self.item = (
            Embeddings(spec, entity, size, config.embedding_deviation) for entity in ("user", "item")
        )
        fields = self.user.fields + self.item.fields
        whole = nn.Linear(fields * size + sum(numbers.sizes), first)
        parts = whole.weight.data.split([self.user.fields * size, self.item.fields * size, sum(numbers.sizes)], 1)
        self.of_user, self.of_item, of_numbers = (nn.Parameter(part.clone()) for part in parts)
        self.numbers = numbers.linear(first)
        self.numbers.weight = of_numbers
        self.bias = whole.bias
        self.mlp = Mlp(config, heads)

    def forward(self, inputs: Inputs, numbers: tuple[Tensor, Tensor, Tensor | None]) -> Tensor:  # -> (P, heads)
        of_users, of_items, of_pairs = self.numbers(numbers)
        user = self.user(inputs.users).flatten(1) @ self.of_user.T + of_users
        item = self.item(inputs.items).flatten(1) @ self.of_item.T + of_items + self.bias
        first = inputs.pairs.of_users(user) + inputs.pairs.of_items(item)
        if of_pairs is not None:
            first = first + of_pairs
        output: Tensor = self.mlp(first)
        return output
