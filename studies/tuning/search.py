"""Run `widedeep tune`: search for the values of section train and of its model that minimize the validation loss."""

import json
import shlex
import sys
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from studies.comparison.model import load_model, with_model
from studies.tuning.models import MODELS, save_model
from studies.tuning.objective import EPOCH, MEASURED, REASON, VALUES, Objective, check, fix_positives
from studies.tuning.presets import assignments, load_preset, preset_file, save_preset
from studies.tuning.space import POSITIVE, Space, load_space, starts, values_of
from widedeep.columns import TRAIN, VALIDATION
from widedeep.errors import UserError, nearest
from widedeep.features.tensors import load_features
from widedeep.files import sha256 as file_hash
from widedeep.models.registry import ENTRIES
from widedeep.params import Params, Sections, dotted, load_params, merged, nested

INTERRUPTED = 130  # exit status of a program that Ctrl-C ended
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class Options:
    """The options of `widedeep tune`, whose help explains them."""

    params: Path
    features: Path
    model: str | None
    space: Path | None
    store: Path
    trials: int
    timeout: int | None
    seed: int
    write: bool
    out: Path | None
    refit: bool


def tune(options: Options) -> int:
    """Search, print the best values as arguments of `dvc exp run`, and write them to a file with --write.

    Returns
    -------
    The exit status: 0, or 130 if Ctrl-C ended the search.

    Raises
    ------
    UserError
        The model is unknown; a file of parameters, models or values to search breaks a rule; no validation row can
        measure the loss; the store is not a store of Optuna; or no trial has ended with a loss yet.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # `_tell` prints a line per trial instead
    if options.model and options.model not in ENTRIES:
        hint = nearest(options.model, ENTRIES, f"Known: {', '.join(ENTRIES)}.")
        raise UserError(f"--model must name a model of the comparison. Got '{options.model}' instead. {hint}")
    params = load_params(options.params)
    if options.model:
        params = with_model(params, MODELS, options.model)
    space = load_space(options.space, params)
    features = fix_positives(load_features(options.features, TRAIN, VALIDATION), params, space)
    check(features, params)
    # The features say how they were split. params.yaml may have changed since they were made.
    family = "temporal" if features.spec.history == "point_in_time" else "random"
    kind = f"{features.spec.dataset} {family} {options.model or params.train.objective}"
    study = _study(options, f"{kind} {_identity(file_hash(options.features), params, space)}")
    interrupted = _search(study, Objective(features, params, space), options)
    best = _best(study)
    measured = ", ".join(f"{metric} {value:.4f}" for metric, value in best.user_attrs[MEASURED].items())
    found = f"{measured}, best of {len(_of_state(study, *FINISHED))} trials{'' if best.number else ', the first'}"
    preset = _preset(best, options)
    print(f"\n{found}: trial {best.number}, epoch {best.user_attrs[EPOCH]}")
    run = merged({"train": {"model": options.model}}, preset) if options.model else preset
    print("dvc exp run", *(f"-S {shlex.quote(assignment)}" for assignment in assignments(run)))
    if interrupted:
        print("interrupted: run the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    if options.write and options.model:
        path = options.out or MODELS
        save_model(path, options.model, preset, found)
        print(f"written to {path}")
    elif options.write:
        path = options.out or preset_file(features.spec.dataset)
        rows = ", ".join(f"{len(features.splits[split]):,} {split}" for split in (TRAIN, VALIDATION))
        # A parameter that only the earlier preset sets was not searched. It gets the value that the trials used.
        besides, used = load_preset(path, family, params.train.objective) or {}, params.model_dump(mode="json")
        values = dotted(used)
        kept = nested({key: values[key] for key in dotted(besides) if key in values})
        comment = f"{found} of `widedeep tune` ({rows} rows)"
        save_preset(path, family, params.train.objective, merged(kept, preset), comment)
        print(f"written to {path}")
    return 0


def _identity(features: str, params: Params, space: Space) -> str:
    """Hash everything that makes losses comparable: the features, the space and the values outside it."""
    fixed = {key: value for key, value in values_of(params).items() if key not in space}
    if POSITIVE in space:
        fixed["relevant"] = params.evaluate.relevant_rating
    parts = [features, fixed, {key: asdict(searched) for key, searched in space.items()}]
    return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def _study(options: Options, name: str) -> optuna.Study:
    try:
        study = optuna.create_study(
            storage=f"sqlite:///{options.store}",
            study_name=name,
            load_if_exists=True,
            pruner=MedianPruner(n_warmup_steps=3),  # a trial with a small learning rate starts slowly
        )
    except (SQLAlchemyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"--store must name a store of Optuna or a new file. {options.store}: {reason}") from None
    done = len(_of_state(study, *FINISHED))
    # With the same seed, a later run would draw the same values again.
    study.sampler = TPESampler(seed=options.seed + done)
    print(f"study {name}: {options.store} has {done} of {options.trials} trials", flush=True)
    return study


def _search(study: optuna.Study, objective: Objective, options: Options) -> bool:
    """Run the missing trials. Return whether Ctrl-C ended the search."""
    done = len(_of_state(study, *FINISHED))
    if done >= options.trials:
        return False
    if not done:
        study.enqueue_trial(starts(objective.space, objective.params))
    try:
        study.optimize(
            objective,
            n_trials=options.trials - done,
            timeout=None if options.timeout is None else 60 * options.timeout,
            callbacks=[_tell],
        )
    except KeyboardInterrupt:
        return True
    return False


def _tell(study: optuna.Study, trial: FrozenTrial) -> None:
    outcome = f"loss {trial.value:.4f}" if trial.state == TrialState.COMPLETE else f"pruned {trial.user_attrs[REASON]}"
    best = f"{study.best_value:.4f}" if _of_state(study, TrialState.COMPLETE) else "none"
    seconds = trial.duration.total_seconds() if trial.duration else 0
    # Only the last part of each name, so that a line fits the screen.
    shown = " ".join(assignments({key.rpartition(".")[2]: value for key, value in trial.user_attrs[VALUES].items()}))
    print(f"trial {trial.number:3d}  {outcome}  best {best}  {seconds:.1f} s  {shown}", flush=True)


def _best(study: optuna.Study) -> FrozenTrial:
    if not _of_state(study, TrialState.COMPLETE):
        raise UserError("No trial has ended with a loss yet. Run the same command again.")
    return study.best_trial


def _preset(best: FrozenTrial, options: Options) -> Sections:
    values = nested(best.user_attrs[VALUES])
    if options.model:
        return merged(load_model(MODELS, options.model), values)
    if not options.refit:
        return values
    # Without validation rows nothing stops training early, so the number of epochs is the best one of the trial.
    last = {"preprocess": {"validation_fraction": 0}, "train": {"epochs": best.user_attrs[EPOCH] + 1}}
    return {"preprocess": {}} | merged(values, last)


def _of_state(study: optuna.Study, *states: TrialState) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=states)
