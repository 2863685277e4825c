"""Run `widedeep benchmark`: measure the pipeline on a protocol or a split of your own, and print a line of JSON."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import yaml

from benchmarks.protocols import PROTOCOLS, Divide, Protocol, settings
from studies.tuning.presets import FAMILIES, load_preset, preset_file, read_assignments
from widedeep.columns import SPLIT, TEST, TRAIN, USER, USER_ID
from widedeep.errors import FAILED, UserError, nearest
from widedeep.evaluation.metrics import list_length
from widedeep.params import Sections, dotted, load_params, merged, nested
from widedeep.params.data import OWN_NAMES
from widedeep.reading import read_json
from widedeep.sources import SOURCES
from widedeep.sources.fetch import fetch
from widedeep.sources.source import GIVEN, GIVEN_FILES
from widedeep.tables.files import external, load_ratings, load_user_ids
from widedeep.yaml import read_yaml

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("download", "preprocess", "featurize", "train", "evaluate")
RATING = ("rmse", "mae")
RANKING = ("ndcg", "precision", "recall", "map", "mrr", "hit_rate", "coverage")

Json = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """The options of `widedeep benchmark`, whose help explains them."""

    protocol: str | None
    dataset: str | None
    source: str
    split: str | None
    fold: str | None
    train: Path | None
    test: Path | None
    objective: str | None
    seed: int
    preset: str
    set: tuple[str, ...]
    keep: Path | None


def print_protocols() -> None:
    """Print a line per protocol: its name and what it measures."""
    for name, protocol in PROTOCOLS.items():
        print(f"{name:24}{protocol.about}")


def benchmark(options: Options) -> int:
    """Print the line of JSON, and return the exit status: 0, or 1 if a stage fails.

    Raises
    ------
    UserError
        Options exclude each other, or an option has an impossible value.
    """
    try:
        print(json.dumps(measure(options), allow_nan=False))
    except subprocess.CalledProcessError as error:
        print(f"error: a stage failed: {shlex.join(error.cmd)}", file=sys.stderr)
        return FAILED
    return 0


def measure(options: Options) -> Json:
    """Run the protocol, and return the content of the line of JSON.

    Raises
    ------
    UserError
        There is a mistake in the options.
    CalledProcessError
        A stage fails.
    """
    for option, known in (("protocol", PROTOCOLS), ("dataset", SOURCES), ("split", FAMILIES)):
        given = getattr(options, option)
        if given is not None and given not in known:
            hint = nearest(given, known, f"Known: {', '.join(known)}.")
            raise UserError(f"--{option}: there is no {option} '{given}'. {hint}")
    protocol = PROTOCOLS[options.protocol] if options.protocol else None
    own = [name for name in ("dataset", "split", "fold", "train", "test", "objective") if getattr(options, name)]
    if protocol is None:
        protocol = _own_protocol(options)
    elif own:
        raise UserError(f"--protocol {options.protocol} already sets --{own[0]}. Leave out one of the two.")
    with _work_folder(options.keep) as work:
        several = len(protocol.folds) > 1
        results = {
            fold: _run(work / fold if several and fold else work, protocol, fold, options)
            for fold in protocol.folds or (None,)
        }
    result = next(iter(results.values()))
    if not several:
        return result
    parts = {fold: {name: part[name] for name in ("n", "seconds", "metrics")} for fold, part in results.items()}
    return result | {
        "fold": list(parts),
        "n": sum(part["n"] for part in parts.values()),
        "seconds": {"total": round(sum(part["seconds"]["total"] for part in parts.values()), 2)},
        "metrics": _mean([part["metrics"] for part in parts.values()]),
        "folds": parts,
    }


def _own_protocol(options: Options) -> Protocol:
    """Make a protocol from the options --dataset, --split, --fold, --train, --test and --objective."""
    objective = options.objective or "rating"
    if not options.dataset:
        raise UserError("Name a --protocol (see --list), or a --dataset with --split or with --train and --test.")
    if options.train or options.test:
        if not (options.train and options.test) or options.split or options.fold:
            raise UserError("--train and --test together are a split. Give both of them, without --split and --fold.")
        for path in (options.train, options.test):
            if not path.is_file():
                raise UserError(f"There is no file {path}. --train and --test must name files of ratings.")
        divide = partial(_copy, options.train, options.test)
        return Protocol("", settings(options.dataset, objective, "predefined"), (GIVEN,), divide)
    if not options.split:
        raise UserError(f"--dataset needs a --split, one of {', '.join(FAMILIES)}, or --train and --test.")
    if (options.split == "predefined") != bool(options.fold):
        raise UserError(
            f"--split predefined needs a --fold, and other splits have none. Got --split {options.split} "
            f"{f'and --fold {options.fold}' if options.fold else 'without --fold'} instead."
        )
    folds = (options.fold,) if options.fold else ()
    return Protocol("", settings(options.dataset, objective, options.split), folds)


def _copy(train: Path, test: Path, folder: Path) -> None:
    for name, path in zip(GIVEN_FILES, (train, test), strict=True):
        shutil.copyfile(path, folder / name)


@contextmanager
def _work_folder(keep: Path | None) -> Iterator[Path]:
    """Yield the folder `keep`, or a temporary one."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="widedeep-") as folder:
            yield Path(folder)
    else:
        if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise UserError(f"--keep must name a new or empty folder. Got {keep} instead.")
        yield keep.resolve()


