"""The items of a bundle by id and by title, as people write them."""

import re
import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches

import torch
from torch import Tensor

from widedeep.errors import UserError
from widedeep.features.context import Context
from widedeep.features.tensors import Names
from widedeep.serving.arguments import own_id

_ARTICLE = re.compile(r"^(.*), (the|a|an|der|die|das|le|la|les|el|il)\b(.*)$")
_YEAR = re.compile(r"\s*\(\d{4}\)$")
NEAR = 5  # titles that an error names
NO_YEAR = -1


class UnknownItemError(UserError):
    """No item has this id or title."""


class Catalogue:
    """Ids, titles and genres of the I items.

    ids : I ids
    titles : I titles; None without one
    of_id : code of each id
    genres : I texts such as `Action|Crime`; "" without genres
    """

    def __init__(self, context: Context, names: Names) -> None:
        self.ids: list[str] = names.item_ids.to_pylist()
        self.titles: list[str | None] = names.titles.to_pylist()
        self._years = torch.tensor([NO_YEAR if year is None else year for year in names.years.to_pylist()])
        bags = [field for field in context.spec.of_kind("bag") if field.entity == "item"]
        self.kinds = tuple(bags[0].values or ()) if bags else ()
        self._bag = context.items.bag
        kinds = ("", *self.kinds)
        self.genres = ["|".join(kinds[place] for place in row if place) for row in self._bag.tolist()]
        self.of_id = {item_id: code for code, item_id in enumerate(self.ids)}
        self._titled: dict[str, list[int]] = {}
        for code, title in enumerate(self.titles):
            if title:
                self._titled.setdefault(_plain(title), []).append(code)

    def __len__(self) -> int:
        return len(self.ids)

    def name(self, code: int) -> str:
        """Return the title of an item, or its id if it has none."""
        return self.titles[code] or self.ids[code]

    def code(self, item: int | str) -> int:
        """Find an item by its id, else by its title. Case, accents, a year at the end and "The" do not matter.

        Raises
        ------
        UnknownItemError
            No item has this id or title.
        UserError
            Several items have this title.
        """
        text = own_id(item, "An item")
        if text in self.of_id:
            return self.of_id[text]
        found = self._titled.get(_plain(text)) or self._titled.get(_plain(_YEAR.sub("", text))) or []
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(self.ids[code] for code in found)
            raise UserError(f"{len(found)} items have the title {text!r}: the ids {ids}. Give one of the ids.")
        near = [self.name(code) for code in self.search(text, NEAR)]
        hint = f" Similar titles: {', '.join(near)}." if near else ""
        raise UnknownItemError(f"No item has the id or title {text!r}.{hint}")

    def codes(self, items: Sequence[int | str]) -> Tensor:
        """Find items as `code` does: (N,) int64."""
        return torch.tensor([self.code(item) for item in items], dtype=torch.int64)

    def search(self, text: str, n: int) -> list[int]:
        """Return at most n codes of items whose title holds the text, or else resembles it, the best match first."""
        wanted = _plain(text)
        if not wanted:
            return []
        # First titles with the text as whole words, then those that begin with it, then the short ones.
        ranked = sorted(
            (f" {wanted} " not in f" {title} ", not title.startswith(wanted), len(title), title)
            for title in self._titled
            if wanted in title
        )
        titles = [title for *_, title in ranked] or get_close_matches(wanted, self._titled, n, 0.7)
        return [code for title in titles[:n] for code in self._titled[title]][:n]

    def with_genres(self, genres: Sequence[str]) -> Tensor:
        """Mark the items that have at least one of the genres: (I,) bool.

        Raises
        ------
        UserError
            The data have no such genre.
        """
        places = {_plain(kind): place for place, kind in enumerate(self.kinds, 1)}
        for genre in genres:
            if _plain(genre) not in places:
                known = ", ".join(self.kinds) or "none"
                raise UserError(f"There is no genre {genre!r}. Known genres: {known}.")
        wanted = torch.tensor([places[_plain(genre)] for genre in genres])
        return torch.isin(self._bag, wanted).any(1)

    def of_years(self, first: int, last: int) -> Tensor:
        """Mark the items from the year `first` to the year `last`: (I,) bool. An item without a year is in no range.

        Raises
        ------
        UserError
            No item has a year.
        """
        if not (self._years != NO_YEAR).any():
            raise UserError("No item of this model has a year: its data have none, or an earlier version trained it.")
        return (self._years >= first) & (self._years <= last)


def _plain(text: str) -> str:
    """Return a title without accents, in lower case, with "The" at its front, and without punctuation."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter)).strip()
    plain = _ARTICLE.sub(r"\2 \1\3", plain)
    return " ".join(re.sub(r"[^\w]+", " ", plain).split())
