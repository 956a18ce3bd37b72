"""Less memory and shorter numbers: the same gradients, to the bit where that can be."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import nnlab
from nnlab.core import threads
from nnlab.core.controls import Controls
from nnlab.core.data.prepare import Prepared
from nnlab.core.errors import RunError, SpecError
from nnlab.core.events import EpochDone, Resumable
from nnlab.core.learners.calls import Graphed, check_graphs
from nnlab.core.learners.module import ModuleLearner
from nnlab.core.learners.pieces import Pieces
from nnlab.core.learners.recompute import Recomputed
from nnlab.core.options import resolve
from nnlab.core.predict import forward
from nnlab.core.spec import TrainSpec
from nnlab.core.threads import Work
from nnlab.core.train import set_up, train

SHORT: dict[str, Any] = {"hidden": "16,16", "epochs": 2, "dropout": 0, "store": False, "seed": 3}


def weights_of(run: nnlab.Run) -> Tensor:
    return torch.cat([weight.detach().double().flatten() for weight in run.model.parameters()])


@pytest.fixture(scope="module")
def weighted() -> Prepared:
    draw = np.random.default_rng(1)
    x = draw.normal(size=(400, 4))
    frame = pd.DataFrame(x, columns=list("abcd")).assign(w=draw.uniform(0.1, 3, 400), y=(x.sum(1) > 1.5) * 1)
    return nnlab.prepare(frame, target="y", weight="w", scale="standard")


# Accumulation


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": "balanced_cross_entropy"},
        {"loss": "focal", "balanced": True},
        {"mixup": 0.5, "loss": "balanced_cross_entropy"},
        {"fgsm": 0.5, "confidence_penalty": 0.3},
        {"r_drop": 1.0},
        {"optimizer": "lbfgs"},
        {"clip_norm": 0.1, "optimizer": "sgd", "sam": 0.05},
    ],
    ids=str,
)
@pytest.mark.parametrize("data", ["classes", "weighted"])
def test_rows_in_parts_give_the_gradient_of_all(
    options: dict[str, Any], data: str, request: pytest.FixtureRequest
) -> None:
    prepared: Prepared = request.getfixturevalue(data)
    spec = {**SHORT, **options, "precision": "float64"}
    whole, parts = (nnlab.fit(prepared, **spec, accumulate=count) for count in (1, 3))
    assert torch.allclose(weights_of(parts), weights_of(whole), rtol=1e-6, atol=1e-9)
    assert np.allclose(parts.history.train_loss, whole.history.train_loss, rtol=1e-6)


def test_parts_of_a_regression_in_float32(numbers: Prepared) -> None:
    whole, parts = (nnlab.fit(numbers, **SHORT, loss="huber", accumulate=count) for count in (1, 5))
    assert torch.allclose(weights_of(parts), weights_of(whole), rtol=1e-4, atol=1e-6)
    assert not torch.equal(weights_of(parts), weights_of(whole))


# Memory that runs out


class Greedy(nn.Module):
    """Asks for more memory than there is, or fails otherwise, in training with more rows than `limit`."""

    def __init__(self, limit: int = 0, times: int = 10**9, fail: Callable[[], Any] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16)), nn.Linear(16, 3)
        self.limit, self.times, self.seen = limit, times, list[int]()
        self.fail = fail or (lambda: torch.empty(1 << 50))

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.dropout(self.first(x), 0.3, self.training)
        if self.training and self.limit and len(x) > self.limit and self.times:
            self.times -= 1
            self.fail()
        self.seen += [len(x)] if self.training else []
        return self.last(hidden)


def no_memory_on_the_device() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


@pytest.mark.parametrize("fail", [None, no_memory_on_the_device], ids=["cpu", "cuda"])
def test_a_step_without_memory_is_made_again_in_parts_to_the_same_bits(
    classes: Prepared, fail: Callable[[], Any] | None
) -> None:
    options: dict[str, Any] = {"epochs": 3, "store": False, "seed": 1}
    backed_off = nnlab.fit(classes, model=Greedy(70, 1, fail), **options)
    in_parts = nnlab.fit(classes, model=Greedy(), accumulate=2, **options)
    assert torch.equal(weights_of(backed_off), weights_of(in_parts))
    for name, buffer in backed_off.model.named_buffers():
        assert torch.equal(buffer, in_parts.model.get_buffer(name)), name
    assert backed_off.history.train_loss.tolist() == in_parts.history.train_loss.tolist()
    (told,) = backed_off.warnings
    assert told.startswith("memory ran out with 128 rows at a time (")
    assert "in 2 parts, with the same gradient; --accumulate 2 begins so" in told
    assert not in_parts.warnings


def test_parts_are_halved_until_they_fit(classes: Prepared) -> None:
    run = nnlab.fit(classes, model=Greedy(20), epochs=1, store=False)
    assert max(run.model.seen) <= 20  # type: ignore[operator,arg-type]
    assert [line.partition(" parts")[0].split()[-1] for line in run.warnings] == ["2", "4", "8"]


def test_other_errors_and_single_rows_are_told_as_they_are(classes: Prepared) -> None:
    def wrong() -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RunError, match="shapes do not fit"):
        nnlab.fit(classes, model=Greedy(1, fail=wrong), epochs=1, store=False)

    class Hopeless(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if not self.training else torch.empty(1 << 50)

    with pytest.raises(RunError, match=r"memory ran out in epoch 1 \(.*allocate memory.*\); --accumulate 2"):
        nnlab.fit(classes, model=Hopeless(5, 3), epochs=1, store=False)


def test_predictions_take_fewer_rows_where_memory_is_short() -> None:
    class Short(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if len(x) <= 9 else torch.empty(1 << 50)

    model, x = Short(3, 2), torch.randn(40, 3)
    assert torch.allclose(forward(model, x, "cpu"), nn.functional.linear(x, model.weight, model.bias))


# Activations computed twice


@pytest.mark.parametrize(
    "options",
    [{"norm": "batch", "hidden": "16,16"}, {"model": "resnet", "width": 8}, {"model": "resnet", "norm": "layer"}],
)
def test_recomputed_activations_change_no_bit(classes: Prepared, options: dict[str, Any]) -> None:
    spec = {**options, "epochs": 2, "store": False, "dropout": 0.3, "loss": "focal"}
    kept, again = (nnlab.fit(classes, **spec, checkpoint_activations=on) for on in (False, True))
    assert torch.equal(weights_of(again), weights_of(kept))
    assert again.history.valid_loss.tolist() == kept.history.valid_loss.tolist()


def test_recomputed_activations_keep_less() -> None:
    model = nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.SiLU(), nn.LayerNorm(64))])
    x = torch.randn(100, 64)

    def kept(call: Callable[[Tensor], Any]) -> int:
        sizes: dict[int, int] = {}
        own = {weight.data_ptr() for weight in model.parameters()}

        def pack(tensor: Tensor) -> Tensor:
            if tensor.data_ptr() not in own:
                sizes[tensor.data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            output = call(x)
        del output
        return sum(sizes.values())

    assert kept(Recomputed(model)) < kept(model) / 2
    assert "forward" not in vars(model)


def test_recomputing_needs_blocks(classes: Prepared) -> None:
    with pytest.raises(SpecError, match=r"no nn.Sequential or nn.ModuleList"):
        nnlab.fit(classes, model=nn.Linear(5, 3), checkpoint_activations=True, store=False)


# Short numbers


class Seen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3))
        self.dtypes: set[tuple[bool, torch.dtype]] = set()

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layers(x)
        self.dtypes.add((self.training, output.dtype))
        return output


@pytest.mark.parametrize(
    "more", [{}, {"accumulate": 2}, {"checkpoint_activations": True}, {"optimizer": "lbfgs"}], ids=str
)
def test_bf16_trains_in_half_numbers_on_float32_weights(classes: Prepared, more: dict[str, Any]) -> None:
    options = {"epochs": 4, "store": False, "loss": "focal", **more}
    half, again, full = (nnlab.fit(classes, model=Seen, precision=p, **options) for p in ("bf16", "bf16", "float32"))
    assert half.model.dtypes == {(True, torch.bfloat16), (False, torch.float32)}
    assert {weight.dtype for weight in half.model.parameters()} == {torch.float32}
    assert half.history.train_loss.tolist() == again.history.train_loss.tolist() != full.history.train_loss.tolist()
    assert np.allclose(half.history.train_loss[1], full.history.train_loss[1], rtol=0.02)


def test_a_scaler_changes_nothing_but_skips_steps_of_infinite_gradients(classes: Prepared) -> None:
    spec = resolve(TrainSpec, {"hidden": "8", "loss": "focal", "optimizer": "sgd", "clip_norm": 0.5})
    rows, found = torch.arange(64), []
    for scale in (None, 1024.0):
        torch.manual_seed(0)
        learner = ModuleLearner(spec, classes, "cpu")
        learner.scaler = None if scale is None else torch.amp.GradScaler("cpu", init_scale=scale)
        for _ in range(3):
            learner.step(rows, 0.1)
        found.append({name: tensor.clone() for name, tensor in learner.model.state_dict().items()})
    assert all(torch.allclose(found[0][name], found[1][name], rtol=1e-5, atol=1e-7) for name in found[0])
    learner._x = torch.full_like(learner._x, float("inf"))
    learner.step(rows, 0.1)
    assert all(torch.equal(found[1][name], tensor) for name, tensor in learner.model.state_dict().items())
    assert learner.scaler is not None and learner.scaler.get_scale() == 512.0
    learner._pieces.count = 4
    again = ModuleLearner(spec, classes, "cpu")
    again.scaler = torch.amp.GradScaler("cpu")
    again.load_state(learner.state())
    assert (again.scaler.get_scale(), again._pieces.count) == (512.0, 4)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "fp16"}, "precision=fp16 needs --device cuda, this run is on cpu; --precision bf16 works"),
        ({"tf32": True}, "tf32 needs --device cuda"),
        ({"cuda_graphs": True}, "cuda_graphs needs --device cuda, this run is on cpu"),
    ],
)
def test_what_the_cpu_cannot_do_is_refused(classes: Prepared, options: dict[str, Any], words: str) -> None:
    with pytest.raises(RunError, match=words):
        nnlab.fit(classes, **options, device="cpu", store=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_fp16_and_tf32_on_cuda(classes: Prepared) -> None:
    options = {**SHORT, "epochs": 5, "device": "cuda"}
    full = nnlab.fit(classes, **options)
    half = nnlab.fit(classes, **options, precision="fp16")
    assert np.allclose(half.history.train_loss, full.history.train_loss, rtol=0.05)
    assert {weight.dtype for weight in half.model.parameters()} == {torch.float32}
    before = torch.get_float32_matmul_precision()
    assert np.allclose(nnlab.fit(classes, **options, tf32=True).history.train_loss, full.history.train_loss, rtol=0.05)
    assert torch.get_float32_matmul_precision() == before


# Layout and compiler


def pictures(n_in: int, n_out: int) -> nn.Module:
    head = (nn.ReLU(), nn.Flatten(), nn.LazyLinear(n_out))
    return nn.Sequential(nn.Unflatten(1, (4, 4, 4)), nn.Conv2d(4, 8, 3, padding=1), *head)


def test_channels_last(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 64))
    data = nnlab.prepare((x, (x[:, :8].sum(1) > 0) * 1))
    usual, last = (nnlab.fit(data, model=pictures, epochs=2, channels_last=on, store=False) for on in (False, True))
    kernel: Any = last.model[1].weight  # type: ignore[index]
    assert kernel.is_contiguous(memory_format=torch.channels_last) and not kernel.is_contiguous()
    assert np.allclose(last.history.train_loss, usual.history.train_loss, rtol=1e-4)
    again = nnlab.Run.load(last.save(tmp_path / "run"), model=pictures)
    assert np.allclose(again.predict_proba(x), last.predict_proba(x), atol=1e-6)
    with pytest.raises(SpecError, match=r"channels_last is for networks with nn.Conv2d"):
        nnlab.fit(data, channels_last=True, store=False)


def test_a_compiled_network_is_the_same_network(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """By dynamo without a C++ compiler, which would take the test a minute."""
    plain = nnlab.fit(classes, model=Seen, epochs=2, store=False)
    calls: list[Any] = []
    compiler = functools.partial(torch.compile, backend=lambda graph, inputs: calls.append(graph) or graph.forward)
    monkeypatch.setattr(torch, "compile", compiler)
    compiled = nnlab.fit(classes, model=Seen, epochs=2, compile=True, store=False)
    assert calls
    assert torch.allclose(weights_of(compiled), weights_of(plain), rtol=1e-5, atol=1e-7)
    assert not compiled.warnings
    assert type(compiled.model) is Seen


def test_without_a_compiler_the_network_runs_as_it_is(classes: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(graph: Any, inputs: Any) -> Any:
        raise FileNotFoundError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=absent))
    run = nnlab.fit(classes, model=Seen, epochs=2, compile=True, store=False)
    assert torch.equal(weights_of(run), weights_of(nnlab.fit(classes, model=Seen, epochs=2, store=False)))
    (told,) = run.warnings
    assert told.startswith("compile: left out, as torch.compile failed here (") and "no C++ compiler" in told


# CUDA graphs


def test_graphs_are_recorded_for_two_sizes_and_given_up_where_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[int] = []

    def record(whole: nn.Module, sample: tuple[Tensor]) -> Callable[[Tensor], Tensor]:
        recorded.append(len(sample[0]))
        if len(sample[0]) == 13:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        torch.rand(3)  # passes of its own
        return lambda x: whole(x) + 1

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.0), nn.BatchNorm1d(3))
    pieces = Pieces(model, nn.functional.mse_loss, "cpu", 1)
    call, x, state = Graphed(model, pieces, "cpu"), torch.randn(20, 2), torch.get_rng_state()
    for rows in (8, 7, 8, 5):
        plain = model(x[:rows])
        assert torch.allclose(call(x[:rows]), plain + (rows != 5))
    assert recorded == [8, 7]
    assert torch.equal(torch.get_rng_state(), state)
    model[1].p = 0.5
    call(x[:8])
    assert recorded == [8, 7, 8]
    pieces.count = 2
    call(x[:13])
    pieces.count = 1
    call(x[:13])
    call(x[:6])
    assert recorded == [8, 7, 8, 13]
    assert pieces.notes == [
        "cuda_graphs: left out, as the network cannot be recorded (operation not permitted when stream is capturing)"
    ]


@pytest.mark.parametrize("other", [{"accumulate": 2}, {"compile": True}, {"r_drop": 1.0}], ids=str)
def test_graphs_do_not_go_with_several_passes(other: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"cuda_graphs does not go with (accumulate|compile|terms)"):
        check_graphs(resolve(TrainSpec, {"cuda_graphs": True, **other}))
    check_graphs(resolve(TrainSpec, {"cuda_graphs": True, "l1": 0.1, "mixup": 0.2}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("more", [{"norm": "batch"}, {"precision": "bf16"}], ids=str)
def test_graphs_on_cuda_give_the_same_run(classes: Prepared, more: dict[str, Any]) -> None:
    options = {**SHORT, "epochs": 5, "device": "cuda", **more}
    plain, replayed = (nnlab.fit(classes, **options, cuda_graphs=on) for on in (False, True))
    assert not replayed.warnings
    assert torch.allclose(weights_of(replayed), weights_of(plain), rtol=1e-3, atol=1e-4)


# Threads


class Slow(nn.Module):
    """Takes its time, by a clock of its own, on one number of threads, and may give other last digits there."""

    clock = 0.0

    def __init__(self, slow_on: int, digits: float = 0.0, held_up: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.slow_on, self.digits = nn.Linear(5, 3), slow_on, digits
        self.held_up, self.calls = held_up, 0  # two threads wait for one that others hold up, once in so many calls
        self.seen: set[int] = set()

    def forward(self, x: Tensor) -> Tensor:
        Slow.clock += 0.003 if torch.get_num_threads() == self.slow_on else 0.001
        if self.held_up and torch.get_num_threads() > 1:
            self.calls += 1
            Slow.clock += 0.004 * (self.calls % self.held_up == 0)
        self.seen |= {torch.get_num_threads()} if self.training else set()
        return self.body(x) * (1 + self.digits * torch.get_num_threads())


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two threads, for which every run is worth a trial."""
    monkeypatch.setattr(Work, "worth_a_trial", True)
    monkeypatch.setattr(threads, "busy", lambda cores: False)
    monkeypatch.setattr(threads, "time", SimpleNamespace(perf_counter=lambda: Slow.clock))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("slow_on", [1, 2])
