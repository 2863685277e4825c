"""Train one model on the features of the pipeline, and judge it on the test rows."""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from studies.judging import evaluate
from widedeep.columns import FROZEN, TEST, TRAIN, USER_ID, VALIDATION
from widedeep.errors import UserError, exit_on_user_error, nearest
from widedeep.evaluation.metrics import SQUARED_ERROR, N, list_length
from widedeep.evaluation.results import DECIMALS
from widedeep.features.tensors import load_features
from widedeep.files import replacing, write_json
from widedeep.models.registry import ENTRIES
from widedeep.params import Params, changed, load_params, merged
from widedeep.score_tables import UNRANKED
from widedeep.scoring import knowledges
from widedeep.training.fit import fit
from widedeep.yaml import read_yaml


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.comparison.model", description=__doc__)
    parser.add_argument("model", choices=list(ENTRIES), metavar="MODEL", help="a value of train.model")
    parser.add_argument("--params", required=True, type=Path, help="file of parameters")
    parser.add_argument("--changes", required=True, type=Path, help="file with the parameters that each model changes")
    parser.add_argument("--features", required=True, type=Path, help="folder of stage featurize")
    parser.add_argument("--out", required=True, type=Path, help="folder for MODEL.csv and MODEL.json")
    args = parser.parse_args(arguments)

    with exit_on_user_error():
        params = with_model(load_params(args.params), args.changes, args.model)
        known = load_features(args.features, TRAIN, VALIDATION)
        with TemporaryDirectory(prefix="widedeep-") as checkpoints:
            start = time.perf_counter()
            trained = fit(known, params.recipe, Path(checkpoints))
            seconds = time.perf_counter() - start
        features = load_features(args.features, TRAIN, VALIDATION, TEST)
        per_user = evaluate(features, trained.model, params.recipe.architecture, params.evaluate).per_user
        per_user = per_user.dropna(axis=1, how="all")  # ranking metrics, if no user has a relevant item
        kept = [USER_ID, N, *(f"{knowledge}_{SQUARED_ERROR}" for knowledge in knowledges(features))]
        ndcg = f"{FROZEN}_ndcg_at_{list_length(params.evaluate.ks)}"
        if args.model not in UNRANKED and ndcg in per_user:
            kept.append(ndcg)
        about = {
            "dataset": features.spec.dataset,
            **trained.validation,
            "epoch": trained.epoch,
            "parameters": sum(value.numel() for value in trained.model.state_dict().values()),
            "training_seconds": round(seconds, 1),
        }
        with replacing(args.out / f"{args.model}.csv") as table, replacing(args.out / f"{args.model}.json") as file:
            per_user[kept].round(DECIMALS).to_csv(table, index=False)
            write_json(file, about)


def load_model(path: Path, model: str) -> dict[str, Any]:
    """Read the parameters that the file changes for a model, as sections of params.yaml. Without any, return {}.

    Raises
    ------
    UserError
        The file is not readable YAML, or it names an unknown model.
    """
    changes = read_yaml(path)
    for name, sections in changes.items():
        if name not in ENTRIES:
            raise UserError(f"{path}: there is no model {name!r}. {nearest(str(name), list(ENTRIES))}")
        if not isinstance(sections, dict):
            raise UserError(f"{path}: {name} must hold sections of params.yaml. Got {sections!r} instead.")
    found: dict[str, Any] = changes.get(model, {})
    return found


def with_model(params: Params, path: Path, model: str) -> Params:
    """Return the parameters with this model, and with the changes that the file makes for it.

    Raises
    ------
    UserError
        `load_model` does, or the file sets an unknown key or an impossible value.
    """
    return changed(params, merged(load_model(path, model), {"train": {"model": model}}), f"{path}, {model}")


if __name__ == "__main__":
    main()
