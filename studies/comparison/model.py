"""Train one model of the family on the shared features and judge it on the test rows."""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from pydantic import ValidationError

from studies.judging import evaluate
from widedeep.columns import FROZEN, TEST, TRAIN, USER, VALIDATION
from widedeep.errors import UserError, exit_on_user_error
from widedeep.evaluation.metrics import SQUARED_ERROR, N, list_length
from widedeep.evaluation.results import DECIMALS
from widedeep.features.store import Features
from widedeep.files import replacing, write_json
from widedeep.models.family import BASELINES, NETWORKS
from widedeep.params import TrainParams, load_params
from widedeep.scoring import UNRANKED, knowledges
from widedeep.training.fit import fit


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.comparison.model", description=__doc__)
    parser.add_argument("model", choices=[*BASELINES, *NETWORKS], metavar="MODEL", help="as train.model")
    parser.add_argument("--params", required=True, type=Path)
    parser.add_argument("--changes", required=True, type=Path, help="what each model sets in place of section train")
    parser.add_argument("--features", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, help="folder for MODEL.csv and MODEL.json")
    args = parser.parse_args(arguments)

    with exit_on_user_error():
        params = load_params(args.params)
        train = changed(params.train, args.changes, args.model)
        known = Features.load(args.features, TRAIN, VALIDATION)
        with TemporaryDirectory(prefix="widedeep-") as checkpoints:
            start = time.perf_counter()
            trained = fit(known, train, Path(checkpoints))
            seconds = time.perf_counter() - start
        features = Features.load(args.features, TRAIN, VALIDATION, TEST)
        per_user = evaluate(features, trained.model, train, params.evaluate).per_user
        per_user = per_user.dropna(axis=1, how="all")  # rankings, where no user has a relevant item
        kept = [USER, N, *(f"{knowledge}_{SQUARED_ERROR}" for knowledge in knowledges(features))]
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


def changed(train: TrainParams, path: Path, model: str) -> TrainParams:
    """`train` with what the file sets for the model.

    Raises
    ------
    UserError
        The file is not readable YAML, lacks the model, or sets an unknown key or an impossible value.
    """
    try:
        changes = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(changes, dict) or not isinstance(changes.get(model), dict):
        raise UserError(f"{path} must have a section {model} of keys of train. Add it ({{}} for none).")
    try:
        return TrainParams.model_validate(train.model_dump() | changes[model] | {"model": model})
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join([model, *map(str, problem["loc"])])
        raise UserError(f"{path}, '{key}': {problem['msg']}. Got {problem['input']!r} instead.") from None


if __name__ == "__main__":
    main()
