"""Find the files of a data set among those of a folder or an archive."""

from collections.abc import Container, Iterable, Mapping
from pathlib import PurePosixPath

from widedeep.errors import UserError
from widedeep.sources.naming import ROLES, find_roles, is_rows
from widedeep.sources.own import Own
from widedeep.sources.source import GIVEN_FILES, Source


def choose(members: Iterable[str], source: Source, place: str) -> dict[str, str]:
    """Find the files of `source` among the paths `members` of `place`: name -> path. All must lie in one folder."""
    paths = {PurePosixPath(member): member for member in members}
    if isinstance(source, Own):
        wanted = [path for path in paths if is_rows(path.name) and "__MACOSX" not in path.parts]
    else:
        wanted = [path for path in paths if path.name in source.files + source.optional_files + GIVEN_FILES]
    homes = sorted({str(path.parent) for path in wanted})
    if len(homes) > 1:
        raise UserError(
            f"{place}: the files of {source.name} must lie in one folder. Found some in each of {', '.join(homes)}. "
            "Put the right ones in a folder of their own and set download.source to it."
        )
    chosen = {path.name: paths[path] for path in wanted}
    if isinstance(source, Own):
        return _of_roles(chosen, find_roles(chosen, source.files_chosen, place))
    missing = _missing(source, chosen)
    if missing:
        found = ", ".join(sorted(map(str, paths))[:20]) or "no file"
        raise UserError(
            f"{place}: {source.name} needs {source.files[0]} ({' and '.join(GIVEN_FILES)} may replace it); "
            f"missing: {', '.join(missing)}. Found {found}. "
            "Check download.dataset and download.source in params.yaml."
        )
    for what, names in (("items", source.items_files), ("users", source.users_files)):
        if absent := [name for name in names if name not in chosen]:
            print(f"{place} has no {', '.join(absent)}: nothing is known of the {what} but their ratings")
    return chosen


def _of_roles(chosen: Mapping[str, str], roles: Mapping[str, list[str]]) -> dict[str, str]:
    """Keep the files that have a role, and a given split. Print what each is for."""
    for role in ROLES:
        print(f"{role}: {', '.join(roles.get(role, ['none']))}")
    taken = {name for names in roles.values() for name in names}
    if all(name in chosen for name in GIVEN_FILES):
        taken |= set(GIVEN_FILES)
    if left := sorted(chosen.keys() - taken):
        print(f"not used: {', '.join(left)}")
    return {name: chosen[name] for name in sorted(taken)}


def _missing(source: Source, found: Container[str]) -> list[str]:
    describing = source.items_files + source.users_files
    ratings, *others = (name for name in source.files if name not in describing)
    if ratings not in found and any(name in found for name in GIVEN_FILES):
        return [name for name in (*GIVEN_FILES, *others) if name not in found]
    return [name for name in (ratings, *others) if name not in found]
