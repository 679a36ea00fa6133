"""Real libraries train for real, and what they logged is on the platform."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import epochal_proto.v1 as pb
import pytest
from epochal.artifacts import ArtifactDoor
from epochal.client import Client
from epochal.values import from_value
from epochal_proto.v1.services import ArtifactService, RecordService, RunService
from platform_world import Platform

sys.path.insert(0, str(Path(__file__).parent))

from foreign_environments import NotInstallable
from library_environments import nets, surroundings, trees

HERE = Path(__file__).parent
Train = Callable[[str], pb.Run]
TrainWith = Callable[[str, Path], pb.Run]


@pytest.fixture
def train_with(platform: Platform, admin: Client, tmp_path: Path) -> TrainWith:
    def trained(name: str, python: Path) -> pb.Run:
        env = surroundings(
            EPOCHAL_URL=platform.url,
            EPOCHAL_TOKEN=platform.token,
            EPOCHAL_PROJECT="orgs/default/projects/main",
            EPOCHAL_SPOOL=str(tmp_path / "spool"),
            EPOCHAL_CONFIG=str(tmp_path / "none.json"),
            EPOCHAL_CAPTURE="0",
            EPOCHAL_SYSTEM_METRICS_S="0",
            EPOCHAL_QUIET="1",
            EPOCHAL_STRICT="1",
            HOME=str(tmp_path),
        )
        done = subprocess.run(
            [python, HERE / "trainings.py", name],
            cwd=tmp_path, env=env, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        run = done.stdout.strip().splitlines()[-1]
        return admin.call(RunService.GET_RUN, pb.GetRunRequest(name=run))

    return trained


@pytest.fixture
def train(train_with: TrainWith) -> Train:
    python = trees()
    return lambda name: train_with(name, python)


@pytest.fixture
def train_net(train_with: TrainWith) -> Train:
    try:
        python = nets()
    except NotInstallable as error:
        pytest.skip(f"no neural networks here: {error}")
    return lambda name: train_with(name, python)


def params(run: pb.Run) -> dict[str, object]:
    return {name: from_value(value) for name, value in run.params.items()}


def points(run: pb.Run) -> dict[str, int]:
    return {name: metric.points for name, metric in run.metrics.items()}


def records(admin: Client, run: pb.Run) -> dict[tuple[str, str], pb.Record]:
    request = pb.ListRecordsRequest(run=run.name, page_size=500)
    found = admin.call(RecordService.LIST_RECORDS, request).records
    return {(one.kind, one.series): one for one in found}


def files(admin: Client, run: pb.Run) -> set[str]:
    request = pb.ListArtifactsRequest(run=run.name, path_prefix="model/")
    return {one.path for one in admin.call(ArtifactService.LIST_ARTIFACTS, request).artifacts}


def test_xgboost_callback(train: Train, admin: Client) -> None:
    run = train("xgboost_callback")
    assert points(run) == {"train/logloss": 5}
    assert run.metrics["train/logloss"].last < run.metrics["train/logloss"].max
    assert params(run)["objective"] == "binary:logistic"
    assert params(run)["max_depth"] == "3"
    assert files(admin, run) == {"model/model/model.ubj"}
    assert ("table", "feature_importance") in records(admin, run)


def test_xgboost_autolog_before_its_import_and_off_again(train: Train, admin: Client) -> None:
    run = train("xgboost_autolog")
    assert points(run) == {"validation_0/logloss": 4}
    assert files(admin, run) == set()


def test_lightgbm_callback(train: Train) -> None:
    run = train("lightgbm_callback")
    assert points(run) == {"train/binary_logloss": 5}
    assert params(run)["num_leaves"] == 4


def test_lightgbm_autolog_after_its_import(train: Train, admin: Client) -> None:
    run = train("lightgbm_autolog")
    assert points(run) == {"training/binary_logloss": 4}
    assert files(admin, run) == {"model/model/model.txt"}
    assert ("table", "feature_importance") in records(admin, run)
    # What its classifier fits inside is no training of its own.
    assert "estimator_class" not in params(run)


def test_sklearn_autolog_logs_the_outermost_fit(train: Train, admin: Client) -> None:
    run = train("sklearn_autolog")
    assert params(run)["estimator_class"] == "GridSearchCV"
    assert params(run)["best.logisticregression__C"] in (0.1, 1.0)
    assert points(run)["training/score"] == 1
    assert run.metrics["training/f1_weighted"].last > 0.8
    assert run.metrics["best_cv_score"].last > 0.8
    assert records(admin, run)["table", "cv_results"].table.rows == 2
    assert files(admin, run) == {"model/model/model.joblib", "model/model/model.json"}


def test_a_fit_outside_of_a_run_begins_and_ends_one(train: Train) -> None:
    run = train("sklearn_outside_of_a_run")
    assert run.status == pb.RUN_STATUS_SUCCEEDED
    assert params(run)["estimator_class"] == "LinearRegression"
    assert run.metrics["training/score"].last > 0.99


def test_frames_and_figures_of_real_libraries(train: Train, admin: Client) -> None:
    run = train("frames_and_figures")
    found = records(admin, run)
    for name in ("rows", "pandas", "polars", "arrow"):
        summary = found["table", name].table
        assert (summary.format, summary.rows, summary.columns) == ("parquet", 2, ["a", "b"])
    for name, size in {"pil": (6, 4), "own": (3, 4), "mpl": (100, 50)}.items():
        image = found["image", name].image
        assert (image.width, image.height) == size
    libraries = {name: one.chart.library for (kind, name), one in found.items() if kind == "chart"}
    assert libraries == {"plotly": "plotly", "altair": "vega", "bokeh": "bokeh"}
    door = ArtifactDoor(admin)
    assert b'"data"' in door.read_record(run.name, found["chart", "plotly"])
    door.close()


def test_event_files_of_tensorboardx(train: Train, admin: Client) -> None:
    run = train("tensorboard_files")
    assert points(run) == {"train/loss": 50}
    assert run.metrics["train/loss"].last == pytest.approx(1 / 50)
    logged = records(admin, run).items()
    found = {(kind, name.partition("/text")[0]): one for (kind, name), one in logged}
    assert sum(found["histogram", "train/weights"].histogram.counts) == 480
    image = found["image", "train/sample"]
    assert (image.image.width, image.image.height, image.step) == (6, 4, 4)
    assert found["text", "train/note"].text.excerpt == "hello"


def test_keras_callback_keeps_the_best_model(train_net: Train, admin: Client) -> None:
    run = train_net("keras_callback")
    shown = points(run)
    assert {shown[name] for name in ("loss", "val_loss", "accuracy")} == {3}
    assert shown["batch/loss"] == 4  # of 3 epochs of 3 batches every second
    assert params(run)["optimizer.name"] == "adam"
    assert files(admin, run) == {"model/model/model.keras"}


def test_keras_autolog(train_net: Train) -> None:
    assert points(train_net("keras_autolog")) == {"loss": 2}


def test_lightning_callback_keeps_the_best_checkpoint(train_net: Train, admin: Client) -> None:
    run = train_net("lightning_callback")
    assert points(run)["loss_step"] == 4
    assert points(run)["epoch/val_loss"] == 2
    assert params(run)["lr"] == 0.1
    (checkpoint,) = files(admin, run)
    assert checkpoint.endswith(".ckpt")


def test_lightning_autolog(train_net: Train) -> None:
    assert points(train_net("lightning_autolog"))["epoch/loss_epoch"] == 2


def test_transformers_callback_keeps_the_model(train_net: Train, admin: Client) -> None:
    run = train_net("transformers_callback")
    assert (points(run)["train/loss"], points(run)["eval/loss"]) == (4, 2)
    assert params(run)["model.hidden_size"] == 8
    assert "model/model/config.json" in files(admin, run)


def test_transformers_autolog(train_net: Train) -> None:
    assert points(train_net("transformers_autolog"))["train/loss"] == 4
