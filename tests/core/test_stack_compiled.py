"""Compiled steps of a stack: what each operation gives, what may be done together, and what is there without them."""

import ctypes
import math
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nnlab
from nnlab.core.layers import Dropout
from nnlab.core.learners.choice import choose
from nnlab.core.learners.stack.buffers import Flat
from nnlab.core.learners.stack.compiled import library as libraries
from nnlab.core.learners.stack.compiled.adam import CompiledAdam
from nnlab.core.learners.stack.compiled.ops import CODES, NAMES, PACKED
from nnlab.core.learners.stack.compiled.program import Program, compiled
from nnlab.core.learners.stack.engine import Table
from nnlab.core.learners.stack.losses import Criterion
from nnlab.core.learners.stack.members import Members
from nnlab.core.learners.stack.products import Call, product
from nnlab.core.learners.stack.streams import Streams
from nnlab.core.optimizers import OPTIMIZERS
from nnlab.core.options import resolve
from nnlab.core.registry import Part
from nnlab.core.spec import TrainSpec, part_values

aten = torch.ops.aten
needs_compiler = pytest.mark.skipif(libraries.compiler() is None, reason="no compiler of C here")
ALONE: dict[str, Any] = {"store": False, "probe": False, "baseline": False}
SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 88.0, -87.0, 1e-30, -1e-30]


def numbers(size: int = 5000, seed: int = 0) -> Tensor:
    """All that a network may hold, and more."""
    draw = torch.Generator().manual_seed(seed)
    wide, narrow = (torch.randn(size, generator=draw) * scale for scale in (20.0, 1.0))
    return torch.cat([wide, narrow, narrow * 1e-3, torch.tensor(SPECIAL), wide[:5] * 10.0 ** torch.arange(2, 35, 8)])


def program(*calls: Call) -> Program:
    """The calls as one program."""
    (made,) = compiled(calls)
    assert isinstance(made, Program)
    return made


FUNCTIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Call]] = {
    "exp": lambda x, d, o: partial(torch.exp, x, out=o),
    "sigmoid": lambda x, d, o: partial(torch.sigmoid, x, out=o),
    "tanh": lambda x, d, o: partial(torch.tanh, x, out=o),
    "tanh back": lambda x, d, o: partial(aten.tanh_backward.grad_input, d, x, grad_input=o),
    "cos": lambda x, d, o: partial(torch.cos, x, out=o),
    "sin": lambda x, d, o: partial(torch.sin, x, out=o),
    "abs": lambda x, d, o: partial(torch.abs, x, out=o),
    "sign": lambda x, d, o: partial(torch.sign, x, out=o),
    "clamp": lambda x, d, o: partial(torch.clamp, x, -0.5, 2.0, out=o),
    "maximum": lambda x, d, o: partial(torch.maximum, x, d, out=o),
    "minimum": lambda x, d, o: partial(torch.minimum, d, x, out=o),
    "gate": lambda x, d, o: partial(aten.threshold_backward.grad_input, d, x, 0, grad_input=o),
    "leaky": lambda x, d, o: partial(aten.leaky_relu.out, x, 0.01, out=o),
    "leaky back": lambda x, d, o: partial(aten.leaky_relu_backward.grad_input, d, x, 0.01, False, grad_input=o),
    "elu": lambda x, d, o: partial(aten.elu.out, x, 1.67, 1.05, 1.0, out=o),
    "elu back": lambda x, d, o: partial(aten.elu_backward.grad_input, d, 1.67, 1.05, 1.0, False, x, grad_input=o),
    "elu back y": lambda x, d, o: partial(aten.elu_backward.grad_input, d, 1.67, 1.05, 1.0, True, x, grad_input=o),
    "silu": lambda x, d, o: partial(aten.silu.out, x, out=o),
    "silu back": lambda x, d, o: partial(aten.silu_backward.grad_input, d, x, grad_input=o),
    "gelu": lambda x, d, o: partial(aten.gelu.out, x, approximate="none", out=o),
    "gelu back": lambda x, d, o: partial(aten.gelu_backward.grad_input, d, x, approximate="none", grad_input=o),
    "mul": lambda x, d, o: partial(torch.mul, x, d, out=o),
    "scale": lambda x, d, o: partial(torch.mul, x, 0.3, out=o),
    "add": lambda x, d, o: partial(torch.add, x, d, alpha=-0.5, out=o),
    "sub": lambda x, d, o: partial(torch.sub, x, d, out=o),
    "div": lambda x, d, o: partial(torch.div, x, d, out=o),
    "addcmul": lambda x, d, o: partial(torch.addcmul, x, d, d, value=-1.0, out=o),
    "relu": lambda x, d, o: o.copy_(x).relu_,
    "neg": lambda x, d, o: o.copy_(x).neg_,
    "rsqrt": lambda x, d, o: o.copy_(x.abs()).rsqrt_,
    "add a number": lambda x, d, o: partial(o.copy_(x).add_, 0.25),
    "clamp from below": lambda x, d, o: partial(o.copy_(x).clamp_, min=1e-12),
    "fill": lambda x, d, o: partial(o.fill_, 3.0),
}


