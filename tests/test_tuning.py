"""The search for parameters: trials are kept and resumed, test rows are not read, the best values become a preset."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from studies.ablation.run import ndcgs
from studies.comparison.model import with_model
from studies.tuning import objective, search
from studies.tuning.models import save_model
from studies.tuning.presets import load_preset, save_preset
from studies.tuning.space import POSITIVE, load_space
from tests.small_data import BASELINES, NETWORKS, written
from widedeep.cli import main
from widedeep.errors import UserError
from widedeep.features.files import FeatureTables
from widedeep.features.tensors import FeatureSet, load_features
from widedeep.models.ease import Ease
from widedeep.models.global_mean import GlobalMean
from widedeep.models.knobs import EaseConfig, ModelConfig
from widedeep.models.registry import ENTRIES
from widedeep.params import Recipe, changed, dotted, load_params, merged
from widedeep.training.callbacks import Row
from widedeep.training.fit import Fit

SMALL = {
    "train": {"objective": "rating", "batch_size": 64, "epochs": 2, "learning_rate": 0.01, "accelerator": "cpu"},
    "models": {"wide_deep": {"embedding_size": 4, "hidden": [8]}},
}
SIZE, HIDDEN, TIME = (f"models.wide_deep.{name}" for name in ("embedding_size", "hidden", "time"))
SPACE: dict[str, Any] = {
    "train.learning_rate": {"low": "1e-4", "high": 0.1, "log": True},
    SIZE: {"low": 2, "high": 8},
    HIDDEN: {"choices": [[], [8], [8, 4]]},
    "models.wide_deep.dropout": {"low": 0, "high": 0.5, "when": HIDDEN},
    TIME: {"choices": [False, True], "tasks": ["rating"]},
}

Run = Callable[..., str]


@pytest.fixture
def here(root: Path, featurize: Callable[..., FeatureTables], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enter a folder with params.yaml, data/features and space.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("data/features").mkdir(parents=True)
    written(featurize(), Path("data/features"))
    Path("studies").symlink_to(root / "studies")
    monkeypatch.setattr(sys, "path", list(sys.path))
    params = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))
    Path("params.yaml").write_text(yaml.safe_dump(merged(params, SMALL)), encoding="utf-8")
    Path("space.yaml").write_text(yaml.safe_dump(SPACE, sort_keys=False), encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(here: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the search, check its exit status, and return what it prints."""

    def call(*arguments: str, status: int = 0) -> str:
        assert main(["tune", "--space", "space.yaml", *arguments]) == status
        printed = capsys.readouterr()
        return printed.out + printed.err

    return call


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace training by a formula: the loss is lowest at a learning rate of 0.001."""

    def fit(features: FeatureSet, recipe: Recipe, checkpoints: Path, on_epoch: Callable[[Row], None]) -> Fit:
        loss = 1 + abs(recipe.train.learning_rate - 0.001)
        return Fit(GlobalMean(features.spec, ModelConfig()), [], 6, {"validation_rmse": loss})

    monkeypatch.setattr(objective, "fit", fit)


def trials(store: str = "tuning.db") -> list[optuna.trial.FrozenTrial]:
    storage = f"sqlite:///{store}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage).trials


def lines(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("trial ")]


def test_search_goes_on_where_it_ended_and_writes_what_it_found(run: Run) -> None:
    printed = run("--trials", "3")
    assert "tuning.db has 0 of 3 trials" in printed
    assert len(lines(printed)) == 3
    assert "learning_rate=0.01 embedding_size=4 hidden=[8] dropout=0.2 time=false" in lines(printed)[0]
    assert "epoch  0" not in printed
    printed = run("--trials", "5", "--out", "presets.yaml")
    assert "tuning.db has 3 of 5 trials" in printed
    assert [line.split()[1] for line in lines(printed)] == ["3", "4"]

    kept = trials()
    assert len({str(trial.params) for trial in kept}) == 5, "resuming must not draw the same values again"
    best = min(kept, key=lambda trial: trial.value or 0)
    assert (best.value or 0) <= (kept[0].value or 0)
    preset = load_preset(Path("presets.yaml"), "leave_last_out", "rating")
    assert preset is not None
    assert preset["preprocess"] == {"validation_fraction": 0}
    found = {"train": preset["train"], "models": preset["models"]}
    assert dotted(found) == best.user_attrs["values"] | {"train.epochs": best.user_attrs["epoch"] + 1}
    changed(load_params("params.yaml"), preset, "preset")
    head = Path("presets.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert head.startswith(f"# temporal.rating: validation_rmse {best.value:.4f}, best of 5 trials")
    assert f"-S train.learning_rate={preset['train']['learning_rate']}" in printed


def test_test_rows_are_never_loaded(run: Run, here: Path) -> None:
    run("--trials", "2", "--store", "clean.db")
    path = here / "data/features/rows.parquet"
    rows = pq.read_table(path)
    poisoned = rows.to_pandas()
    test = poisoned["split"] == "test"
    poisoned.loc[test, "user"] = 0
    poisoned.loc[test, "rating"] = 5.5 - poisoned.loc[test, "rating"]
    pq.write_table(pa.Table.from_pandas(poisoned, rows.schema, preserve_index=False), path)
    run("--trials", "2", "--store", "poisoned.db")
    pq.write_table(rows.filter(pa.array(~test)), path)
    run("--trials", "2", "--store", "removed.db")
    losses = [[trial.value for trial in trials(store)] for store in ("clean.db", "poisoned.db", "removed.db")]
    assert losses[0] == losses[1] == losses[2]


def test_pruned_trial_leaves_training_cleanly(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna.Trial, "should_prune", lambda trial: trial.number == 1)
    printed = lines(run("--trials", "3"))
    assert [trial.state.name for trial in trials()] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert "pruned after epoch 0" in printed[1]


@pytest.mark.parametrize("task", ["ranking", "joint"])
def test_loss_of_a_ranking(run: Run, task: str) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    other = merged(params, {"train": {"objective": task, "epochs": 1}})
    Path("params.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    assert f"own temporal {task}" in run("--trials", "1")
    (trial,) = trials()
    measured = trial.user_attrs["validation"]
    assert trial.value == pytest.approx(measured.get("validation_rmse", 0) - measured["validation_ndcg_at_10"])
    assert ("validation_rmse" in measured) == (task == "joint")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit], ids=["ours", "as Lightning passes it on"])
def test_interrupted_search_keeps_what_it_has(
    run: Run, quick: None, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    def fit(features: FeatureSet, recipe: Recipe, *others: Any) -> Fit:
        if len(trials()) == 3:
            raise interrupt
        return Fit(GlobalMean(features.spec, ModelConfig()), [], 0, {"validation_rmse": 1})

    with monkeypatch.context() as patch:
        patch.setattr(objective, "fit", fit)
        printed = run("--trials", "5", "--out", "presets.yaml", status=130)
    assert len(lines(printed)) == 2
    assert "best of 2 trials" in printed
    assert "run the same command again to continue" in printed
    assert not Path("presets.yaml").exists()
    assert len(lines(run("--trials", "5"))) == 3


def test_other_data_or_another_space_is_another_search(
    run: Run, quick: None, featurize: Callable[..., FeatureTables]
) -> None:
    run("--trials", "1")
    written(featurize(user_damping=7), Path("data/features"))
    assert "0 of 1 trials" in run("--trials", "1")
    Path("space.yaml").write_text(yaml.safe_dump({SIZE: SPACE[SIZE]}), encoding="utf-8")
    assert "0 of 1 trials" in run("--trials", "1")
    assert "1 of 1 trials" in run("--trials", "1")


def test_values_that_exclude_each_other_are_pruned(run: Run, quick: None) -> None:
    optimizer, l1 = "models.wide_deep.wide_optimizer", "models.wide_deep.wide_l1"
    space = {optimizer: {"choices": ["adamw", "ftrl"]}, l1: {"low": 0, "high": 1}}
    Path("space.yaml").write_text(yaml.safe_dump(space), encoding="utf-8")
    run("--trials", "8")
    for trial in trials():
        values = trial.user_attrs["values"]
        assert (trial.state.name == "PRUNED") == (values[optimizer] == "adamw" and values[l1] > 0)
    assert {trial.state.name for trial in trials()} == {"COMPLETE", "PRUNED"}


def test_presets_of_other_splits_and_objectives_stay(run: Run, quick: None) -> None:
    path = Path("presets.yaml")
    by_hand = {"featurize": {"buckets": 7}, "models": {"wide_deep": {"time": True, "factors": 3}}}
    old = {"ranking": {"train": {"epochs": 4}}, "rating": by_hand}
    text = yaml.safe_dump({"random": {"rating": {"train": {"epochs": 3}}}, "temporal": old})
    path.write_text("# By hand.\n# temporal.rating: old\n" + text, encoding="utf-8")
    run("--trials", "1", "--no-refit", "--out", "presets.yaml")
    head = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert head[0] == "# By hand."
    assert [line.split(":")[0] for line in head[1:]] == ["# temporal.rating"]
    assert "old" not in head[1]
    assert load_preset(path, "random", "rating") == {"train": {"epochs": 3}}
    assert load_preset(path, "temporal", "ranking") == {"train": {"epochs": 4}}
    # A parameter that was set by hand gets the value that the trials used.
    knobs = {"time": False, "factors": 0, "embedding_size": 4, "hidden": [8], "dropout": 0.2}
    assert load_preset(path, "temporal", "rating") == {
        "featurize": {"buckets": 10},
        "train": {"learning_rate": 0.01},
        "models": {"wide_deep": knobs},
    }


def test_file_that_is_no_preset_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "presets.yaml"
    path.write_text("random: 3")
    with pytest.raises(UserError, match=r"random.rating must hold sections"):
        save_preset(path, "random", "rating", {"train": {}}, "found")
    assert path.read_text() == "random: 3"


@pytest.mark.parametrize("task", ["rating", "ranking", "joint"])
def test_space_of_the_registry_holds_the_values_of_the_params(root: Path, task: str) -> None:
    params = changed(load_params(root / "params.yaml"), {"train": {"objective": task}}, "test")
    space = load_space(None, params)
    assert "train.learning_rate" in space
    assert ("train.ranking.weight" in space) == (task == "joint")
    assert ("train.rating.unseen_rate" in space) == (task != "ranking")


def test_what_the_model_would_ignore_is_not_drawn(run: Run, quick: None) -> None:
    run("--trials", "8")
    kept = trials()
    assert {trial.state.name for trial in kept} == {"COMPLETE"}
    without = [trial for trial in kept if trial.user_attrs["values"][HIDDEN] == []]
    assert without
    assert {trial.user_attrs["values"]["models.wide_deep.dropout"] for trial in without} == {0}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("train.learning_rat: {low: 0.1, high: 1}", "is not a parameter of wide_deep or its training. Did you mean"),
        ("models.dot.members: {low: 1, high: 2}", "models.dot.members is not a parameter of wide_deep"),
        ("models.wide_deep.dropout: {low: 0, high: 1.5}", "dropout: must be less than 1. Got 1.5 instead."),
        ("train.epochs: {choices: [0, 2]}", "epochs: must be greater than or equal to 1. Got 0 instead."),
        ("models.wide_deep.activation: {choices: [relu, rely]}", "Got 'rely' instead."),
        ("models.wide_deep.dropout: {low: 0.5, high: 0.1}", "dropout: low must not be above high."),
        ("models.wide_deep.dropout: {low: 0, high: 0.5, log: true}", "and above 0 because log is true"),
        ("models.wide_deep.dropout: {low: 0.3, high: 0.5}", "dropout must include 0.2, its value in params.yaml"),
        ("models.wide_deep.hidden: {choices: [[4]]}", "hidden must include (8,)"),
        ("models.wide_deep.hidden: {low: 1, high: 2}", "hidden: must be a list"),
        ("models.wide_deep.time: {low: 0, high: 1}", "time: must be true or false. Got 0 instead."),
        ("models.wide_deep.dropout: [0.1, 0.2]", "dropout must be {low: , high: }, optionally with log: true"),
        ("models.wide_deep.dropout: {choices: []}", "Got {'choices': []} instead."),
        ("models.wide_deep.dropout: {low: 0, high: 0.5, tasks: [rank]}", "tasks must be a list of rating, ranking"),
        ("models.wide_deep.dropout: {low: 0, high: 0.5, when: x}", "when must name an earlier parameter"),
        ("train.objective: {choices: [rating]}", "objective must stay the same in all trials"),
        ("train.ranking.positive_rating: {choices: [null, 3]}", "positive_rating must stay the same in all trials"),
    ],
)
def test_mistake_in_an_entry_of_the_space(run: Run, entry: str, message: str) -> None:
    Path("space.yaml").write_text(f"{entry}", encoding="utf-8")
    printed = run(status=2)
    assert printed.startswith(f"error: space.yaml: {entry.partition(':')[0]}")
    assert message in printed
    assert not Path("tuning.db").exists()


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("common: [", "is not valid YAML"),
        ("train.epochs", "must hold sections with keys. Got str instead."),
        ("models.wide_deep.dropout: {low: 0, high: 0.5, tasks: [ranking]}", "no parameter for the objective rating"),
    ],
)
def test_space_of_another_form(run: Run, space: str, message: str) -> None:
    Path("space.yaml").write_text(space, encoding="utf-8")
    printed = run(status=2)
    assert printed.startswith("error: space.yaml")
    assert message in printed


def test_space_that_is_not_there(run: Run) -> None:
    Path("space.yaml").unlink()
    assert "error: space.yaml does not exist" in run(status=2)


def test_validation_rows_are_needed(run: Run, featurize: Callable[..., FeatureTables], ratings: pd.DataFrame) -> None:
    without = ratings.assign(split=ratings["split"].replace("validation", "train"))
    written(featurize(ratings=without), Path("data/features"))
    assert "Set preprocess.validation_fraction above 0" in run(status=2)


def test_store_of_something_else_is_left_alone(run: Run) -> None:
    Path("tuning.db").write_text("mine")
    assert "--store must name a store of Optuna or a new file. tuning.db:" in run(status=2)
    assert Path("tuning.db").read_text() == "mine"


def test_first_trial_that_cannot_train_ends_the_search(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*arguments: Any) -> Fit:
        raise UserError("train.accelerator: gpu is not available")

    monkeypatch.setattr(objective, "fit", fit)
    assert "error: train.accelerator: gpu is not available" in run(status=2)
    assert [trial.state.name for trial in trials()] == ["FAIL"]


MODELS = """\
# How to read this.

