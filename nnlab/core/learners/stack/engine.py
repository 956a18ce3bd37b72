"""One training step of K members: rows in, weights changed, in calls that are fixed for a batch size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nnlab.core.learners.stack.buffers import Flat, Room
from nnlab.core.learners.stack.compiled.program import Program, compiled
from nnlab.core.learners.stack.layers import Build, Layer, Port, are_odd, dropped
from nnlab.core.learners.stack.losses import Criterion, bind_loss
from nnlab.core.learners.stack.products import Call
from nnlab.core.learners.stack.recording import Recorder
from nnlab.core.learners.stack.streams import Masks, Streams
from nnlab.core.learners.stack.updates import Update

SIZES_KEPT = 4  # batch sizes whose calls are kept; an epoch has two
CHUNK = 1024  # rows at a time where nothing is learned: what they make stays in the cache
CHUNK_ON_DEVICE = 65_536  # a GPU has little to do with fewer


@dataclass(frozen=True, eq=False)
class Table:
    """The training rows on the device. weight: of rows, or None."""

    x: Tensor
    y: Tensor
    weight: Tensor | None


@dataclass(frozen=True, eq=False)
class Plan:
    """The calls of a step for one batch size. rows: numbers of those that it is on. total: sums of losses in parts."""

    rows: Tensor
    calls: Sequence[Call]
    total: Tensor
    masks: Masks | None


class Engine:
    """Networks of one shape, their gradients for batches of rows. dropout: the share of each member.

    recorder: makes one call of those of a step.
    """

    def __init__(
        self,
        flat: Flat,
        layers: Sequence[Layer],
        criterion: Criterion,
        table: Table,
        streams: Streams,
        recorder: Recorder | None = None,
    ) -> None:
        self._recorder = recorder
        self._flat, self._layers, self._criterion, self._table = flat, layers, criterion, table
        self._streams = streams
        self._room, self._checking = Room(flat.values), Room(flat.values)
        self._passes: dict[tuple[int, bool], tuple[Tensor, list[Call], Tensor]] = {}
        self._plans: dict[tuple[int, bool], Plan] = {}
        self._lost = torch.zeros(flat.members, dtype=torch.float64, device=flat.values.device)
        self.dropout = [0.0] * flat.members
        self._seen = 0
        self._waiting: dict[tuple[int, bool], Tensor] = {}  # totals of a resumed run, for plans that are not made yet

    def _apart(self, rows: int) -> bool:
        """As `Build` has it."""
        return self._flat.values.device.type == "cpu" and are_odd(self._layers, rows)

    def set_dropout(self, shares: Sequence[float]) -> None:
        """Other shares from the next step on."""
        before, self.dropout = self.dropout, list(shares)
        masks = [plan.masks for plan in self._plans.values() if plan.masks is not None]
        if any(before) and any(shares) and all(mask.shares is not None for mask in masks):
            for mask in masks:
                assert mask.shares is not None
                mask.shares.copy_(torch.tensor(shares, dtype=torch.float64))
        elif before != self.dropout:
            self._forget()

    def set_criterion(self, criterion: Criterion) -> None:
        """Another loss from the next step on; recorded steps are recorded anew."""
        self._criterion = criterion
        self._forget()

    def gradients(self, rows: Tensor) -> None:
        """The gradients of the mean loss. rows: (n,), the same for all members, or (K, n)."""
        plan = self._plan(rows)
        plan.rows.copy_(rows)
        for call in plan.calls:
            call()
        self._seen += rows.shape[-1]

    def train(self, batches: Sequence[Tensor], lrs: Sequence[Sequence[float]], update: Update) -> bool:
        """Steps with rows of one shape and step sizes of members for each in one call; whether it can be done."""
        plan = self._plan(batches[0])
        if len(plan.calls) != 1 or not isinstance(plan.calls[0], Program):
            return False
        done = update.train(plan.calls[0], plan.rows, batches, lrs)
        self._seen += plan.rows.shape[-1] * len(batches) if done else 0
        return done

    def outputs(self, x: Tensor) -> Tensor:
        """What the networks give for rows, without dropout: (n, features), or (K, n, features) where each member has
        its own -> (K, n, n_out)."""
        size = CHUNK if x.device.type == "cpu" else CHUNK_ON_DEVICE
        parts = [self._outputs_of(x[..., at : at + size, :]) for at in range(0, x.shape[-2], size)]
        return torch.cat(parts, 1)

    def _outputs_of(self, x: Tensor) -> Tensor:
        rows, shared = x.shape[-2], x.ndim == 2
        if (rows, shared) not in self._passes:
            self._checking.begin()
            build = Build(self._flat, self._checking, rows, training=False, apart=self._apart(rows))
            sets = 1 if shared else self._flat.members
            given = self._checking.take_members(sets, rows, x.shape[-1], apart=build.apart)
            port = self._bound(given.expand(self._flat.members, -1, -1), build)
            self._passes[rows, shared] = (given, compiled(build.forward), port.value.mT)
        given, calls, output = self._passes[rows, shared]
        given.copy_(x)
        for call in calls:
            call()
        return output.clone()

    def _bound(self, x: Tensor, build: Build) -> Port:
        port = Port(x, None, free=False)
        for layer in self._layers:
            port = layer.bind(port, build)
        return port

    def take_loss(self) -> list[float]:
        """Each member's mean loss over the rows since the last call; nan if there were none."""
        self._sum_up(self._waiting)
        self._waiting.clear()
        seen, lost = self._seen, self._lost.tolist()
        self._lost.zero_()
        self._seen = 0
        return [loss / seen if seen else float("nan") for loss in lost]

    def loss_state(self) -> dict[str, Any]:
        """The sums that the next mean will be of, as they are: summing them up here would change their last bits."""
        totals = {key: plan.total for key, plan in self._plans.items()}
        return {"lost": self._lost, "seen": self._seen, "totals": self._waiting | totals}

    def load_loss(self, state: Mapping[str, Any]) -> None:
        """Take them back."""
        self._plans.clear()
        self._lost.copy_(state["lost"])
        self._seen = state["seen"]
        self._waiting = {key: total.to(self._lost.device) for key, total in state["totals"].items()}

    def give_up_memory(self) -> None:
        """Forget what was made for batches of rows, and the losses since the last `take_loss`."""
        self._plans.clear()
        self._room = Room(self._flat.values)

    def _sum_up(self, waiting: Mapping[tuple[int, bool], Tensor] | None = None) -> None:
        """Add the totals of all plans, large batches first, whenever each of them was made."""
        totals = dict(waiting or {}) | {key: plan.total for key, plan in self._plans.items()}
        for key in sorted(totals, reverse=True):
            self._lost += torch.stack([own.sum(dtype=torch.float64) * key[0] for own in totals[key]])
            totals[key].zero_()

    def _forget(self) -> None:
        self._sum_up()
        self._plans.clear()

    def _plan(self, rows: Tensor) -> Plan:
        key = (rows.shape[-1], rows.ndim == 1)
        if key not in self._plans:
            if len(self._plans) == SIZES_KEPT:
                self._forget()
            self._room.begin()
            plan = self._built(*key)
            if self._room.grew:
                self._forget()  # their calls write into memory that is no longer shared
            if key in self._waiting:
                plan.total.copy_(self._waiting.pop(key))
            self._plans[key] = plan
        return self._plans[key]

    def _built(self, size: int, shared: bool) -> Plan:
        members, room, table = self._flat.members, self._room, self._table
        sets = 1 if shared else members
        apart = self._apart(size)
        x = room.take_members(sets, size, table.x.shape[1], apart=apart)
        y = room.take(sets * size, dtype=table.y.dtype)
        weight = None if table.weight is None else room.take(sets * size)
        build = Build(self._flat, room, size, apart=apart)
        start = list[Call]()
        count = size * dropped(self._layers)
        if count and any(self.dropout):
            build.masks = self._streams.masks(count, self.dropout, self._flat.values)
            start.append(build.masks.draw)
        port = self._bound(x.expand(members, -1, -1), build)
        rows_of = partial(torch.Tensor.view, size=(sets, 1, size))
        target, counted = rows_of(y), None if weight is None else rows_of(weight)
        loss, total = bind_loss(self._criterion, port, room, target, counted, self._flat.mean_of)
        backward = [call for layer in reversed(build.backward) for call in layer]
        chosen = torch.zeros((size,) if shared else (sets, size), dtype=torch.int64, device=x.device)
        gathers = _gathers(table, chosen, x, y, weight)
        calls = [*gathers, *start, *build.forward, *loss, *backward]
        calls = [self._recorder.record(calls)] if self._recorder is not None else compiled(calls)
        return Plan(chosen, calls, total, build.masks)


def _gathers(table: Table, rows: Tensor, x: Tensor, y: Tensor, weight: Tensor | None) -> list[Call]:
    """Calls that put rows of the table, (n,) or (K, n), into the buffers of a batch, x of which may lie in parts."""
    every = rows.view(-1)
    pairs = [(table.y, every, y)]
    if weight is not None:
        assert table.weight is not None
        pairs.append((table.weight, every, weight))
    if x.is_contiguous():
        pairs.append((table.x, every, x.view(len(every), -1)))
    else:
        pairs += [(table.x, own, out) for own, out in zip(rows.view(len(x), -1), x, strict=True)]
    return [partial(torch.index_select, source, 0, own, out=out) for source, own, out in pairs]