def _run(work: Path, protocol: Protocol, fold: str | None, options: Options) -> Json:
    """Run the pipeline once in the folder `work`."""
    own: Sections = {"download": {"source": options.source}, "train": {"seed": options.seed}}
    fixed = merged(merged(protocol.settings, own), {"preprocess": {"fold": fold}} if fold else {})
    dataset, split = fixed["download"]["dataset"], fixed["preprocess"]["split"]
    objective = fixed["train"]["objective"]
    preset = _preset(options.preset, dataset, split, objective)
    changes = _changes(options.set, fixed)
    params = read_yaml(ROOT / "params.yaml")
    params = merged(merged(merged(params, preset or {}), nested(changes)), fixed)

    work.mkdir(parents=True, exist_ok=True)
    params["download"]["source"] = _source(dataset, options.source, protocol.divide, work / "source")
    (work / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    load_params(work / "params.yaml")
    seconds = _run_stages(work)
    metrics = read_json(work / "reports/metrics.json")
    return {
        "protocol": options.protocol,
        "dataset": dataset,
        "split": split,
        "fold": fold,
        "objective": objective,
        "seed": options.seed,
        "preset": f"{dataset} {FAMILIES[split]} {objective}" if preset else None,
        "set": changes,
        "commit": _commit(),
        "n": read_json(work / "reports/data.json")["ratings"][TEST],
        "seconds": seconds,
        "metrics": _headline(metrics, list_length(params["evaluate"]["ks"]), _user_groups(work)),
    }


def _preset(option: str, dataset: str, split: str, objective: str) -> Sections | None:
    if option == "none":
        return None
    if option != "auto" and not Path(option).is_file():
        raise UserError(f"--preset must be auto, none or a file of presets. Got {option!r}, and there is no such file.")
    return load_preset(preset_file(dataset) if option == "auto" else Path(option), split, objective)


def _changes(assignments: Sequence[str], fixed: Sections) -> Json:
    """Read the values of --set, by the name of the parameter."""
    changes = read_assignments(assignments)
    for name in changes:
        if name in dotted(fixed):
            raise UserError(f"--set must not change {name}, because the protocol or another option sets it.")
    return changes


def _source(dataset: str, source: str, divide: Divide | None, folder: Path) -> str:
    """Return the value of download.source for a run in another folder.

    With `divide`, the files of the data set and of the split are put into `folder`, and the value is that folder.
    """
    local = source != "auto" and not source.startswith(("http://", "https://"))
    if local and not Path(source).expanduser().exists():
        raise UserError(f"--source must be auto, a folder, a zip file or the URL of one. There is no {source!r}.")
    if divide is None:
        return str(Path(source).expanduser().resolve()) if local else source
    folder.mkdir()
    if dataset not in OWN_NAMES or source != "auto":
        fetch(SOURCES[dataset], source, folder)
    divide(folder)
    return str(folder)


def _run_stages(work: Path) -> dict[str, float]:
    """Run the commands of dvc.yaml in the folder `work`. Return the wall-clock seconds by stage and in total."""
    stages = read_yaml(ROOT / "dvc.yaml")["stages"]
    seconds = {}
    for name in STAGES:
        start = time.perf_counter()
        command = [sys.executable, *shlex.split(stages[name]["cmd"])[1:]]
        subprocess.run(command, cwd=work, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=sys.stderr, check=True)
        seconds[name] = round(time.perf_counter() - start, 2)
    return seconds | {"total": round(sum(seconds.values()), 2)}


def _headline(metrics: Json, k: int, groups: Json) -> Json:
    """Select the main numbers of reports/metrics.json.

    These are the metrics `RATING`, the metrics `RANKING` at k, the RMSE of the user groups, and for each baseline the
    first metric of `RATING` and of `RANKING`.
    """
    ranking = [f"{name}_at_{k}" for name in RANKING]
    result = _select(metrics, {"rating": RATING, "ranking": ranking})
    for knowledge, by_group in groups.items():
        result["rating"][knowledge] |= by_group
    first = {"rating": RATING[:1], "ranking": ranking[:1]}
    return result | {"baselines": {name: _select(tasks, first) for name, tasks in metrics["baselines"].items()}}


def _select(tasks: Json, names: Mapping[str, Sequence[str]]) -> Json:
    """Select metrics by task and name, with value, low and high."""
    return {
        task: {
            knowledge: {
                name: {bound: estimates[name][bound] for bound in ("value", "low", "high")}
                for name in wanted
                if name in estimates
            }
            for knowledge, estimates in tasks[task].items()
        }
        for task, wanted in names.items()
        if task in tasks
    }


def _user_groups(work: Path) -> Json:
    """Compute RMSE and number of rows of test users with training rows and of test users without, by knowledge."""
    users = pd.read_parquet(work / "reports/per_user.parquet")
    tables = work / "data/interim"
    ratings = load_ratings(tables, [USER, SPLIT])
    training = ratings.filter(pc.equal(ratings[SPLIT], TRAIN))
    known = users[USER_ID].isin(external(load_user_ids(tables), pc.unique(training[USER])).to_pylist())
    groups: Json = {}
    for column in users.columns[users.columns.str.endswith("_squared_error")]:
        knowledge = groups.setdefault(column.removesuffix("_squared_error"), {})
        for name, part in (("known_users", users[known]), ("unknown_users", users[~known])):
            n = int(part["n"].sum())
            rmse = {"rmse": {"value": round(float(np.sqrt(part[column].sum() / n)), 6)}} if n else {}
            knowledge[name] = rmse | {"n": n}
    return groups


def _mean(parts: Sequence[Json]) -> Json:
    """Average each `value` of metrics with the same form. Intervals and counts are left out."""
    mean: Json = {}
    for name, first in parts[0].items():
        if name == "value":
            mean[name] = round(float(np.mean([part[name] for part in parts])), 6)
        elif isinstance(first, dict) and all(name in part for part in parts):
            mean[name] = _mean([part[name] for part in parts])
    return mean


def _commit() -> str | None:
    """Return the commit of the code, with -dirty if files differ from it. Outside git, return None."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