bias: {}
# Found long ago.
item_knn:
  models:
    item_knn: {neighbours: 3, shrinkage: 5}
# Of another model.
ease: {train: {objective: ranking}, models: {ease: {l2: 2, positive_rating: 3}}}
"""


@pytest.fixture
def models(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a models.yaml and a search space for it."""
    path = here / "models.yaml"
    path.write_text(MODELS, encoding="utf-8")
    monkeypatch.setattr(search, "MODELS", path)
    return path


EASE = {
    POSITIVE: {"choices": [None, 2, 3, 4]},
    "models.ease.l2": {"low": 1, "high": 9},
}


def write_space(space: dict[str, Any]) -> None:
    Path("space.yaml").write_text(yaml.safe_dump(space), encoding="utf-8")


def test_search_for_a_model_starts_from_its_values_and_puts_better_ones_in_their_place(run: Run, models: Path) -> None:
    write_space({"models.item_knn.neighbours": {"low": 1, "high": 20}})
    printed = run("--model", "item_knn", "--trials", "6", "--write")
    assert lines(printed)[0].endswith("neighbours=3")
    kept = trials()
    best = min(kept, key=lambda trial: trial.value or 0)
    assert (best.value or 0) <= (kept[0].value or 0)
    neighbours = best.user_attrs["values"]["models.item_knn.neighbours"]
    found = f"validation_rmse {best.value:.4f}, best of 6 trials{'' if best.number else ', the first'}"
    assert models.read_text(encoding="utf-8") == MODELS.replace(
        "# Found long ago.\nitem_knn:\n  models:\n    item_knn: {neighbours: 3, shrinkage: 5}\n",
        f"# {found}\nitem_knn:\n  models:\n    item_knn: {{neighbours: {neighbours}, shrinkage: 5}}\n",
    )
    knobs = f"-S models.item_knn.neighbours={neighbours} -S models.item_knn.shrinkage=5"
    assert f"dvc exp run -S 'train.model=\"item_knn\"' {knobs}\n" in printed


