"""`widedeep benchmark`: the quality of the pipeline on a named protocol or a split of your own, as one line of JSON."""

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
from studies.tuning.presets import FAMILIES, load_preset, preset_file
from widedeep.columns import SPLIT, TEST, TRAIN, USER, USER_ID
from widedeep.errors import FAILED, UserError, nearest
from widedeep.evaluation.metrics import list_length
from widedeep.files import read_json
from widedeep.params import Sections, dotted, load_params, merged, nested
from widedeep.sources import SOURCES
from widedeep.sources.fetch import fetch
from widedeep.sources.source import GIVEN, GIVEN_FILES
from widedeep.tables.files import external, load_ratings, load_user_ids

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
    """Print the line of JSON, and return the exit status: 0, or 1 where a stage fails.

    Raises
    ------
    UserError
        The options do not go together, or one has an impossible value.
    """
    try:
        print(json.dumps(measure(options), allow_nan=False))
    except subprocess.CalledProcessError as error:
        print(f"error: the stage failed: {shlex.join(error.cmd)}", file=sys.stderr)
        return FAILED
    return 0


def measure(options: Options) -> Json:
    """The line of JSON. Raises `UserError` for a mistake in the call, `CalledProcessError` where a stage fails."""
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
        raise UserError(f"--protocol {options.protocol} sets what --{own[0]} would. Leave out one of the two.")
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
    objective = options.objective or "rating"
    if not options.dataset:
        raise UserError("Name a --protocol (see --list), or a --dataset with --split or with --train and --test.")
    if options.train or options.test:
        if not (options.train and options.test) or options.split or options.fold:
            raise UserError("--train and --test are a split: give both, and neither --split nor --fold.")
        for path in (options.train, options.test):
            if not path.is_file():
                raise UserError(f"There is no file {path}. --train and --test must name files of ratings.")
        divide = partial(_copy, options.train, options.test)
        return Protocol("", settings(options.dataset, objective, "predefined"), (GIVEN,), divide)
    if not options.split:
        raise UserError(f"--dataset needs a --split, one of {', '.join(FAMILIES)}, or --train and --test.")
    if (options.split == "predefined") != bool(options.fold):
        raise UserError(f"--fold goes with --split predefined, and only with it. Got --split {options.split}.")
    folds = (options.fold,) if options.fold else ()
    return Protocol("", settings(options.dataset, objective, options.split), folds)


def _copy(train: Path, test: Path, folder: Path) -> None:
    for name, path in zip(GIVEN_FILES, (train, test), strict=True):
        shutil.copyfile(path, folder / name)


@contextmanager
def _work_folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="widedeep-") as folder:
            yield Path(folder)
    else:
        if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
            raise UserError(f"--keep must name a new or empty folder. {keep} is not.")
        yield keep.resolve()


def _run(work: Path, protocol: Protocol, fold: str | None, options: Options) -> Json:
    """One run of the pipeline in the folder `work`."""
    own: Sections = {"download": {"source": options.source}, "train": {"seed": options.seed}}
    fixed = merged(merged(protocol.settings, own), {"preprocess": {"fold": fold}} if fold else {})
    dataset, split = fixed["download"]["dataset"], fixed["preprocess"]["split"]
    objective = fixed["train"]["objective"]
    preset = _preset(options.preset, dataset, split, objective)
    changes = _changes(options.set, fixed)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
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
    """The values of --set by the name of the parameter."""
    changes: Json = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or "." not in name:
            raise UserError(f"--set must be section.key=value, as in train.epochs=5. Got {assignment!r} instead.")
        if name in dotted(fixed):
            raise UserError(f"--set must not change {name}: the protocol, or an option of its own, sets it.")
        try:
            changes[name] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(f"--set {name}: the value must be YAML. Got {text!r} instead.") from None
    return changes


def _source(dataset: str, source: str, divide: Divide | None, folder: Path) -> str:
    """`download.source` for a run in another folder; for a split from outside, `folder` with all the files."""
    local = source != "auto" and not source.startswith(("http://", "https://"))
    if local and not Path(source).expanduser().exists():
        raise UserError(f"--source must be auto, a folder, a zip or a URL of a zip. There is no {source!r}.")
    if divide is None:
        return str(Path(source).expanduser().resolve()) if local else source
    folder.mkdir()
    if dataset != "csv" or source != "auto":
        fetch(SOURCES[dataset], source, folder)
    divide(folder)
    return str(folder)


def _run_stages(work: Path) -> dict[str, float]:
    """Run the commands of dvc.yaml, whose paths are relative, in `work`; wall-clock seconds by stage and in total."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    seconds = {}
    for name in STAGES:
        start = time.perf_counter()
        command = [sys.executable, *shlex.split(stages[name]["cmd"])[1:]]
        subprocess.run(command, cwd=work, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=sys.stderr, check=True)
        seconds[name] = round(time.perf_counter() - start, 2)
    return seconds | {"total": round(sum(seconds.values()), 2)}


def _headline(metrics: Json, k: int, groups: Json) -> Json:
    """Of reports/metrics.json what a comparison needs: `RATING` and, at k, `RANKING`, of the baselines the first of
    each; with the RMSE of the user groups."""
    ranking = [f"{name}_at_{k}" for name in RANKING]
    result = _select(metrics, {"rating": RATING, "ranking": ranking})
    for knowledge, by_group in groups.items():
        result["rating"][knowledge] |= by_group
    first = {"rating": RATING[:1], "ranking": ranking[:1]}
    return result | {"baselines": {name: _select(tasks, first) for name, tasks in metrics["baselines"].items()}}


def _select(tasks: Json, names: Mapping[str, Sequence[str]]) -> Json:
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
    """By knowledge, RMSE and rows of the test users who have training rows and of those who have none."""
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
    """The mean of each `value` in metrics of the same form. Intervals and counts of the parts have no such mean."""
    mean: Json = {}
    for name, first in parts[0].items():
        if name == "value":
            mean[name] = round(float(np.mean([part[name] for part in parts])), 6)
        elif isinstance(first, dict) and all(name in part for part in parts):
            mean[name] = _mean([part[name] for part in parts])
    return mean


def _commit() -> str | None:
    """The commit of the code, with -dirty where files differ from it; None outside git."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
