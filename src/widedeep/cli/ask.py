"""Commands that ask a trained model: `widedeep recommend`, `similar`, `predict`, `explain` and `batch`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from widedeep.cli.values import whole

if TYPE_CHECKING:
    import pandas as pd

Models = Annotated[Path, typer.Option("--models", metavar="FOLDER", help="The model that stage train wrote.")]
Number = Annotated[int, typer.Option("--n", metavar="N", parser=whole(1), help="Length of the list.")]
Penalty = Annotated[
    float,
    typer.Option("--popularity-penalty", metavar="NUMBER", help="Move popular items down. From 0 to below 1."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")]
Likes = Annotated[
    list[str] | None,
    typer.Option("--like", metavar="ITEM", help="Title or id of an item that someone new likes. May be repeated."),
]
User = Annotated[str | None, typer.Option("--user", metavar="ID", help="Id of a user of the data.")]
MODELS = Path("models")


def recommend(
    user: User = None,
    like: Likes = None,
    n: Number = 10,
    genre: Annotated[
        list[str] | None, typer.Option("--genre", metavar="GENRE", help="Only items of this genre. May be repeated.")
    ] = None,
    years: Annotated[
        str | None, typer.Option(metavar="YEARS", help="Only items of these years, such as 1990-1999.")
    ] = None,
    popularity_penalty: Penalty = 0,
    models: Models = MODELS,
    as_json: Json = False,
) -> None:
    """Recommend items to a user, or to someone new."""
    from widedeep.serving.recommender import Recommender

    frame = Recommender.load(models).recommend(
        user, n, likes=like or (), genres=genre or (), years=years, popularity_penalty=popularity_penalty
    )
    _show(frame, as_json)
    if frame.attrs["fallback"] and not as_json:
        print("Nothing is known of this user. The list shows what is popular lately.")
    if frame.attrs["reason"] and not as_json:
        print(frame.attrs["reason"])


def similar(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Title or id of the item.")],
    n: Number = 10,
    models: Models = MODELS,
    as_json: Json = False,
) -> None:
    """Show the items that the same users rated."""
    from widedeep.serving.recommender import Recommender

    _show(Recommender.load(models).similar_items(item, n), as_json)


def explain(
    item: Annotated[str, typer.Argument(metavar="ITEM", help="Title or id of the item.")],
    user: User = None,
    like: Likes = None,
    models: Models = MODELS,
    as_json: Json = False,
) -> None:
    """Show what the score of an item is made of.

    The values add up to the score that the item has in the list of the user.
    """
    from widedeep.serving.recommender import Recommender

    found = Recommender.load(models).explain(user, item, likes=like or ())
    _show(found.parts, as_json)
    if found.sentence and not as_json:
        print(found.sentence)


def predict(
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="CSV file with the columns user_id and item_id.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to this file. Default: print the ratings.")
    ] = None,
    models: Models = MODELS,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON in place of CSV.")] = False,
) -> None:
    """Predict the ratings of pairs of a user and an item."""
    from widedeep.columns import ITEM_ID, PREDICTED, USER_ID
    from widedeep.files import replacing
    from widedeep.serving.recommender import Recommender

    table, recommender = _columns(pairs, (USER_ID, ITEM_ID)), Recommender.load(models)
    table[PREDICTED] = 0.0
    for user_id, rows in table.groupby(USER_ID, sort=False):
        table.loc[rows.index, PREDICTED] = recommender.predict(str(user_id), list(rows[ITEM_ID]))[PREDICTED].to_numpy()
    text = _json(table) + "\n" if as_json else table.to_csv(index=False)
    if out is None:
        print(text, end="")
        return
    with replacing(out) as partial:
        partial.write_text(text, encoding="utf-8")
    print(f"{out}: {len(table):,} predicted ratings")


def batch(
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write this Parquet file. May be left out with --json.")
    ] = None,
    users: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV file with the column user_id. Default: all users.")
    ] = None,
    n: Number = 10,
    popularity_penalty: Penalty = 0,
    models: Models = MODELS,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the lists in place of a file, as JSON, a line for each user.")
    ] = False,
) -> None:
    """Write the lists of many users into a Parquet file.

    Its columns are user_id, rank, item_id, title, genres, predicted and score. If the command is stopped, call it
    again: it goes on where it was, and the file is the same.
    """
    from widedeep.columns import USER_ID
    from widedeep.errors import UserError
    from widedeep.serving.batch import lists_of, write_lists
    from widedeep.serving.recommender import Recommender

    if (out is None) != as_json:
        raise UserError("Give either --out FILE or --json.")
    recommender = Recommender.load(models)
    ids = recommender.users() if users is None else list(_columns(users, (USER_ID,))[USER_ID])
    if out is None:
        for frame in lists_of(recommender, ids, n, popularity_penalty):
            for user_id, rows in frame.groupby(USER_ID, sort=False):
                items = _json(rows.drop(columns=USER_ID))
                print(f'{{"{USER_ID}":{json.dumps(user_id, ensure_ascii=False)},"items":{items}}}')
        return
    write_lists(recommender, ids, n, out, popularity_penalty)
    print(f"{out}: lists of {len(ids):,} users")


def _columns(path: Path, names: tuple[str, ...]) -> "pd.DataFrame":
    """Read columns of text from a CSV file."""
    import pandas as pd

    from widedeep.errors import UserError

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, IsADirectoryError) as error:
        raise UserError(f"{path} is no CSV file ({str(error).splitlines()[0]}).") from None
    for name in names:
        if name not in table:
            raise UserError(f"{path}, line 1: the column {name} is missing. Its columns: {', '.join(table.columns)}.")
        if len(empty := table.index[table[name] == ""]):
            raise UserError(f"{path}, line {empty[0] + 2}: {name} must not be empty.")
    return table[list(names)].copy()


def _json(frame: "pd.DataFrame") -> str:
    text: str = frame.to_json(orient="records", force_ascii=False, double_precision=6)
    return text


def _show(frame: "pd.DataFrame", as_json: bool) -> None:
    if as_json:
        print(_json(frame))
        return
    shown = frame.astype(object).where(frame.notna(), "")
    if not frame.empty:
        print(shown.to_string(index=False, justify="left", float_format=lambda value: f"{value:.3f}"))
