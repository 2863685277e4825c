"""The record of a run in MLflow: parameters, curves, final metrics, the commit, hashes of the data and the model.

Training comes before the commit of its results: the commit of a run is the one that was checked out, and `dirty` says
whether files differed from it. What ties a run to the commit that holds its results is the model. The tag `model_md5`
is what dvc.lock of that commit has for the folder of the model; `widedeep history --csv` and the drift page show it.

MLflow is a witness here, never a judge: whatever fails in it is reported in one line, and the pipeline goes on.
"""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from widedeep.files import dvc_md5, sha256

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

EXPERIMENT = "widedeep"
MODEL_HASH = "model_sha256"
MODEL_LOCK = "model_md5"
FEATURES_HASH = "features_sha256"


class Tracker:
    """One training run. Without a working store every method does nothing, after one warning."""

    def __init__(self, params: Mapping[str, object], features: Path) -> None:
        self.run_id: str | None = None
        with _never_fatal():
            from mlflow.entities import Param

            self.client = _client()
            experiment = self.client.get_experiment_by_name(EXPERIMENT)
            experiment_id = experiment.experiment_id if experiment else self.client.create_experiment(EXPERIMENT)
            tags = {FEATURES_HASH: sha256(features), **_commit()}
            run_id = self.client.create_run(experiment_id, tags=tags).info.run_id
            self.client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])
            self.run_id = run_id

    def log(self, row: Mapping[str, float]) -> None:
        """Log one epoch: its metrics at step row["epoch"]."""
        if self.run_id is None:
            return
        run_id = self.run_id
        self.run_id = None  # a store that fails once is left alone
        with _never_fatal():
            measured = {name: value for name, value in row.items() if name != "epoch"}
            self.client.log_batch(run_id, _metrics(measured, int(row["epoch"])))
            self.run_id = run_id

    def finish(self, model: Path) -> None:
        """Close the run and tag it with the hash of its weights, the file `model`, by which `log_metrics` finds it, and
        with the hash that DVC has of their folder."""
        if self.run_id is not None:
            with _never_fatal():
                self.client.set_tag(self.run_id, MODEL_HASH, sha256(model))
                self.client.set_tag(self.run_id, MODEL_LOCK, dvc_md5(model.parent))
                self.client.set_terminated(self.run_id)


def log_metrics(model: Path, metrics: Mapping[str, float]) -> None:
    """Add final metrics to the newest run that made the weights in the file `model`, if there is one."""
    with _never_fatal():
        client = _client()
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return
        query = f"tags.{MODEL_HASH} = '{sha256(model)}'"
        for run in client.search_runs([experiment.experiment_id], query, max_results=1):
            client.log_batch(run.info.run_id, _metrics(metrics))


def _metrics(values: Mapping[str, float], step: int = 0) -> "list[Metric]":
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(name, value, now, step) for name, value in values.items()]


def _client() -> "MlflowClient":
    from mlflow.tracking import MlflowClient  # takes a second to import

    # A server that does not answer would hold up every call for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is told in one line of ours
    # `dvc exp run --temp` works in a copy that is thrown away; DVC names the original in DVC_ROOT.
    local = f"sqlite:///{Path(os.environ.get('DVC_ROOT', '.')).resolve()}/mlflow.db"
    return MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or local)


def _commit() -> dict[str, str]:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"mlflow.source.git.commit": git("rev-parse", "HEAD"), "dirty": str(bool(git("status", "--porcelain")))}
    except (OSError, subprocess.CalledProcessError):
        return {}  # not a git checkout


@contextmanager
def _never_fatal() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"warning: MLflow did not record this: {reason}", file=sys.stderr)