@needs_compiler
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_done_to_a_number_is_what_torch_does(name: str) -> None:
    """Near the value in double precision, and the same where that is no number or has no end."""
    x, d = numbers(), numbers(seed=1).roll(7)
    made, own = torch.empty_like(x), torch.empty_like(x)
    program(FUNCTIONS[name](x, d, made))()
    FUNCTIONS[name](x, d, own)()
    exact = torch.empty(len(x), dtype=torch.float64)
    FUNCTIONS[name](x.double(), d.double(), exact)()
    theirs = (own.double() - exact).abs().nan_to_num(0.0, 0.0)
    size = sum(part.double().abs().nan_to_num(1.0, 1.0, 1.0) for part in (exact, x, d))
    allowed = 3e-7 * size + theirs
    finite = torch.isfinite(own)
    sure = torch.isnan(own) == torch.isnan(exact)  # gelu(-inf) is -0 or no number, as the precision has it
    assert torch.equal(torch.isnan(made)[sure], torch.isnan(own)[sure])
    assert torch.equal(made[torch.isinf(own)], own[torch.isinf(own)])
    assert bool(((made.double() - exact).abs() <= allowed)[finite & torch.isfinite(exact)].all())


@needs_compiler
def test_losses_and_sums_are_those_of_torch() -> None:
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(3, 5, 700, generator=draw) * 30
    z[0, 2, 3], z[1, 4, 9], z[2, 0, 1] = math.nan, math.inf, -math.inf
    made, own = torch.empty_like(z), torch.empty_like(z)
    program(partial(torch._log_softmax, z, 1, False, out=made))()
    torch._log_softmax(z, 1, False, out=own)
    torch.testing.assert_close(made, own, rtol=1e-6, atol=2e-5, equal_nan=True)
    a = torch.randn(4, 999, 130, generator=draw)
    for function, dim in ((torch.sum, 1), (torch.sum, 2), (torch.mean, 1)):
        shape = [size if at != dim else 1 for at, size in enumerate(a.shape)]
        found = torch.full(shape, math.nan)
        program(partial(function, a, dim, keepdim=True, out=found))()
        torch.testing.assert_close(found.double(), function(a.double(), dim, keepdim=True), rtol=1e-5, atol=1e-4)


SIDES = st.integers(1, 40)


@needs_compiler
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), SIDES, SIDES, SIDES, st.tuples(*[st.booleans()] * 3), st.booleans(), st.booleans())
def test_products_are_those_of_torch_however_matrices_lie(
    k: int, rows: int, n_in: int, n_out: int, turned: tuple[bool, ...], one: bool, more: bool
) -> None:
    draw = torch.Generator().manual_seed(0)
    a, b, out = (
        torch.randn(k, columns, lines, generator=draw).mT if turn else torch.randn(k, lines, columns, generator=draw)
        for turn, (lines, columns) in zip(turned, ((rows, n_in), (n_in, n_out), (rows, n_out)), strict=True)
    )
    bias = torch.randn(k, 1, n_out, generator=draw) if more else None
    if one:
        a, b, out, bias = a[0], b[0], out[0], None if bias is None else bias[0]
    exact = 0.5 * (a.double() @ b.double()) + (0 if bias is None else bias.double())
    program(product(a, b, out, 0.5, bias))()
    torch.testing.assert_close(out.double(), exact, rtol=1e-5, atol=1e-5)