def test_the_faster_number_of_threads_trains_and_the_run_is_the_same(classes: Prepared, slow_on: int) -> None:
    run = nnlab.fit(classes, model=Slow(slow_on), epochs=1, store=False, patience=None)
    given = nnlab.fit(classes, model=Slow(0), epochs=1, store=False, threads=1)
    assert torch.equal(weights_of(run), weights_of(given))
    assert not run.warnings
    assert run.model.seen == {3 - slow_on}


@pytest.mark.usefixtures("two_threads")
def test_digits_that_hang_on_threads_are_told(classes: Prepared) -> None:
    run = nnlab.fit(classes, model=Slow(1, 1e-3), epochs=1, store=False)
    (told,) = run.warnings
    assert told.startswith("threads: 2, on which a step takes 33% of its time on 1; ") and told.endswith(
        "--threads 2 settles it"
    )
    assert not nnlab.fit(classes, model=Slow(1, 1e-3), epochs=1, threads=2, store=False).warnings


def test_a_run_goes_on_with_the_threads_that_it_had(classes: Prepared) -> None:
    first = train(set_up(resolve(TrainSpec, {"epochs": 2}), classes), Controls())
    state = next(event for event in first if isinstance(event, Resumable)).state()
    first.close()
    state["loop"]["threads"] = 3
    seen: list[int] = []
    job = set_up(resolve(TrainSpec, {"epochs": 2}), classes)
    for event in train(job, Controls(), state):
        seen += [torch.get_num_threads()] if isinstance(event, EpochDone) else []
    assert set(seen) == {3}


