"""A registered model answers in MLflow as the recommender does."""

from pathlib import Path

import pandas as pd
import pytest

from widedeep.cli import main
from widedeep.errors import UserError
from widedeep.files import sha256
from widedeep.register import register
from widedeep.serving.pyfunc import ListMaker
from widedeep.serving.recommender import Recommender
from widedeep.tracking import MODEL_HASH


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)  # MLflow puts the files of models there
    return uri


@pytest.mark.slow
def test_mlflow_gives_the_lists_of_the_recommender(
    folder: Path, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    assert main(["register", str(folder), "--name", "lists"]) == 0
    assert "models:/lists/1" in capsys.readouterr().out
    assert main(["register", str(folder), "--name", "lists"]) == 0
    loaded = mlflow.pyfunc.load_model("models:/lists/2")
    recommender = Recommender.load(folder)
    found = loaded.predict(pd.DataFrame({"user_id": ["2", "1"], "n": [3, 3]}))
    pd.testing.assert_frame_equal(found, recommender.recommend_many(["2", "1"], 3))
    numbers = loaded.predict(pd.DataFrame({"user_id": [2]}))
    pd.testing.assert_frame_equal(numbers, recommender.recommend_many(["2"], 10))
    # Both versions belong to one run, which names the weights.
    client = mlflow.MlflowClient(store)
    (run,) = {client.get_model_version("lists", number).run_id for number in ("1", "2")}
    assert run is not None
    assert client.get_run(run).data.tags[MODEL_HASH] == sha256(folder / "model.safetensors")


def test_each_row_may_have_its_own_length(folder: Path) -> None:
    recommender = Recommender.load(folder)
    frame = pd.DataFrame({"user_id": ["1", "2", "1"], "n": [2, None, 3]})
    found = ListMaker(recommender).predict(frame)
    parts = [recommender.recommend_many([user], n) for user, n in (("1", 2), ("2", 10), ("1", 3))]
    pd.testing.assert_frame_equal(found, pd.concat(parts, ignore_index=True))
    assert ListMaker(recommender).predict(frame[:0]).empty


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (pd.DataFrame({"item_id": ["1"]}), "column user_id"),
        (pd.DataFrame({"user_id": ["nobody"]}), "nobody"),
        (pd.DataFrame({"user_id": ["1"], "n": [0]}), "n must be"),
        (pd.DataFrame({"user_id": ["1"], "n": [1.5]}), "n must be"),
    ],
)
def test_a_mistake_in_the_input_is_named(folder: Path, frame: pd.DataFrame, told: str) -> None:
    with pytest.raises(UserError, match=told):
        ListMaker(Recommender.load(folder)).predict(frame)


@pytest.mark.slow
def test_a_failure_of_mlflow_is_an_error_of_one_line(
    folder: Path, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", str(folder), "--name", "a/b"]) == 2
    assert "MLflow did not register" in capsys.readouterr().err
    (tmp_path / "file").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")
    assert main(["register", str(folder)]) == 2
    assert "MLflow did not register" in capsys.readouterr().err


def test_a_folder_without_a_model_is_an_error_of_one_line(
    tmp_path: Path, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", str(tmp_path)]) == 2
    assert "holds no model" in capsys.readouterr().err


@pytest.mark.parametrize(
    "store", ["http://user:s3cret@127.0.0.1:9", "user:s3cret@host", "postgresql://user:s3cret@h/x"]
)
def test_store_that_fails_is_told_in_one_line_without_its_password(
    store: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 0)  # it would try a database for 100 seconds
    with pytest.raises(UserError, match=r"^MLflow did not register [^\n]+$") as error:
        register(folder, "lists", "widedeep")
    assert "cret" not in str(error.value)