@needs_compiler
def test_rows_are_taken_from_tables_of_any_kind() -> None:
    x, codes, weight = torch.randn(50, 7), torch.randint(0, 4, (50,)), torch.rand(50)
    rows = torch.tensor([3, 0, 49, 3])
    for table in (x, codes, weight):
        out = torch.empty(4, *table.shape[1:], dtype=table.dtype)
        program(partial(torch.index_select, table, 0, rows, out=out))()
        assert torch.equal(out, table[rows])
    small, chosen = torch.randn(4, 4), torch.empty(4, 50)
    program(partial(torch.index_select, small, 1, codes, out=chosen))()
    assert torch.equal(chosen, small[:, codes])
    deep, some = torch.randn(2, 60, 9), torch.empty(2, 4, 9)
    program(partial(torch.index_select, deep, 1, rows, out=some))()
    assert torch.equal(some, deep[:, rows])
    apart = torch.zeros(2, 50)[:, :36].view(2, 4, 9)
    program(partial(torch.index_select, deep, 1, rows, out=apart))()
    assert torch.equal(apart, deep[:, rows]), "of members with gaps between them, as alone"


@needs_compiler
@settings(max_examples=80, deadline=None)
@given(st.permutations(range(4)), st.lists(st.integers(1, 5), min_size=4, max_size=4), st.booleans())
def test_copies_from_any_layout_to_any_other(order: list[int], shape: list[int], wide: bool) -> None:
    full = torch.randn(*(shape[at] for at in order), 2)[..., 0] if wide else torch.randn(*(shape[at] for at in order))
    source = full.permute([order.index(at) for at in range(4)])
    out = torch.full(source.shape, math.nan)
    program(partial(out.copy_, source))()
    assert torch.equal(out, source)
    program(partial(torch.mul, source, source, out=out))()
    assert torch.equal(out, source * source)


# Operations on a few buffers, in any order and form: of the whole as one row, or by rows with what is one for each.
def _steps(buffers: Sequence[Tensor], rates: Tensor) -> list[Callable[[int, int, int], Call]]:
    def flat(at: int) -> Tensor:
        return buffers[at].view(-1)

    sums = rates.new_zeros(rates.shape)
    return [
        lambda a, b, c: partial(torch.mul, flat(a), flat(b), out=flat(c)),
        lambda a, b, c: partial(torch.add, buffers[a], rates, out=buffers[c]),
        lambda a, b, c: partial(torch.mul, buffers[a], rates, out=buffers[c]),
        lambda a, b, c: flat(c).relu_,
        lambda a, b, c: partial(torch.sum, buffers[a], 1, keepdim=True, out=sums),
        lambda a, b, c: partial(torch.mul, buffers[a], sums, out=buffers[c]),
        lambda a, b, c: partial(rates.copy_, sums),
        lambda a, b, c: partial(buffers[c][:, 1:].copy_, buffers[a][:, :-1].clone()),
        lambda a, b, c: partial(torch.sub, buffers[a][:, :-1], buffers[b][:, 1:], out=buffers[c][:, 1:]),
        lambda a, b, c: partial(torch.clamp, buffers[a], -2.0, 2.0, out=buffers[c]),
    ]


PICKS = st.lists(st.tuples(st.integers(0, 9), *[st.integers(0, 2)] * 3), min_size=2, max_size=9)


@needs_compiler
@settings(max_examples=150, deadline=None)
@given(st.integers(1, 3), st.sampled_from([1, 2, 40, 70]), st.sampled_from([1, 3, 64, 3000]), PICKS)
def test_what_is_done_together_gives_what_is_done_one_by_one(
    k: int, rows: int, width: int, picks: list[tuple[int, int, int, int]]
) -> None:
    """Each program against the same operations in programs of their own, whatever they read and write of each other."""
    found = []
    for together in (True, False):
        draw = torch.Generator().manual_seed(0)
        buffers = [torch.randn(k, rows, width, generator=draw) for _ in range(3)]
        rates = torch.randn(k, 1, width, generator=draw)
        steps = _steps(buffers, rates)
        # An operation that reads what it writes elsewhere has no meaning, in torch either.
        calls = [
            steps[which](a, b, c if which != 8 or c not in (a, b) else 3 - a - b if a != b else (a + 1) % 3)
            for which, a, b, c in picks
        ]
        for made in [compiled(calls)] if together else [compiled([call]) for call in calls]:
            for call in made:
                call()
        found.append([*buffers, rates])
    assert all(torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) for a, b in zip(*found, strict=True))


