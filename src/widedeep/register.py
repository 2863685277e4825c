"""Put a trained model into the registry of MLflow, from which MLflow can load and serve it."""

from pathlib import Path
from warnings import catch_warnings, simplefilter

from widedeep.errors import UserError
from widedeep.files import sha256
from widedeep.models.files import WEIGHTS, read_about
from widedeep.tracking import MODEL_HASH, OPENS_ON_RUNS, connect, without_password

LOADER = "widedeep.serving.pyfunc"


def register(models: Path, name: str, package: str) -> int:
    """Register a model folder as the next version of `name`, and return the number of this version.

    The version belongs to the newest run that trained this model. Without such a run, one is made.

    Parameters
    ----------
    models : what stage train wrote
    name : name of the registered model
    package : requirement that brings the code, such as "widedeep==0.2.0"

    Raises
    ------
    UserError
        There is no model, or MLflow fails.
    """
    dataset = read_about(models).dataset
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, Schema
    from sqlalchemy.exc import SQLAlchemyError

    # A user's id may be text or a number.
    any_type = AnyType()  # type: ignore[no-untyped-call]
    schema = Schema([ColSpec(any_type, "user_id"), ColSpec(DataType.long, "n", required=False)])
    try:
        client = connect()
        mlflow.set_tracking_uri(client.tracking_uri)
        mlflow.set_registry_uri(client.tracking_uri)
        experiment = client.get_experiment_by_name(dataset)
        experiment_id = (
            experiment.experiment_id if experiment else client.create_experiment(dataset, tags=OPENS_ON_RUNS)
        )
        digest = sha256(models / WEIGHTS)
        runs = client.search_runs([experiment_id], f"tags.{MODEL_HASH} = '{digest}'", max_results=1)
        run_id = runs[0].info.run_id if runs else None
        with mlflow.start_run(run_id, experiment_id=experiment_id, tags={MODEL_HASH: digest}), catch_warnings():
            simplefilter("ignore")  # MLflow asks for an example of the input
            logged = mlflow.pyfunc.log_model(
                name="model",
                loader_module=LOADER,
                data_path=str(models),
                registered_model_name=name,
                signature=ModelSignature(schema),
                pip_requirements=[package],
            )
    # A store may need a driver, and one in a database may not answer.
    except (mlflow.exceptions.MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"MLflow did not register {models}: {without_password(reason)}") from None
    return int(logged.registered_model_version)