def test_small_runs_are_not_worth_a_trial() -> None:
    assert not Work(128, 10_000, 1000).worth_a_trial
    assert not Work(256, 20, 150_000).worth_a_trial
    assert Work(256, 2000, 150_000).worth_a_trial


@pytest.mark.usefixtures("two_threads")
def test_where_the_cores_are_busy_a_trial_tells_whether_they_are_ours(
    classes: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are taken where not one of many steps was held up: the others may be on cores that this process has not."""
    monkeypatch.setattr(threads, "busy", lambda cores: True)
    free, rarely = (nnlab.fit(classes, model=model, epochs=1, store=False) for model in (Slow(1), Slow(1, held_up=5)))
    assert free.model.seen == {2} and rarely.model.seen == {1} and not free.warnings and not rarely.warnings
    monkeypatch.setattr(Work, "worth_a_trial", False)
    work, spec = Work(4096, 10, 1_000_000), TrainSpec()
    chosen, (told,) = threads.tried_threads(spec, classes, "cpu", None, work, usual=2)
    assert chosen == 1 and told.startswith("threads: 1, as other work keeps the cores busy; --threads 2 takes all")


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="tells who wants a core on Linux only")
def test_other_work_is_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))  # of the last minute, in which there was none
    monkeypatch.setattr(os, "cpu_count", lambda: 2)  # the others' work would be nothing to a machine of 64
    burners = [
        subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
        for _ in "123"
    ]
    try:
        for burner in burners:
            assert burner.stdout is not None
            burner.stdout.readline()
        assert threads.busy(1) and threads.busy(2)
    finally:
        for burner in burners:
            burner.kill()
            burner.communicate()


def test_where_the_system_does_not_tell_the_last_minute_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place = tmp_path / "stat"
    for text, running in [
        ("cpu 1 2\nprocs_running 7\nprocs_blocked 0\n", 7),
        ("cpu 1\n", None),
        ("procs_running", None),
    ]:
        place.write_text(text)
        assert threads._running(str(place)) == running
    assert threads._running(str(tmp_path / "none")) is None
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for running, busy in [(1, False), (3, False), (4, True)]:
        monkeypatch.setattr(threads, "_running", lambda running=running: running)
        assert threads.busy(2) is busy
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert not threads.busy(2), "of a machine of 64 cores, two of which this process has"
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(threads, "_running", lambda: None)
    for load, busy in [(2.4, False), (2.6, True)]:
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert threads.busy(2) is busy
