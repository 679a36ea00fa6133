"""PyTorch under autolog: what Lightning trains is found, registered, loaded again by alias."""

import lightning
import mlflow
import mlflow.pytorch
import numpy as np
import torch
from mlflow import MlflowClient
from refusing import fresh

client = MlflowClient()
EXPERIMENT = mlflow.set_experiment(fresh("nets")).experiment_id
X = torch.tensor(np.random.default_rng(7).normal(size=(96, 4)), dtype=torch.float32)
Y = (X[:, 0] > X[:, 1]).float()


class Net(lightning.LightningModule):
    def __init__(self, lr=0.5):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def forward(self, x):
        return self.layer(x)[:, 0]

    def training_step(self, batch, _):
        x, y = batch
        loss = torch.nn.functional.binary_cross_entropy_with_logits(self(x), y)
        self.log("loss", loss, on_epoch=True)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.lr)


def check_pytorch_is_logged_and_its_model_used():
    mlflow.pytorch.autolog()
    lightning.seed_everything(7)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=32)
    trainer = lightning.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    net = Net()
    with mlflow.start_run() as started:
        trainer.fit(net, loader)
    run = client.get_run(started.info.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer_name"] == "SGD"
    assert float(run.data.params["lr"]) == 0.5
    history = client.get_metric_history(run.info.run_id, "loss_epoch")
    assert [one.step for one in history] == [0, 1, 2, 3]
    assert history[-1].value < history[0].value, "it learns"
    name = fresh("net")
    version = mlflow.register_model(f"runs:/{run.info.run_id}/model", name).version
    client.set_registered_model_alias(name, "champion", version)
    loaded = mlflow.pytorch.load_model(f"models:/{name}@champion")
    net.eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(X), net(X))
