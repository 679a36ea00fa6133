"""What people do with scikit-learn and MLflow: fit under autolog, find, register, load again."""

import mlflow
import mlflow.sklearn
from mlflow import MlflowClient
from refusing import fresh
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

client = MlflowClient()
X, Y = load_iris(return_X_y=True, as_frame=True)
EXPERIMENT = mlflow.set_experiment(fresh("autolog")).experiment_id
mlflow.sklearn.autolog()
with mlflow.start_run() as RUN:
    MODEL = LogisticRegression(max_iter=200).fit(X, Y)
    MODEL.score(X, Y)
FOUND = client.get_run(RUN.info.run_id)


def same(loaded):
    """Assert that a model that was loaded answers as the one that was fitted."""
    assert (loaded.predict(X) == MODEL.predict(X)).all()


def check_a_fit_is_a_run_with_all_it_was_made_of():
    assert FOUND.info.status == "FINISHED"
    assert FOUND.data.params["max_iter"] == "200"
    assert FOUND.data.metrics["training_accuracy_score"] > 0.9
    assert FOUND.data.metrics["LogisticRegression_score_X"] > 0.9
    assert FOUND.data.tags["estimator_name"] == "LogisticRegression"
    (used,) = FOUND.inputs.dataset_inputs
    assert used.dataset.source_type == "code"
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "train")]


def check_the_model_it_logged_is_loaded_by_run_and_by_id():
    (made,) = FOUND.outputs.model_outputs
    (model,) = mlflow.search_logged_models([EXPERIMENT], output_format="list")
    assert (model.model_id, model.source_run_id) == (made.model_id, RUN.info.run_id)
    assert str(model.status) == "READY"
    same(mlflow.sklearn.load_model(f"runs:/{RUN.info.run_id}/model"))
    same(mlflow.pyfunc.load_model(model.model_uri))
    assert "model/MLmodel" in [one.path for one in client.list_artifacts(RUN.info.run_id, "model")]


def check_it_is_registered_and_loaded_by_alias():
    name = fresh("iris")
    version = mlflow.register_model(f"runs:/{RUN.info.run_id}/model", name).version
    client.set_registered_model_alias(name, "champion", version)
    same(mlflow.pyfunc.load_model(f"models:/{name}@champion"))
    same(mlflow.sklearn.load_model(f"models:/{name}/{version}"))


def check_runs_come_as_a_table():
    table = mlflow.search_runs([EXPERIMENT], "metrics.training_accuracy_score > 0.5")
    assert list(table.run_id) == [RUN.info.run_id]
    assert table["params.max_iter"][0] == "200"
