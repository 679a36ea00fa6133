"""XGBoost and LightGBM under autolog: found, registered, loaded again by alias, predicting."""

import lightgbm
import mlflow
import mlflow.lightgbm
import mlflow.xgboost
import numpy as np
import xgboost
from mlflow import MlflowClient
from refusing import fresh
from sklearn.datasets import load_iris

client = MlflowClient()
X, Y = load_iris(return_X_y=True, as_frame=True)
Y = (Y == 1).astype(int)
EXPERIMENT = mlflow.set_experiment(fresh("boosted")).experiment_id


def boosted_by_xgboost():
    mlflow.xgboost.autolog()
    data = xgboost.DMatrix(X, Y)
    with mlflow.start_run() as run:
        model = xgboost.train(
            {"objective": "binary:logistic", "max_depth": 2, "eval_metric": "logloss"},
            data,
            num_boost_round=4,
            evals=[(data, "train")],
        )
    return run.info.run_id, model.predict(data)


def boosted_by_lightgbm():
    mlflow.lightgbm.autolog()
    data = lightgbm.Dataset(X, Y)
    with mlflow.start_run() as run:
        model = lightgbm.train(
            {"objective": "binary", "metric": "binary_logloss", "verbose": -1},
            data,
            num_boost_round=4,
            valid_sets=[data],
            valid_names=["train"],
        )
    return run.info.run_id, model.predict(X)


def assert_whole(run_id, predicted, param, value, metric):
    """Assert that a run has all that its training had, and its model is used by alias."""
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params[param] == value
    history = client.get_metric_history(run_id, metric)
    assert [one.step for one in history] == [0, 1, 2, 3]
    assert history[-1].value < history[0].value, "it learns"
    assert len(run.outputs.model_outputs) == 1
    contexts = {tag.value for one in run.inputs.dataset_inputs for tag in one.tags}
    assert "train" in contexts
    importance = [one.path for one in client.list_artifacts(run_id)]
    assert any(path.startswith("feature_importance") for path in importance), importance
    name = fresh("booster")
    version = mlflow.register_model(f"runs:/{run_id}/model", name).version
    client.set_registered_model_alias(name, "champion", version)
    loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    np.testing.assert_allclose(loaded.predict(X), predicted, rtol=1e-5)


def check_xgboost_is_logged_and_its_model_used():
    run_id, predicted = boosted_by_xgboost()
    assert_whole(run_id, predicted, "max_depth", "2", "train-logloss")


def check_lightgbm_is_logged_and_its_model_used():
    run_id, predicted = boosted_by_lightgbm()
    assert_whole(run_id, predicted, "objective", "binary", "train-binary_logloss")
