"""The same training, written by hand and by other libraries: MLP 128-64, dropout 0.1, AdamW, batch 256.

Each rival takes prepared data and a number of epochs, trains on data.train and measures loss and accuracy of data.valid
after every epoch. Libraries come with `pip install "nnlab[bench]"`; those that are absent are named and left out.
"""

import importlib.util
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from nnlab.core.data.prepare import Prepared

BATCH, CLASSES, WIDTHS, DROPOUT, LR, DECAY = 256, 3, (128, 64), 0.1, 1e-3, 0.01
Told = Callable[[int, float], None]  # hears each epoch and its validation loss; what it raises ends the loop
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Rival:
    """needs: the module that must be installed, if any."""

    name: str
    fit: Callable[[Prepared, int], None]
    needs: str = ""

    @property
    def there(self) -> bool:
        return not self.needs or importlib.util.find_spec(self.needs) is not None


def network(features: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in WIDTHS:
        layers += [nn.Linear(features, width), nn.ReLU(), nn.Dropout(DROPOUT)]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, CLASSES))


def arrays_of(data: Prepared) -> Arrays:
    return data.train.x, data.train.y, data.valid.x, data.valid.y


def loaders(data: Prepared) -> tuple[Any, Any]:
    from torch.utils.data import DataLoader, TensorDataset

    x, y, xv, yv = map(torch.from_numpy, arrays_of(data))
    return DataLoader(TensorDataset(x, y), BATCH, shuffle=True), DataLoader(TensorDataset(xv, yv), BATCH)


def _silent(epoch: int, loss: float) -> None:
    """Nobody listens."""


def tight_loop(data: Prepared, epochs: int, told: Told = _silent) -> None:
    """What an expert writes by hand: tensors in memory, fused AdamW, no waiting inside an epoch."""
    x, y, xv, yv = map(torch.from_numpy, arrays_of(data))
    model = network(x.shape[1])
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY, fused=True)
    for epoch in range(1, epochs + 1):
        order, total = torch.randperm(len(y)), torch.zeros(())
        model.train()
        for start in range(0, len(y), BATCH):
            rows = order[start : start + BATCH]
            loss = F.cross_entropy(model(x.index_select(0, rows)), y.index_select(0, rows))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        model.eval()
        with torch.inference_mode():
            output = torch.cat([model(part) for part in xv.split(8192)])
            value, _ = F.cross_entropy(output, yv).item(), (output.argmax(1) == yv).float().mean().item()
            total.item()
        told(epoch, value)


def textbook_loop(data: Prepared, epochs: int, told: Told = _silent) -> None:
    """The DataLoader loop of the tutorials."""
    train, valid = loaders(data)
    model, criterion = network(data.train.x.shape[1]), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=DECAY)
    for epoch in range(1, epochs + 1):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
        model.eval()
        total, right = 0.0, 0
        with torch.no_grad():
            for xb, yb in valid:
                output = model(xb)
                total += criterion(output, yb).item() * len(yb)
                right += (output.argmax(1) == yb).sum().item()
        told(epoch, total / len(data.valid.y))


def with_skorch(data: Prepared, epochs: int) -> None:
    from skorch import NeuralNetClassifier
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    x, y, xv, yv = arrays_of(data)
    net = NeuralNetClassifier(
        network,
        module__features=x.shape[1],
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=LR,
        batch_size=BATCH,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=predefined_split(Dataset(xv, yv)),
        verbose=0,
    )
    net.fit(x, y)


def with_lightning(data: Prepared, epochs: int, barebones: bool = True) -> None:
    """barebones: without logging, checkpoints and progress bar, as its Trainer(barebones=True)."""
    import lightning

    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.right = network(data.train.x.shape[1]), 0

        def training_step(self, batch: Any, _: int) -> torch.Tensor:
            loss = F.cross_entropy(self.net(batch[0]), batch[1])
            if not barebones:
                self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, _: int) -> None:
            output = self.net(batch[0])
            loss, right = F.cross_entropy(output, batch[1]), (output.argmax(1) == batch[1])
            self.right += int(right.sum())
            if not barebones:
                self.log_dict({"valid_loss": loss, "accuracy": right.float().mean()})

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=LR)

    train, valid = loaders(data)
    more = {"barebones": True} if barebones else {"default_root_dir": os.environ.get("TMPDIR", "/tmp")}
    lightning.Trainer(max_epochs=epochs, accelerator="cpu", **more).fit(Module(), train, valid)


def with_fastai(data: Prepared, epochs: int) -> None:
    from fastai.metrics import accuracy
    from fastai.tabular.all import CategoryBlock, TabularPandas, tabular_config, tabular_learner

    learner = tabular_learner(
        _fastai_loaders(data, TabularPandas, CategoryBlock),
        layers=list(WIDTHS),
        metrics=accuracy,
        config=tabular_config(ps=DROPOUT, use_bn=False, bn_cont=False),
    )
    with learner.no_bar(), learner.no_logging():
        learner.fit(epochs, LR)


_made: dict[int, Any] = {}


def _fastai_loaders(data: Prepared, table: Any, block: Any) -> Any:
    """Its tables are made once: here only training is compared."""
    if id(data) not in _made:
        x, y, xv, yv = arrays_of(data)
        frame = pd.DataFrame(np.concatenate([x, xv]), columns=[f"c{i}" for i in range(x.shape[1])])
        parts = (list(range(len(y))), list(range(len(y), len(frame))))
        names = list(frame.columns)
        frame["y"] = np.concatenate([y, yv])
        made = table(frame, procs=[], cont_names=names, y_names="y", y_block=block(), splits=parts)
        _made[id(data)] = made.dataloaders(bs=BATCH, val_bs=BATCH, device="cpu")
    return _made[id(data)]


def with_keras(data: Prepared, epochs: int) -> None:
    import keras

    x, y, xv, yv = arrays_of(data)
    layers: list[Any] = [keras.Input((x.shape[1],))]
    for width in WIDTHS:
        layers += [keras.layers.Dense(width, activation="relu"), keras.layers.Dropout(DROPOUT)]
    model = keras.Sequential([*layers, keras.layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.AdamW(LR), loss=loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=BATCH, epochs=epochs, validation_data=(xv, yv), verbose=0, shuffle=True)


def with_sklearn(data: Prepared, epochs: int) -> None:
    """MLPClassifier: Adam, no dropout; validates by its own early stopping, on as many rows."""
    from sklearn.neural_network import MLPClassifier

    x, y, xv, yv = arrays_of(data)
    share = len(yv) / (len(y) + len(yv))
    model = MLPClassifier(WIDTHS, batch_size=BATCH, max_iter=epochs, learning_rate_init=LR, tol=0.0)
    model.set_params(early_stopping=True, validation_fraction=share, n_iter_no_change=10**6)
    model.fit(np.concatenate([x, xv]), np.concatenate([y, yv]))


RIVALS: Mapping[str, Rival] = {
    rival.name: rival
    for rival in (
        Rival("tight loop", tight_loop),
        Rival("textbook DataLoader loop", textbook_loop),
        Rival("scikit-learn MLP", with_sklearn),
        Rival("skorch", with_skorch, "skorch"),
        Rival("Lightning barebones", with_lightning, "lightning"),
        Rival("Lightning", lambda data, epochs: with_lightning(data, epochs, barebones=False), "lightning"),
        Rival("Keras (torch)", with_keras, "keras"),
        Rival("fastai", with_fastai, "fastai"),
    )
}
