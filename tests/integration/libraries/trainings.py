"""Small trainings of real libraries, run in an environment of their own: `trainings.py NAME`.

Each prints the name of the run it logged to, as its last line.
"""

import os
import sys
import tempfile
from pathlib import Path

import epochal
import numpy as np

SEED = np.random.default_rng(7)
X = SEED.normal(size=(120, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


def xgboost_callback():
    import xgboost
    from epochal.integrations.xgboost import EpochalCallback

    data = xgboost.DMatrix(X, Y)
    params = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.3}
    with epochal.init() as run:
        callback = EpochalCallback(log_model=True)
        xgboost.train(params, data, 5, evals=[(data, "train")], callbacks=[callback])
    return run.name


def xgboost_autolog():
    epochal.autolog()  # before the library is imported
    import xgboost

    with epochal.init() as run:
        model = xgboost.XGBClassifier(n_estimators=4, max_depth=2)
        model.fit(X, Y, eval_set=[(X, Y)], verbose=False)
        epochal.autolog(disable=True)
        xgboost.XGBClassifier(n_estimators=9).fit(X, Y, eval_set=[(X, Y)], verbose=False)
    return run.name


def lightgbm_callback():
    import lightgbm
    from epochal.integrations.lightgbm import EpochalCallback

    data = lightgbm.Dataset(X, Y)
    params = {"objective": "binary", "verbose": -1, "num_leaves": 4}
    with epochal.init() as run:
        valid = {"valid_sets": [data], "valid_names": ["train"]}
        lightgbm.train(params, data, 5, callbacks=[EpochalCallback()], **valid)
    return run.name


def lightgbm_autolog():
    import lightgbm

    epochal.autolog(log_models=True)  # after the library is imported
    with epochal.init() as run:
        model = lightgbm.LGBMClassifier(n_estimators=4, num_leaves=4, verbose=-1)
        model.fit(X, Y, eval_set=[(X, Y)])
    return run.name


def sklearn_autolog():
    epochal.autolog(log_models=True)
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with epochal.init() as run:
        pipeline = make_pipeline(StandardScaler(), LogisticRegression())
        GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(X, Y)
        epochal.autolog(disable=True)
        LogisticRegression(C=77).fit(X, Y)
    return run.name


def sklearn_outside_of_a_run():
    from sklearn.linear_model import LinearRegression

    told = []
    init = epochal.init
    import epochal.integrations.training as training

    training.init = lambda: told.append(init()) or told[-1]
    epochal.autolog()
    LinearRegression().fit(X, X[:, 0])
    return told[0].name


def keras_callback():
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    from epochal.integrations.keras import EpochalCallback

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    with epochal.init() as run:
        callback = EpochalCallback(log_model=True, monitor="val_loss", every_batches=2)
        model.fit(X, Y, epochs=3, validation_split=0.2, callbacks=[callback], verbose=0)
    return run.name


def keras_autolog():
    os.environ["KERAS_BACKEND"] = "torch"
    epochal.autolog()
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy")
    with epochal.init() as run:
        model.fit(X, Y, epochs=2, verbose=0)
        epochal.autolog(disable=True)
        model.fit(X, Y, epochs=5, verbose=0)
    return run.name


def module():
    import lightning
    import torch

    class Net(lightning.LightningModule):
        def __init__(self, lr=0.1):
            super().__init__()
            self.save_hyperparameters()
            self.layer = torch.nn.Linear(4, 1)

        def loss(self, batch):
            x, y = batch
            return torch.nn.functional.binary_cross_entropy_with_logits(self.layer(x)[:, 0], y)

        def training_step(self, batch, _):
            loss = self.loss(batch)
            self.log("loss", loss, on_step=True, on_epoch=True)
            return loss

        def validation_step(self, batch, _):
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), self.hparams.lr)

    pairs = torch.utils.data.TensorDataset(torch.tensor(X).float(), torch.tensor(Y).float())
    return Net(), torch.utils.data.DataLoader(pairs, batch_size=30)


def trainer(**more):
    import lightning

    return lightning.Trainer(
        max_epochs=2, log_every_n_steps=2, accelerator="cpu", logger=False,
        enable_progress_bar=False, enable_model_summary=False, **more,
    )  # fmt: skip


def lightning_callback():
    from epochal.integrations.lightning import EpochalCallback
    from lightning.pytorch.callbacks import ModelCheckpoint

    net, loader = module()
    with epochal.init() as run, tempfile.TemporaryDirectory() as folder:
        kept = ModelCheckpoint(folder, monitor="val_loss")
        trainer(callbacks=[EpochalCallback(log_model=True), kept]).fit(net, loader, loader)
    return run.name


def lightning_autolog():
    epochal.autolog()
    net, loader = module()
    with epochal.init() as run:
        trainer(enable_checkpointing=False).fit(net, loader)
    return run.name


def hugging_face():
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=8,
    )  # fmt: skip
    rows = [{"input_ids": [1, 2, n % 20], "labels": n % 2} for n in range(24)]
    folder = tempfile.mkdtemp()
    args = TrainingArguments(
        folder, num_train_epochs=2, per_device_train_batch_size=4, logging_steps=3,
        eval_strategy="epoch", save_strategy="no", report_to="none", use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    return Trainer(model=model, args=args, train_dataset=rows, eval_dataset=rows[:8])


def transformers_callback():
    from epochal.integrations.huggingface import EpochalCallback

    made = hugging_face()
    with epochal.init() as run:
        made.add_callback(EpochalCallback(log_model=True))
        made.train()
    return run.name


def transformers_autolog():
    epochal.autolog()
    made = hugging_face()
    with epochal.init() as run:
        made.train()
    return run.name


def frames_and_figures():
    import altair
    import pandas
    import plotly.graph_objects
    import polars
    import pyarrow
    from bokeh.plotting import figure
    from matplotlib.figure import Figure
    from PIL import Image

    with epochal.init() as run:
        rows = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
        run.log_table("rows", rows)
        run.log_dataframe("pandas", pandas.DataFrame(rows))
        run.log_dataframe("polars", polars.DataFrame(rows))
        run.log_table("arrow", pyarrow.Table.from_pylist(rows))
        run.log_image("pil", Image.new("RGB", (6, 4)))
        run.log_image("own", X[:4, :3])
        plot = Figure(figsize=(2, 1), dpi=50)
        plot.add_subplot().plot([1, 2], [3, 4])
        run.log_mpl_image("mpl", plot)
        run.log_plotly_chart("plotly", plotly.graph_objects.Figure(data=[{"y": [1, 2]}]))
        run.log_altair_chart("altair", altair.Chart(pandas.DataFrame(rows)).mark_bar())
        drawn = figure()
        drawn.line([1, 2], [3, 4])
        run.log_bokeh_chart("bokeh", drawn)
    return run.name


def tensorboard_files():
    from tensorboardX import SummaryWriter

    with tempfile.TemporaryDirectory() as folder, epochal.init() as run:
        run.follow_tensorboard(folder)
        with SummaryWriter(f"{folder}/train") as writer:
            for step in range(50):
                writer.add_scalar("loss", 1 / (step + 1), step)
            writer.add_histogram("weights", X, 3)
            writer.add_image("sample", np.zeros((3, 4, 6)), 4)
            writer.add_text("note", "hello", 5)
    return run.name


if __name__ == "__main__":
    os.chdir(tempfile.mkdtemp(dir=Path.cwd()))
    print(globals()[sys.argv[1]]())
