"""Record runs in MLflow: parameters, curves, final metrics, the commit, and hashes of features and model.

An experiment of MLflow has the name of a data set. A run has the name of its model, followed by that of the DVC
experiment or else by the commit.

A model is trained before its results are committed. So the commit of a run is the one that was checked out, and the tag
`dirty` says whether files differed from it. To find the commit that holds the results, use the tag `model_md5`: it
equals the hash of the model folder in dvc.lock of that commit. `widedeep history --csv` and the drift page show it.

A failure in MLflow is reported in one line, and the pipeline goes on.
"""

import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from widedeep.files import dvc_md5, sha256

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

COMMIT = "mlflow.source.git.commit"
MODEL_HASH = "model_sha256"
MODEL_LOCK = "model_md5"
FEATURES_HASH = "features_sha256"
# MLflow shows an experiment of this kind as a table of runs. Of an unknown kind it shows an empty table of traces.
OPENS_ON_RUNS = {"mlflow.experimentKind": "custom_model_development"}


class Tracker:
    """One training run. If the store of MLflow fails, there is one warning, and later calls do nothing."""

    def __init__(self, dataset: str, params: Mapping[str, object], features: Path) -> None:
        """Start a run.

        Parameters
        ----------
        dataset : name of the data set
        params : parameters of the training; `model` is the name of the model
        features : folder of the features
        """
        self.run_id: str | None = None
        with _never_fatal():
            from mlflow.entities import Param

            self.client = connect()
            experiment = self.client.get_experiment_by_name(dataset)
            if experiment:
                experiment_id = experiment.experiment_id
            else:
                experiment_id = self.client.create_experiment(dataset, tags=OPENS_ON_RUNS)
            tags = {FEATURES_HASH: sha256(features), **_commit()}
            version = os.environ.get("DVC_EXP_NAME") or tags.get(COMMIT, "")[:7]
            name = f"{params['model']} {version}".strip()
            run_id = self.client.create_run(experiment_id, tags=tags, run_name=name).info.run_id
            self.client.log_batch(run_id, params=[Param(name, str(value)) for name, value in params.items()])
            self.run_id = run_id

    def log(self, row: Mapping[str, float]) -> None:
        """Log the metrics of one epoch at step row["epoch"]."""
        if self.run_id is None:
            return
        run_id = self.run_id
        self.run_id = None  # stays None if the store fails, so that it is not tried again
        with _never_fatal():
            measured = {name: value for name, value in row.items() if name != "epoch"}
            self.client.log_batch(run_id, _metrics(measured, int(row["epoch"])))
            self.run_id = run_id

    def finish(self, model: Path) -> None:
        """Close the run and tag it with two hashes: of the file of weights `model`, and of its folder as DVC has it.

        `log_metrics` finds the run by the first, people find the commit of the model by the second.
        """
        if self.run_id is not None:
            with _never_fatal():
                self.client.set_tag(self.run_id, MODEL_HASH, sha256(model))
                self.client.set_tag(self.run_id, MODEL_LOCK, dvc_md5(model.parent))
                self.client.set_terminated(self.run_id)


def log_metrics(dataset: str, model: Path, metrics: Mapping[str, float]) -> None:
    """Add final metrics to the newest run that made the file of weights `model`. Without such a run, do nothing."""
    with _never_fatal():
        client = connect()
        experiment = client.get_experiment_by_name(dataset)
        if experiment is None:
            return
        query = f"tags.{MODEL_HASH} = '{sha256(model)}'"
        for run in client.search_runs([experiment.experiment_id], query, max_results=1):
            client.log_batch(run.info.run_id, _metrics(metrics))


def runs_page() -> str:
    """Return the path of MLflow's page with the table of runs to which the newest run belongs; "" without a run."""
    client = connect()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    newest = client.search_runs(experiments, order_by=["attributes.start_time DESC"], max_results=1)
    return f"#/experiments/{newest[0].info.experiment_id}/runs" if newest else ""


def _metrics(values: Mapping[str, float], step: int = 0) -> "list[Metric]":
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(name, value, now, step) for name, value in values.items()]


def connect() -> "MlflowClient":
    from mlflow.tracking import MlflowClient  # takes a second to import

    # Without these limits, a server that does not answer would block each call for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # `_never_fatal` prints one line about a failure
    # `dvc exp run --temp` works in a copy that is deleted afterwards. DVC_ROOT names the original folder.
    local = f"sqlite:///{Path(os.environ.get('DVC_ROOT', '.')).resolve()}/mlflow.db"
    return MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or local)


def _commit() -> dict[str, str]:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {COMMIT: git("rev-parse", "HEAD"), "dirty": str(bool(git("status", "--porcelain")))}
    except (OSError, subprocess.CalledProcessError):
        return {}  # not a git checkout


@contextmanager
def _never_fatal() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        print(f"warning: MLflow did not record this: {without_password(reason)}", file=sys.stderr)


def without_password(text: str) -> str:
    """Replace names and passwords in URLs, and the password of MLFLOW_TRACKING_URI wherever it stands."""
    account = re.sub(r"^[\w+.-]+://", "", os.environ.get("MLFLOW_TRACKING_URI", "").rpartition("@")[0])
    password = account.partition(":")[2]
    for secret in filter(None, (account and f"{account}@", password, unquote(password))):
        text = text.replace(secret, "***")
    return re.sub(r"(?<=://)[^\s/]*@", "***@", text)
