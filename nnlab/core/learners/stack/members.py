"""K networks of one shape that are trained side by side, each as it would be alone, to the same bits."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from nnlab.core.learners.stack.buffers import Flat, Groups
from nnlab.core.learners.stack.device_updates import RecordedUpdate
from nnlab.core.learners.stack.engine import Engine, Table
from nnlab.core.learners.stack.layers import turned
from nnlab.core.learners.stack.losses import Criterion
from nnlab.core.learners.stack.recording import Recorder
from nnlab.core.learners.stack.streams import Streams
from nnlab.core.learners.stack.translate import translated
from nnlab.core.learners.stack.updates import Update
from nnlab.core.registry import Part


class Members:
    """Networks, whose weights become views of one buffer, with what a step needs.

    groups: names of parameters, whether they decay, and a factor on the step size, or each member's. optimizer: a part
    with all values. seeds: of each member's dropout, which begins as 0. joint: each module has members, and its loss is
    their mean; of: as in `Flat`. recorder: what makes one call of the many of a step; on CUDA it is there by itself.
    """

    def __init__(  # noqa: PLR0913 (the parts of a training)
        self,
        networks: Sequence[nn.Module],
        groups: Groups,
        criterion: Criterion,
        table: Table,
        optimizer: Part,
        seeds: Sequence[int],
        joint: bool = False,
        recorder: type[Recorder] | None = None,
        of: int | None = None,
    ) -> None:
        self.networks = list(networks)
        self._given = (groups, criterion, table, optimizer)
        layers = translated(networks)
        with torch.no_grad():
            self.flat = Flat(networks, groups, joint, turned(layers), of)
        device, values = self.flat.values.device.type, dict(optimizer.values)
        self._kind = recorder or (Recorder if device == "cuda" else None)
        self._streams = Streams(seeds, device, recorded=self._kind is not None)
        made = self._kind(self._streams.generators) if self._kind is not None else None
        self._recorder, self._told = made, False
        self._engine = Engine(self.flat, layers, criterion, table, self._streams, made)
        self._update = Update(self.flat, optimizer.name, values)
        if made is not None:
            self._update = RecordedUpdate(self.flat, optimizer.name, values, made)

    def gradients(self, rows: Tensor) -> None:
        """The gradients of the mean loss. rows: (n,), the same for all members, or (K, n)."""
        self._engine.gradients(rows)

    def before_step(self) -> dict[str, Any]:
        """What `gradients` changes besides the gradients, as copies."""
        loss = self._engine.loss_state()
        copied = {name: total.clone() for name, total in loss["totals"].items()}
        return {
            "streams": self._streams.state(),
            "loss": loss | {"lost": loss["lost"].clone(), "totals": copied},
        }

    def begin_again(self, state: Mapping[str, Any]) -> None:
        """Go back there after a step that failed, all memory of steps given up."""
        self._engine.give_up_memory()
        self._engine.load_loss(state["loss"])
        self._streams.load_state(state["streams"])

    def update(self, lrs: Sequence[float]) -> None:
        """A step with these gradients and a step size for each member."""
        self._update.step(list(lrs))

    def train(self, batches: Sequence[Tensor], lrs: Sequence[Sequence[float]]) -> None:
        """Steps as by `gradients` and `update`, to the same bits, in few calls: rows and step sizes of each."""
        for _, steps in groupby(zip(batches, lrs, strict=True), lambda step: step[0].shape):
            some, own = zip(*steps, strict=True)
            if self._recorder is None and self._engine.train(some, own, self._update):
                continue
            for rows, rates in zip(some, own, strict=True):
                self.gradients(rows)
                self.update(rates)

    def outputs(self, x: Tensor) -> Tensor:
        """What the networks give for rows, without dropout: (n, features) or (K, n, features) -> (K, n, n_out)."""
        return self._engine.outputs(x)

    def take_loss(self) -> list[float]:
        """Each member's mean loss over the rows since the last call; nan if there were none."""
        return self._engine.take_loss()

    def take_notes(self) -> list[str]:
        """What the user should know of the recording of steps, once."""
        if self._recorder is None or self._told:
            return []
        self._told = bool(self._recorder.notes)
        return list(self._recorder.notes)

    @property
    def table(self) -> Table:
        """The training rows."""
        return self._given[2]

    @property
    def dropout(self) -> list[float]:
        """The share of each member, from the next step on."""
        return self._engine.dropout

    @dropout.setter
    def dropout(self, shares: Sequence[float]) -> None:
        self._engine.set_dropout(shares)

    @property
    def decays(self) -> list[float]:
        """The weight decay of each member, from the next step on."""
        return self._update.decays

    @decays.setter
    def decays(self, decays: Sequence[float]) -> None:
        self._update.decays = list(decays)

    @property
    def loss(self) -> dict[str, Any]:
        """The values of the loss, from the next step on."""
        return self._given[1].values

    @loss.setter
    def loss(self, values: dict[str, Any]) -> None:
        criterion = replace(self._given[1], values=values)
        self._given = (self._given[0], criterion, *self._given[2:])
        self._engine.set_criterion(criterion)

    def keep(self, chosen: Sequence[int], network: nn.Module | None = None) -> "Members":
        """Some of the members, which go on to the same bits as they would beside the others; these are given up.

        Losses since the last `take_loss` are forgotten. Of networks of their own, one in each module; or network:
        another module, that holds these of one alone.
        """
        networks = [self.networks[k] for k in chosen] if network is None else [network]
        seeds, (groups, *_) = [0] * len(chosen), self._given
        own = [(names, decays, _chosen(factor, chosen)) for names, decays, factor in groups]
        kept = Members(networks, own, *self._given[1:], seeds, self.flat.joint, self._kind, self.flat.mean_of)
        kept._update.take(self._update, chosen)
        states = self._streams.state()
        kept._streams.load_state([states[k] for k in chosen])
        kept.dropout = [self.dropout[k] for k in chosen]
        kept._told = self._told
        return kept

    def copy(self, source: int, target: int) -> None:
        """Weights, moments and running statistics of one member become another's; its dropout draws stay its own."""
        with torch.no_grad():
            for buffer in (self.flat.values, *self._update.moments):
                for name in self.flat.names:
                    held = self.flat.of(buffer, name)
                    held[target].copy_(held[source])
            buffers = (self.networks[at].buffers() for at in (source, target))
            for theirs, own in zip(*buffers, strict=True):
                own.copy_(theirs)

    def state(self) -> dict[str, Any]:
        """All but the weights that a resumed run needs; the tensors are the members' own, no copies."""
        return {
            "update": self._update.state(),
            "streams": self._streams.state(),
            "loss": self._engine.loss_state(),
            "dropout": self.dropout,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._update.load_state(state["update"])
        self._streams.load_state(state["streams"])
        self.dropout = state["dropout"]
        self._engine.load_loss(state["loss"])


def _chosen(factor: float | tuple[float, ...], chosen: Sequence[int]) -> float | tuple[float, ...]:
    """The factors of some members."""
    return factor if isinstance(factor, float) else tuple(factor[k] for k in chosen)