def test_ease_is_judged_by_the_relevant_rows_whatever_it_takes_for_a_positive(run: Run, models: Path) -> None:
    write_space(EASE)
    run("--model", "ease", "--trials", "8")
    features = load_features("data/features", "train", "validation")
    params = changed(load_params("params.yaml"), {"train": {"ranking": {"positive_rating": 4}}}, "test")
    for trial in trials():
        values = trial.user_attrs["values"]
        model = Ease(features.spec, EaseConfig(l2=values["models.ease.l2"], positive_rating=values[POSITIVE]))
        model.fit(features)
        # On the scale from 0.5 to 5, rows with a rating of at least 4 are relevant.
        found = ndcgs(features, model, params.train)[0].mean()
        assert trial.value == pytest.approx(-found, abs=1e-6)
    assert len({trial.user_attrs["values"][POSITIVE] for trial in trials()}) > 1


def test_another_relevance_is_another_search(run: Run, models: Path) -> None:
    write_space(EASE)
    run("--model", "ease", "--trials", "1")
    other = merged(yaml.safe_load(Path("params.yaml").read_text()), {"evaluate": {"relevant_rating": 2}})
    Path("params.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    assert "0 of 1 trials" in run("--model", "ease", "--trials", "1")


@pytest.mark.usefixtures("models")
def test_model_without_a_space_has_nothing_to_search(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--model", "bias"]) == 2
    assert "the search space of bias has no parameter for the objective rating" in capsys.readouterr().err


@pytest.mark.parametrize("model", ["bias", "ease", "dot"])
@pytest.mark.parametrize("end", ["", "\n"])
def test_values_of_the_first_the_last_and_a_new_model(tmp_path: Path, model: str, end: str) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(MODELS.rstrip() + end, encoding="utf-8")
    values = {"train": {"learning_rate": 0.002, "optimizer": "adamw"}, "models": {model: {"hidden": [8, 4], "size": 3}}}
    for found in ("first", "second"):
        save_model(path, model, values, found)
    text = path.read_text(encoding="utf-8")
    assert yaml.safe_load(text) == yaml.safe_load(MODELS) | {model: values}
    assert text.startswith("# How to read this.\n\n")
    assert f"\n# second\n{model}:" in text
    assert "# first" not in text


@pytest.mark.parametrize("model", [*NETWORKS, *BASELINES])
def test_every_shipped_value_of_a_model_is_in_its_shipped_space(root: Path, model: str) -> None:
    path = root / "studies/comparison/models.yaml"
    params = with_model(load_params(root / "params.yaml"), path, model)
    values = dotted(yaml.safe_load(path.read_text(encoding="utf-8"))[model])
    if values or ENTRIES[model].search:
        fixed = {"train.objective", "train.ranking.positive_rating"}
        assert values.keys() - fixed <= load_space(None, params).keys()


def test_data_set_without_presets_is_named_by_those_that_have_some(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["presets", "csv", "random", "rating"]) == 2
    assert "Data sets with presets: ml-100k, ml-1m" in capsys.readouterr().err
