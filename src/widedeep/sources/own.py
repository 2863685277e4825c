"""The data set `own`: ratings of your own, in nearly any form. See docs/own-data.md.

What a file means is found out from names: of files, and of columns. Each finding is a sentence that is printed and kept
in reports/data.json. Where names leave a doubt, an error lists the choices. Nothing is guessed from values, but for a
file without a header that has its columns in the order of MovieLens.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from widedeep.columns import GENRES, ITEM, ITEM_ID, ITEM_YEAR, RATING, SPLIT, TIMESTAMP, TITLE, USER, USER_ID, YEAR
from widedeep.errors import UserError
from widedeep.params.data import NOTHING_SAID, Reading
from widedeep.sources.entities import (
    ID_RULE,
    TextTable,
    any_id,
    collect,
    integer,
    item_entities,
    number,
    split_genres,
    split_title,
    user_entities,
)
from widedeep.sources.form import MISSING, Form
from widedeep.sources.matrix import MatrixFile, find_matrix
from widedeep.sources.naming import (
    ITEM_ID_NAMES,
    ITEM_NAMES,
    ITEMS,
    KEYS,
    RATINGS,
    USER_NAMES,
    USERS,
    known_name,
    named_columns,
    plain,
    rating_columns,
    roles,
)
from widedeep.sources.rows import rows
from widedeep.sources.sniff import find_form
from widedeep.sources.source import GIVEN, GIVEN_FILES, MAX_GIB, Entities, Layout, Source, TableFile

_RESERVED = (USER_ID, ITEM_ID, RATING, TIMESTAMP, USER, ITEM, SPLIT, TITLE, YEAR, ITEM_YEAR, GENRES)
_MANY = 20  # a category with more different texts than this, and one for more than half of the rows, is left out


@dataclass(frozen=True, kw_only=True)
class Own(Source):
    """Own files.

    files_chosen : the names of the files of ratings, items and users, where the user says them
    reading : what the user says about their form
    original : what an error calls a file, by its name; None: its path
    """

    files_chosen: Mapping[str, str | None] = field(default_factory=dict)
    reading: Reading = NOTHING_SAID
    original: Callable[[str], str] | None = None

    def fetch(self, folder: Path, max_gib: float = MAX_GIB) -> None:
        raise UserError(
            f"the dataset {self.name} is your own, so download.source must say where it is: a file of ratings, a "
            "folder, a zip or tar archive, or a URL of one of these. Got 'auto' instead."
        )

    def ratings(self, raw: Path) -> list[Layout]:
        return [self.layout(raw, name) for name in roles(raw)[RATINGS]]

    def layout(self, raw: Path, name: str) -> TableFile:
        """Find out the layout of one file of ratings.

        Raises
        ------
        UserError
            No column, or more than one, has a known name for the user, the item or, with explicit feedback, the
            rating.
        """
        form, shown = self.form(raw / name), self.shown(raw / name)
        chosen = {role: getattr(self.reading.columns, key) for role, key in KEYS.items()}
        if matrix := find_matrix(name, form, chosen, (fields for _, fields in rows(raw / name, form, shown))):
            return matrix
        explicit = self.reading.feedback == "explicit"
        return TableFile(name, form, rating_columns(form, chosen, shown, explicit))

    def understood(self, layout: TableFile) -> list[str]:
        """Say how a file of ratings was understood."""
        if isinstance(layout, MatrixFile):
            return [f"{layout.name}: {line}" for line in (layout.form.sentence(), *layout.sentences())]
        names = {position: role for role, position in layout.fields.items()}
        columns = [f"{KEYS[role]} = {_quoted(layout.form, i)}" for i, role in sorted(names.items())]
        unused = [_quoted(layout.form, i) for i in range(len(layout.form.columns)) if i not in names]
        lines = [f"{layout.name}: {layout.form.sentence()}", f"{layout.name}: columns {', '.join(columns)}"]
        return [*lines, f"{layout.name}: not used: {', '.join(unused)}"] if unused else lines

    def items(self, raw: Path) -> Entities:
        name = roles(raw).get(ITEMS)
        if not name:
            return item_entities([], [], [], [])
        table, form = self._table(raw / name[0])
        if form.header:
            found = named_columns(form.columns, {ITEM_ID: self._same_as(raw, ITEM_ID, ITEM_ID_NAMES), **ITEM_NAMES})
        else:  # as in the .dat files of MovieLens: id, title, genres
            third = list(table.columns.values())[2:3]
            listed = bool(third) and any("|" in text for text in third[0])
            found = {ITEM_ID: 0, TITLE: 1, GENRES: 2} if listed else {ITEM_ID: 0, TITLE: 1}
        ids = self._ids(table, found, ITEM_ID, form)
        lines = [f"{name[0]}: {form.sentence()}"]
        lines += [f"{name[0]}: {role} = {_quoted(form, i)}" for role, i in found.items()]
        columns = list(table.columns.values())
        titles: list[str | None] = [None] * len(ids)
        if TITLE in found:
            titles = [_present(text) for text in columns[found[TITLE]]]
        if YEAR in found:
            named = TextTable(table.path, table.lines, {YEAR: columns[found[YEAR]]})
            years = named.parse(YEAR, _year, "a whole number or empty")
        else:
            titles, years, line = _years_of(titles)
            lines += [f"{name[0]}: {line}"] if line else []
        genres: list[list[str]] = [[]] * len(ids)
        if GENRES in found:
            genres, line = _split_lists(columns[found[GENRES]])
            lines.append(f"{name[0]}: genres are {line}")
        numeric, categorical, more = self._further(table, set(found.values()))
        lines += [f"{name[0]}: {line}" for line in more]
        return replace(item_entities(ids, titles, years, genres, numeric, categorical), understood=tuple(lines))

    def users(self, raw: Path) -> Entities | None:
        name = roles(raw).get(USERS)
        if not name:
            return None
        table, form = self._table(raw / name[0])
        named = named_columns(form.columns, {USER_ID: self._same_as(raw, USER_ID, USER_NAMES)})
        found = named if form.header else {USER_ID: 0}
        ids = self._ids(table, found, USER_ID, form)
        numeric, categorical, more = self._further(table, set(found.values()))
        lines = [form.sentence(), f"{USER_ID} = {_quoted(form, found[USER_ID])}", *more]
        return replace(
            user_entities(ids, numeric, categorical), understood=tuple(f"{name[0]}: {line}" for line in lines)
        )

    def shown(self, path: Path) -> Path:
        """Return what an error calls a file."""
        return Path(self.original(path.name)) if self.original else path

    def form(self, path: Path) -> Form:
        """Find out how a file is laid out, but for what the user says."""
        if not path.exists():
            raise UserError(f"{path} is missing. Run the download stage again: dvc repro -f download.")
        separator = "\t" if self.reading.separator == "tab" else self.reading.separator
        return find_form(path, separator, self.reading.encoding, known_name, self.shown(path))

    def _table(self, path: Path) -> tuple[TextTable, Form]:
        form = self.form(path)
        shown = self.shown(path)
        return collect(
            shown, rows(path, form, shown), [name or str(i + 1) for i, name in enumerate(form.columns)]
        ), form

    def _same_as(self, raw: Path, role: str, names: Sequence[Sequence[str]]) -> list[Sequence[str]]:
        """Return the names of the column of ids in a file of items or users. First of all, that of the ratings."""
        first = self.layout(raw, roles(raw)[RATINGS][0])
        its_own = [plain(first.column(role))] if first.form.header else []
        return [its_own, names[0], ("parentasin", "id")]

    def _ids(self, table: TextTable, found: Mapping[str, int], role: str, form: Form) -> list[str]:
        if role not in found:
            raise UserError(
                f"{table.path}, line 1: a column must hold the {role}. Got the columns {', '.join(form.columns)} "
                f"instead. Name one of them {role}."
            )
        texts = list(table.columns.values())[found[role]]
        if _are_decimal(texts):
            texts = [text.removesuffix(".0") for text in texts]
        named = TextTable(table.path, table.lines, {role: texts})
        return named.unique(role, named.parse(role, any_id, f"an id: {ID_RULE}"))

    def _further(
        self, table: TextTable, used: set[int]
    ) -> tuple[dict[str, list[float]], dict[str, list[str | None]], list[str]]:
        """Tell the kinds of the other columns: number, category, or left out. Also say it."""
        numeric: dict[str, list[float]] = {}
        categorical: dict[str, list[str | None]] = {}
        lines = []
        for position, (name, texts) in enumerate(table.columns.items()):
            if position in used:
                continue
            field_name = _field_name(name)
            if field_name in numeric or field_name in categorical:
                raise UserError(f"{table.path}, line 1: two columns would be called {field_name}. Rename {name!r}.")
            values = [_present(text) for text in texts]
            kind, why = self._kind(name, values, table)
            if kind == "number":
                numeric[field_name] = [number(value or "") for value in values]
            elif kind == "category":
                categorical[field_name] = list(values)
            renamed = f" (called {field_name} here)" if kind != "none" and field_name != name else ""
            lines.append(f"column {name!r}{renamed}: {'left out' if kind == 'none' else kind}, {why}")
        return numeric, categorical, lines

    def _kind(self, name: str, values: Sequence[str | None], table: TextTable) -> tuple[str, str]:
        said = self.reading.kinds.get(name)
        known = [value for value in values if value is not None]
        numbers = bool(known) and all(_is_number(value) for value in known)
        if said == "number" and not numbers:
            at = next((i for i, value in enumerate(values) if value is not None and not _is_number(value)), 0)
            raise UserError(
                f"{table.path}, line {table.lines[at]}: {name} must be a number, as preprocess.kinds says. "
                f"Got {values[at]!r} instead."
            )
        if said is not None:
            return said, "as preprocess.kinds says"
        if not known:
            return "none", "no row has a value"
        if numbers and not any(re.match(r"[+-]?0[0-9]", value) for value in known):
            return "number", "each value is a number or missing"
        different = len(set(known))
        if different > _MANY and different > len(known) / 2:
            return "none", f"text with {different} different values in {len(known)} rows"
        return "category", f"{different} different values"


def given_fold(source: Own, raw: Path) -> tuple[TableFile, TableFile]:
    """Return the layouts of train.csv and test.csv in a raw folder: a split that the user gives.

    Raises
    ------
    UserError
        One of them is missing, or its columns cannot be told.
    """
    for name in GIVEN_FILES:
        if not (raw / name).exists():
            raise UserError(
                f"{raw / name} is missing: preprocess.fold: {GIVEN} takes {' and '.join(GIVEN_FILES)}. Put both beside "
                "the other files of the data set in the folder or archive that download.source names."
            )
    train, test = GIVEN_FILES
    return source.layout(raw, train), source.layout(raw, test)


def _quoted(form: Form, position: int) -> str:
    return repr(form.columns[position]) if form.header and form.columns[position] else f"column {position + 1}"


def _present(text: str) -> str | None:
    return None if (text := text.strip()) in MISSING else text


def _is_number(text: str) -> bool:
    try:
        number(text)
    except ValueError:
        return False
    return True


def _are_decimal(texts: Sequence[str]) -> bool:
    """Whether ids are integers that a spreadsheet or pandas has written as 1.0, 32.0."""
    return any(text.endswith(".0") for text in texts) and all(re.fullmatch(r"-?[0-9]+(\.0)?", text) for text in texts)


def _year(text: str) -> int | None:
    # Spreadsheets and pandas write 1995.0 if another row has no year.
    return integer(text.removesuffix(".0")) if (text := text.strip()) not in MISSING else None


def _years_of(titles: list[str | None]) -> tuple[list[str | None], list[int | None], str]:
    """Take the years out of titles, if most titles end with one: "Heat (1995)"."""
    split = [split_title(title) if title else (None, None) for title in titles]
    with_year = sum(year is not None for _, year in split)
    if with_year * 2 <= len(titles):
        return titles, [None] * len(titles), ""
    line = f"the year is taken from the end of the title, in {with_year} of {len(titles)} rows"
    return [title for title, _ in split], [year for _, year in split], line


def _split_lists(texts: Sequence[str]) -> tuple[list[list[str]], str]:
    """Split texts that name several things: a JSON or Python list, or names between bars, semicolons or commas."""
    known = [text for text in texts if text not in MISSING]
    ways: list[tuple[str, Callable[[str], list[str]]]] = [
        ("a list in brackets", _bracketed),
        ("separated by |", split_genres),
        ("separated by ;", lambda text: split_genres(text, ";")),
        ("separated by commas", lambda text: split_genres(text, ",")),
    ]
    marks = (r"\[.*\]", r".*\|.*", r".*;.*", r".*,.*")
    hits = [sum(re.fullmatch(mark, text.strip(), re.DOTALL) is not None for text in known) for mark in marks]
    if known and hits[0] == len(known):
        name, split = ways[0]
    else:
        name, split = next(
            (way for way, n in zip(ways[1:], hits[1:], strict=True) if n), ("one to a row", split_genres)
        )
    return [split(text.strip()) if text not in MISSING else [] for text in texts], name


def _bracketed(text: str) -> list[str]:
    names = [name.strip().strip("'\"").strip() for name in text[1:-1].split(",")]
    return split_genres("|".join(names))


def _field_name(name: str) -> str:
    """Return a name of letters, digits and underscores that no other column of the tables has."""
    plain = re.sub(r"\W+", "_", name).strip("_") or "column"
    return f"{plain}_given" if plain in _RESERVED else plain


OWN = Own(
    name="own",
    files=(),
    rating_scale=None,
    terms="Data of the user's own. Whoever ran the pipeline knows their terms.",
    items_complete=False,
    integer_ids=False,
)