@needs_compiler
@pytest.mark.parametrize("name", ["exp", "sigmoid", "tanh", "cos", "gelu back", "silu back", "elu", "addcmul", "div"])
def test_a_number_has_the_same_bits_wherever_it_stands(name: str) -> None:
    """In a row that is computed by vectors, in what is left over of it, and alone."""
    x, d = numbers(100), numbers(100, seed=1)
    whole = torch.empty_like(x)
    program(FUNCTIONS[name](x, d, whole))()
    for start, size in ((0, 1), (1, 3), (5, 17), (11, 64), (3, 100)):
        part = torch.empty(size)
        program(FUNCTIONS[name](x[start : start + size].clone(), d[start : start + size].clone(), part))()
        assert torch.equal(part.nan_to_num(7.0), whole[start : start + size].nan_to_num(7.0))


@needs_compiler
def test_masks_are_those_of_numpy_to_the_bit_and_streams_go_on() -> None:
    seeds, shares = [0, 5, 2**40], [0.1, 0.5, 0.37]
    theirs, ours = (Streams(seeds, "cpu") for _ in range(2))
    one, other = (streams.masks(1003, shares, torch.zeros(1)) for streams in (theirs, ours))
    made = program(other.draw)
    for _ in range(300):
        one.draw()
        made()
        assert torch.equal(one.values, other.values)
    assert all(torch.equal(a, b) for a, b in zip(theirs.state(), ours.state(), strict=True))
    other.draw()
    one.draw()
    assert torch.equal(one.values, other.values), "and by NumPy from where the program left it"


@needs_compiler
@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("apart", [True, False])
def test_steps_are_those_of_torchs_optimizers(decoupled: bool, apart: bool) -> None:
    lrs, decays = ([0.01, 0.002] if apart else [0.01] * 2), ([0.1, 0.0] if apart else [0.1] * 2)
    nets = [torch.nn.Linear(13, 7) for _ in range(2)]
    copies = [torch.nn.Linear(13, 7) for _ in range(2)]
    for net, copy in zip(nets, copies, strict=True):
        copy.load_state_dict(net.state_dict())
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    usual: dict[str, Any] = {"betas": (0.9, 0.99), "eps": 1e-6}
    theirs = []
    for copy, lr, decay in zip(copies, lrs, decays, strict=True):
        groups = [{"params": [copy.weight], "weight_decay": decay}, {"params": [copy.bias], "lr": lr / 2}]
        theirs.append(kind(groups, lr=lr, weight_decay=0.0, **usual))
    with torch.no_grad():
        flat = Flat(nets, [(["weight"], True, 1.0), (["bias"], False, 0.5)])
    moments, made = [flat.like() for _ in range(2)], torch.zeros(())
    values = {"beta1": 0.9, "beta2": 0.99, "eps": usual["eps"]}
    step = CompiledAdam(flat, [flat.values, flat.gradients, *moments], made, values, decoupled)
    draw = torch.Generator().manual_seed(0)
    for _ in range(30):
        for k, copy in enumerate(copies):
            for name, weight in copy.named_parameters():
                weight.grad = torch.randn(weight.shape, generator=draw)
                flat.of(flat.gradients, name)[k].copy_(weight.grad)
            theirs[k].step()
        step(lrs, decays, apart)
    assert float(made) == 30
    for net, copy in zip(nets, copies, strict=True):
        for own, other in zip(net.parameters(), copy.parameters(), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)


def test_operations_have_one_number_in_both_languages() -> None:
    text = libraries.SOURCE.read_text()
    listed = text[text.index("enum {") + 6 : text.index("};", text.index("enum {"))]
    names = [word.strip() for word in listed.replace("\n", " ").split(",")]
    assert [name for name in names if "=" not in name] == list(NAMES)
    assert "LAST_BY_NUMBER = SUM_WIDTH" in names
    assert CODES["SUM_WIDTH"] == NAMES.index("SUM_WIDTH")
    assert PACKED.size == 4 * 2 + 8 * (3 + 4 + 12 + 2 + 6), "as a C compiler lays the structure out"
    assert f"_Static_assert(sizeof(Op) == {PACKED.size}," in text


# Where there is no compiler


