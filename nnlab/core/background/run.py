"""The parent's side: a run that lives in another process, with the face of one that has ended."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import fields
from typing import IO, Any

from nnlab.core.background import wire
from nnlab.core.controls import Controls
from nnlab.core.errors import NNLabError, RunError
from nnlab.core.events import Event, Finished, Progress, Reason, Sink
from nnlab.core.record import Record
from nnlab.core.run import Run
from nnlab.core.spec import TrainSpec
from nnlab.core.store.facts import Facts

START = "import sys; sys.path[:] = {path!r}; from nnlab.core.background.worker import main; main()"
LAST_WORDS = 300  # characters of what a process said before it died
_alive: list["BackgroundRun"] = []  # at most one: two would share the cores, and both would be slower for it


class BackgroundRun(Run):
    """A run that goes on in a process of its own; when it is over, it is a Run like any other.

    Until then `state` is starting, running, paused or stopping; record, history and changes grow. controls: change,
    pause and stop it. wait: until it has ended.
    """

    def __init__(self, facts: Facts, spec: TrainSpec, work: Callable[..., Run]) -> None:
        self.facts, self.record, self.state = facts, Record(), "starting"
        self._spec, self._work = spec, work
        self._lock, self._over = threading.RLock(), threading.Event()
        self._watchers: list[Sink] = []
        self._later: list[Callable[[], None]] = []
        self._progress: Progress | None = None
        self.error: BaseException | None = None
        self.began = time.perf_counter()
        self.controls = RemoteControls(self._send)

    def __getattr__(self, name: str) -> Any:
        if name in {one.name for one in fields(Run)}:  # what only a run that has ended has
            if self.error is not None:
                raise RunError(f"run {self.label} has failed: {self.error}")
            raise RunError(f"run {self.label} is still training ({self.standing}); wait for it: run.wait()")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def label(self) -> str:
        """Its name, else its id."""
        return self.name or self.id

    @property
    def spec(self) -> TrainSpec:
        """What defines the run, but for the data."""
        return self._spec

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights the run would keep if it ended now."""
        return self.record.best_epoch

    @property
    def alive(self) -> bool:
        """Whether it goes on."""
        return not self._over.is_set()

    @property
    def ready(self) -> bool:
        """Whether it has ended with a result, as a Run has."""
        return not self.alive and self.error is None

    @property
    def standing(self) -> str:
        """How far it is, in a few words."""
        done, epochs = len(self.record.epochs), self._spec.epochs
        if self.state in ("starting", "paused", "stopping"):
            return f"{self.state}, {done} of {epochs} epochs done"
        return f"epoch {min(done + 1, epochs)} of {epochs}"

    def __repr__(self) -> str:
        if self.ready:
            return super().__repr__()
        named = f" {self.name!r}" if self.name else ""
        if self.error is not None:
            return f"Run {self.id}{named}: failed: {self.error}"
        values = "".join(f", {name} {value:.4g}" for name, value in self.metrics.items())
        best = f"; best epoch {self.best_epoch}{values}" if self.best_epoch else ""
        return f"Run {self.id}{named}: {self.spec.model} in the background, {self.standing}{best}"

    def wait(self, seconds: float | None = None) -> "BackgroundRun":
        """This run when it has ended; its error is raised. RunError after so many seconds. An interrupt ends the
        waiting, not the run."""
        if not self._over.wait(seconds):
            raise RunError(f"run {self.label} has not ended in {seconds:g} seconds: {self.standing}")
        if self.error is not None:
            raise self.error
        return self

    def stop(self) -> "BackgroundRun":
        """End it after this step with its best weights, and wait until it has ended."""
        self.controls.stop()
        return self.wait()

    def watch(self, sink: Sink) -> None:
        """Tell a sink what was told until now, and from now on each event, from another thread."""
        with self._lock:
            for event in self.record.events():
                sink(event)
            if self.alive:
                self._watchers.append(sink)

    def unwatch(self, sink: Sink) -> None:
        """Tell it no more."""
        with self._lock, contextlib.suppress(ValueError):
            self._watchers.remove(sink)

    def when_over(self, call: Callable[[], None]) -> None:
        """Call when the run has ended, from another thread; at once if it has."""
        with self._lock:
            if self.alive:
                self._later.append(call)
                return
        call()

    def begin(self, threads: int) -> None:
        """Start the process. The thread that listens to it prints into the cell that asked for the run."""
        parcel = wire.packed(wire.Parcel(self._work, threads, wire.own_entries(), wire.sources()))
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (it is closed when the process has ended)
        code = START.format(path=[os.path.abspath(place) for place in sys.path])
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            start_new_session=True,  # an interrupt of the kernel is meant for its cell
        )
        _alive.append(self)
        threading.Thread(target=copy_context().run, args=(self._listen, parcel), daemon=True).start()

    def _send(self, order: wire.Order) -> None:
        if order.method == "stop" and self.alive:
            self.state = "stopping"
        with self._lock, contextlib.suppress(OSError, ValueError):  # it has just ended
            assert self._process.stdin is not None
            self._process.stdin.write(wire.packed(order))
            self._process.stdin.flush()

    def _listen(self, parcel: bytes) -> None:
        assert self._process.stdout is not None and self._process.stdin is not None
        ended = None
        try:
            with self._lock, contextlib.suppress(OSError):
                self._process.stdin.write(parcel)
                self._process.stdin.flush()
            for data in wire.frames(self._process.stdout):  # type: ignore[arg-type]
                told = wire.unpacked(data)
                if isinstance(told, wire.Ended):
                    ended = told
                else:
                    self._take(told)
        except Exception as error:
            ended = wire.Ended(error=error)
        finally:
            self._end(ended)

    def _take(self, event: Event) -> None:
        with self._lock:
            self.record(event)
            if isinstance(event, Progress) and self.state != "stopping":
                self.state = "paused" if event.paused else "running"
            for sink in tuple(self._watchers):
                try:
                    sink(event)
                except Exception:  # who watches is no reason to lose a run
                    self._watchers.remove(sink)

    def _end(self, ended: wire.Ended | None) -> None:
        """Become the run that the process gave, or tell why there is none."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        code = self._process.wait()
        with self._lock:
            _alive.remove(self)
            self._watchers.clear()
            if ended is not None and ended.run is not None:
                self.__dict__.update(vars(ended.run))
            else:
                self.error = (ended and ended.error) or RunError(self._died(code))
                self.state = "failed"
                if self.record.finished is None:
                    done = self.record.epochs
                    seconds = sum(one.seconds for one in done)
                    self.record(Finished("failed", len(done), self.best_epoch, seconds, str(self.error)))
            self._words.close()
            self._over.set()
        for call in self._later:
            call()

    def _died(self, code: int) -> str:
        self._words.seek(0)
        words = self._words.read().decode("utf-8", "replace").strip()[-LAST_WORDS:]
        how = f"signal {-code}" if code < 0 else f"code {code}"
        last = f"; its last words: {words}" if words else ""
        return f"the process of run {self.label} ended ({how}); --resume {self.id} goes on from its checkpoint{last}"


class RemoteControls(Controls):
    """The controls of a run in another process: what is written here is sent there."""

    def __init__(self, send: Callable[[wire.Order], None]) -> None:
        super().__init__()
        self._send = send

    def set(self, name: str, value: float) -> None:
        """Change a value from the next step on."""
        super().set(name, value)
        self._changes.clear()
        self._send(wire.Order("set", (name, value)))

    def stop(self, reason: Reason = "stopped") -> None:
        """End the run after this step with its best weights."""
        super().stop(reason)
        self._send(wire.Order("stop", (reason,)))

    def pause(self, paused: bool = True) -> None:
        """Hold the run between two steps, or let it go on."""
        super().pause(paused)
        self._send(wire.Order("pause", (paused,)))

    def look_at(self, ground: Any) -> None:
        """Look at the network over a ground from now on; what is seen comes as `Looked`."""
        super().look_at(ground)
        self._send(wire.Order("look_at", (ground,)))

    def want_layers(self) -> None:
        """Look at its layers, once."""
        self._send(wire.Order("want_layers"))


def alive() -> BackgroundRun | None:
    """The run that goes on in the background of this process."""
    return _alive[0] if _alive else None


def begun(facts: Facts, spec: TrainSpec, work: Callable[..., Run], view: Sink | None = None) -> BackgroundRun:
    """Start a run in the background; RunError where one goes on already, or what it needs cannot travel.

    work: gets view and controls in the other process, gives the run; a view here gets the events of it.
    """
    import torch

    if (other := alive()) is not None:
        raise RunError(
            f"run {other.label} trains in the background ({other.standing}), one at a time: "
            "wait for it (run.wait()), or stop it (%nn_stop, run.stop())"
        )
    run = BackgroundRun(facts, spec, work)
    if view is not None:
        run.watch(view)
    try:
        run.begin(torch.get_num_threads())
    except NNLabError:
        raise
    except (TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise RunError(f"this run cannot be sent to a process of its own ({error}); train it in the cell") from error
    return run