@pytest.fixture
def afresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """As in a process that has not looked for the library, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(libraries, "FLAGS", ("-O1", *libraries.FLAGS[1:]))  # quicker than -O3
    libraries.library.cache_clear()
    yield tmp_path
    libraries.library.cache_clear()


@needs_compiler
def test_it_is_built_once_and_used_again_whatever_compiler_is_there(
    afresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits of a run do not hang on what the variables of a terminal or a notebook find."""
    assert libraries.library() is not None
    (built,) = (afresh / "cache" / "nnlab").iterdir()
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it is there already"))
    for found in (libraries.compiler(), "/usr/bin/another", None):
        monkeypatch.setattr(libraries, "compiler", lambda found=found: found)
        libraries.library.cache_clear()
        assert isinstance(libraries.library(), ctypes.CDLL)
    assert [built] == list((afresh / "cache" / "nnlab").iterdir())


FAULTS = ["switched off", "no compiler", "broken compiler", "broken file", "no source", "no products"]


@pytest.mark.parametrize("fault", FAULTS)
def test_without_it_torch_does_all(fault: str, afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "switched off":
        monkeypatch.setenv("NNLAB_COMPILE", "0")
    elif fault == "no compiler":
        monkeypatch.setattr(libraries, "compiler", lambda: None)
    elif fault == "broken compiler":
        monkeypatch.setattr(libraries, "compiler", lambda: "/bin/false")
    elif fault == "broken file":
        for path in libraries.built():
            path.write_bytes(path.read_bytes()[:500])
    elif fault == "no source":
        monkeypatch.setattr(libraries, "SOURCE", afresh / "kernels.c")
    else:
        monkeypatch.setattr(libraries, "_gemm", lambda: None)
    assert libraries.library() is None
    calls = [partial(torch.exp, torch.ones(3), out=torch.empty(3))]
    assert compiled(calls) == calls
    x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    data = nnlab.prepare((x, (x[:, 0] > 0).astype(int)))
    run = nnlab.fit(data, hidden=(16,), epochs=3, **ALONE)
    assert run.learner == "stack" and run.metrics["accuracy"] > 0.5


@needs_compiler
@pytest.mark.parametrize("fault", ["a file in its place", "no home", "a broken file", "another's folder"])
def test_a_cache_that_cannot_be_used_is_no_hindrance(fault: str, afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "a file in its place":
        (afresh / "cache").write_text("a file where a folder should be")
    elif fault == "no home":
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setattr("pathlib.Path.home", _no_home)
    elif fault == "a broken file":
        path = next(iter(libraries.built()))
        path.write_bytes(path.read_bytes()[:500])
    else:
        if os.getuid() != 0:
            pytest.skip("only root may give a folder away")
        (afresh / "cache" / "nnlab").mkdir(parents=True)
        os.chown(afresh / "cache" / "nnlab", 12345, -1)
    found = libraries.library()
    assert found is not None and Path(found._name).parent.parent == afresh, "in the folder of temporary files"


def _no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_nowhere_to_write_is_no_hindrance_either(afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (afresh / "cache").write_text("a file where a folder should be")
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._get_default_tempdir", _nowhere)
    assert libraries.library() is None


def _nowhere() -> str:
    raise FileNotFoundError("No usable temporary directory found")


@needs_compiler
def test_looking_for_it_draws_no_random_numbers(afresh: Path) -> None:
    """A run that is the first in its process would get others than the next."""
    before = torch.get_rng_state()
    assert libraries.library() is not None
    assert torch.equal(torch.get_rng_state(), before)


@needs_compiler
def test_several_may_build_it_at_once(afresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "FLAGS", ("-O0", "-shared", "-fPIC"))
    with ThreadPoolExecutor(3) as pool:
        paths = list(pool.map(lambda _: next(iter(libraries.built())), range(3)))
    assert len(set(paths)) == 1
    assert list(paths[0].parent.iterdir()) == [paths[0]], "nothing half-made is left"
    assert ctypes.CDLL(str(paths[0])).run


@needs_compiler
@pytest.mark.parametrize("options", [{"activation": "relu", "dropout": 0.2}, {"model": "realmlp", "members": 2}])
def test_a_run_is_what_it_is_without(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, afresh: Path) -> None:
    """Compiled or not: the same masks and order, so nearly the same weights."""
    x = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
    data = nnlab.prepare((x, (x[:, 0] * x[:, 1] > 0).astype(int)))
    found = []
    for word in ("1", "0"):
        monkeypatch.setenv("NNLAB_COMPILE", word)
        libraries.library.cache_clear()
        run = nnlab.fit(data, epochs=4, batch_size=64, hidden=(32, 16), **ALONE, **options)
        assert run.learner == "stack"
        found.append(run.model.state_dict())
    for name, weight in found[0].items():
        torch.testing.assert_close(weight, found[1][name], rtol=1e-4, atol=2e-6)


@needs_compiler
@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize("rates", ["alike", "apart"])
def test_steps_in_one_call_have_the_bits_of_steps_one_by_one(own_rows: bool, rates: str) -> None:
    """Batches of two sizes, dropout, decay, members with rows and step sizes of their own; then the losses."""
    draw = torch.Generator().manual_seed(0)
    table = Table(torch.randn(200, 6, generator=draw), torch.randint(0, 3, (200,), generator=draw), None)
    batches = [torch.randperm(200, generator=draw)[:size] for size in (33, 33, 33, 20, 20, 33, 1)]
    if own_rows:
        batches = [torch.stack([rows, rows.flip(0)]) for rows in batches]
    lrs = [[0.01 / (at + 1), (0.01 if rates == "alike" else 0.02) / (at + 1)] for at in range(len(batches))]
    found = []
    for together in (True, False):
        stack = some_members(table)
        if together:
            stack.train(batches, lrs)
        else:
            for rows, own in zip(batches, lrs, strict=True):
                stack.gradients(rows)
                stack.update(own)
        found.append((stack.flat.values.clone(), stack.take_loss(), stack.state()["streams"]))
    (ours, losses, streams), (theirs, others, rest) = found
    assert torch.equal(ours, theirs) and losses == others
    assert all(torch.equal(a, b) for a, b in zip(streams, rest, strict=True))


def some_members(table: Table) -> Members:
    """Two networks with dropout, whose weights decay."""
    nets = []
    for seed in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            nets.append(
                torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), Dropout(0.3), torch.nn.Linear(16, 3))
            )
    names = [name for name, _ in nets[0].named_parameters()]
    groups = [([n for n in names if n.endswith(end)], end == "weight", 1.0) for end in ("weight", "bias")]
    criterion = Criterion("cross_entropy", {"label_smoothing": 0.0}, [])
    adamw = Part("adamw", part_values(OPTIMIZERS, Part("adamw")))
    stack = Members(nets, groups, criterion, table, adamw, range(2))
    stack.dropout, stack.decays = [0.3, 0.3], [0.1, 0.1]
    return stack


@needs_compiler
def test_a_run_that_goes_on_without_it_or_with_it_again_says_so(monkeypatch: pytest.MonkeyPatch, afresh: Path) -> None:
    """As its bits need not be those that it would have had."""
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    data = nnlab.prepare((x, x.sum(1)))
    states, said = [], []
    for word in ("1", "0", "1"):
        monkeypatch.setenv("NNLAB_COMPILE", word)
        libraries.library.cache_clear()
        learner = choose(resolve(TrainSpec, {"hidden": (8,)}), data, "cpu")
        states.append(learner.state())
        for state in states[-2:]:
            learner.load_state(state)
        said.append(learner.take_notes())
    differs = "compiled: results need not be the same to the last bit"
    assert said == [[], [f"steps are no longer {differs}"], [f"steps are now {differs}"]]


@needs_compiler
def test_numbers_of_rows_of_another_kind_or_count_are_not_read_as_they_lie() -> None:
    """Compiled steps copy them by their bytes; in memory beyond them is anything."""
    draw = torch.Generator().manual_seed(0)
    table = Table(torch.randn(200, 6, generator=draw), torch.randint(0, 3, (200,), generator=draw), None)
    rows = [torch.randperm(200, generator=draw)[:33] for _ in range(5)]
    found = []
    for kind in (torch.int64, torch.int32):
        stack = some_members(table)
        stack.train([own.to(kind) for own in rows], [[0.01, 0.01]] * 5)
        found.append(stack.flat.values.clone())
    assert torch.equal(*found)
    with pytest.raises(RuntimeError, match="expand"):
        some_members(table).train([torch.stack(rows[:3])], [[0.01, 0.01]])
