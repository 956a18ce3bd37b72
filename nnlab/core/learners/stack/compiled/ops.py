"""Calls of torch on fixed tensors as operations of `kernels.c`."""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nnlab.core.learners.stack.products import Call
from nnlab.core.learners.stack.streams import Streams

aten = torch.ops.aten
NAMES = (
    *("COPY", "FILL", "MUL", "SCALE", "ADD", "SHIFT", "SUB", "DIV", "ADDCMUL", "RELU", "GATE", "LEAKY", "LEAKY_BACK"),
    *("ELU", "ELU_BACK", "ELU_BACK_Y", "SILU", "SILU_BACK", "GELU", "GELU_BACK", "TANH", "TANH_BACK", "NEG", "EXP"),
    *("SIGMOID", "COS", "SIN", "ABS", "SIGN", "CLAMP", "MAXIMUM", "MINIMUM", "RSQRT", "SUM_ROWS", "SUM_WIDTH"),
    *("PRODUCT", "GATHER", "PICK", "LOG_SOFTMAX", "MOVE", "DRAW"),
)
CODES = {name: code for code, name in enumerate(NAMES)}
BY_NUMBER = CODES["SUM_WIDTH"]  # the last of those that are done tile by tile
NUMBER = 4  # bytes
MOST_PIECES = 64  # of numbers that have more dims than an operation
NONE = (0, 0, 0)
Piece = tuple[list[int], list[int], list[list[int]]]  # addresses, dims, strides
PACKED = struct.Struct("=2i3q4Q12q2d6q")  # as in `kernels.c`


@dataclass(slots=True)
class Op:
    """An operation: its code, three dims, the addresses and the strides of its operands, what is written first."""

    code: int
    dims: list[int]
    places: list[int]
    strides: list[list[int]]
    f: Sequence[float] = ()
    i: Sequence[int] = ()

    def packed(self, length: int) -> bytes:
        """As the compiled code takes it. length: of the group that begins here."""
        missing = 4 - len(self.places)
        strides = [number for own in self.strides for number in own] + [0] * (3 * missing)
        f, i = [*self.f, *[0.0] * (2 - len(self.f))], [*self.i, *[0] * (6 - len(self.i))]
        return PACKED.pack(self.code, length, *self.dims, *self.places, *[0] * missing, *strides, *f, *i)

    def ends(self) -> list[int]:
        """Where the memory of each operand ends."""
        lasts = [size - 1 for size in self.dims]
        return [
            place + NUMBER * (1 + lasts[0] * s[0] + lasts[1] * s[1] + lasts[2] * s[2])
            for place, s in zip(self.places, self.strides, strict=True)
        ]


class Unknown(Exception):
    """A call that is not among the operations, or on tensors that lie otherwise than they expect."""


def op_of(
    name: str,
    dims: Sequence[int],
    places: Sequence[tuple[int, Sequence[int]]],
    f: Sequence[float] = (),
    i: Sequence[int] = (),
) -> Op:
    """places: address and strides of each operand."""
    strides = [[*own, *[0] * (3 - len(own))] for _, own in places]
    return Op(CODES[name], [*dims, *[1] * (3 - len(dims))], [address for address, _ in places], strides, f, i)


def translated(call: Call) -> list[Op]:
    """The operations that do what a call does. Unknown if there are none."""
    if isinstance(call, partial):
        function, args, words = call.func, call.args, call.keywords
    else:
        function, args, words = call, (), {}
    owner = getattr(function, "__self__", None)
    if isinstance(owner, Streams):
        return _draws(owner, *args)
    if isinstance(owner, Tensor):
        name = function.__name__
        if name not in IN_PLACE:
            raise Unknown(name)
        return IN_PLACE[name](owner, owner, *args, **words)
    try:
        known = OUT.get(function)
    except TypeError:  # that cannot be looked up
        known = None
    if known is None:
        raise Unknown(str(function))
    words = dict(words)
    out = words.pop("out", None)
    if out is None:
        out = words.pop("grad_input", None)
    return known(out, *args, **words)


def _checked(*tensors: Tensor) -> None:
    for tensor in tensors:
        if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
            raise Unknown("not numbers of 32 bits on the CPU")


def _layout(out: Tensor, given: Sequence[Tensor]) -> tuple[list[int], list[list[int]]]:
    """Dims and the strides of each tensor, as few as they can be."""
    _checked(out, *given)
    shape = list(out.shape)
    strides = [list(tensor.expand(shape).stride()) for tensor in (out, *given)]
    keep = [at for at, size in enumerate(shape) if size != 1] or [len(shape) - 1] if shape else []
    dims, kept = [shape[at] for at in keep], [[own[at] for at in keep] for own in strides]
    for at in reversed(range(len(dims) - 1)):
        if all(own[at] == own[at + 1] * dims[at + 1] for own in kept):
            dims[at : at + 2] = [dims[at] * dims[at + 1]]
            for own in kept:
                own[at : at + 2] = [own[at + 1]]
    return dims, kept


def _by_number(name: str, out: Tensor, given: Sequence[Tensor], f: Sequence[float] = ()) -> list[Op]:
    """An operation on each number by itself: in any layout, or members would be computed in another way than one."""
    addresses = [tensor.data_ptr() for tensor in (out, *given)]
    pieces = _cut(addresses, *_layout(out, given))
    return [op_of(name, dims, list(zip(places, strides, strict=True)), f) for places, dims, strides in pieces]


def _cut(addresses: list[int], dims: list[int], strides: list[list[int]]) -> Iterator[Piece]:
    """The same numbers as pieces of three dims, side by side in the last, or alone where something has gaps."""
    if dims and ((strides[0][-1] != 1 and dims[-1] != 1) or any(own[-1] not in (0, 1) for own in strides)):
        dims, strides = [*dims, 1], [[*own, 0] for own in strides]
    missing = 3 - len(dims)
    if missing >= 0:
        yield addresses, [*[1] * missing, *dims], [[*[0] * missing, *own] for own in strides]
        return
    if dims[0] > MOST_PIECES:
        raise Unknown("more than three dims")
    for at in range(dims[0]):
        places = [address + NUMBER * at * own[0] for address, own in zip(addresses, strides, strict=True)]
        yield from _cut(places, dims[1:], [own[1:] for own in strides])


def _one(name: str) -> Callable[..., list[Op]]:
    return lambda out, a: _by_number(name, out, [a])


def _two(name: str) -> Callable[..., list[Op]]:
    def make(out: Tensor, a: Tensor, b: Tensor) -> list[Op]:
        if not isinstance(b, Tensor):
            raise Unknown("a number")
        return _by_number(name, out, [a, b])

    return make


def _mul(out: Tensor, a: Tensor, b: Any) -> list[Op]:
    return _by_number("MUL", out, [a, b]) if isinstance(b, Tensor) else _by_number("SCALE", out, [a], [float(b)])


def _add(out: Tensor, a: Tensor, b: Any, alpha: float = 1.0) -> list[Op]:
    if not isinstance(b, Tensor):
        return _by_number("SHIFT", out, [a], [b * alpha])
    return _by_number("ADD", out, [a, b], [float(alpha)])


def _addcmul(out: Tensor, a: Tensor, b: Tensor, c: Tensor, value: float = 1.0) -> list[Op]:
    return _by_number("ADDCMUL", out, [a, b, c], [float(value)])


def _gate(out: Tensor, slope: Tensor, values: Tensor, threshold: float) -> list[Op]:
    if threshold != 0:
        raise Unknown("a threshold")
    return _by_number("GATE", out, [slope, values])


def _leaky(out: Tensor, a: Tensor, slope: float) -> list[Op]:
    return _by_number("LEAKY", out, [a], [slope])


def _leaky_back(out: Tensor, slopes: Tensor, values: Tensor, slope: float, from_result: bool) -> list[Op]:
    if from_result:
        raise Unknown("a gradient by results")
    return _by_number("LEAKY_BACK", out, [slopes, values], [slope])


def _elu(out: Tensor, a: Tensor, alpha: float, scale: float, inner: float) -> list[Op]:
    if inner != 1:
        raise Unknown("a factor inside")
    return _by_number("ELU", out, [a], [alpha, scale])


def _elu_back(  # noqa: PLR0913 (torch's own arguments)
    out: Tensor, slopes: Tensor, alpha: float, scale: float, inner: float, from_result: bool, values: Tensor
) -> list[Op]:
    if inner != 1:
        raise Unknown("a factor inside")
    return _by_number("ELU_BACK_Y" if from_result else "ELU_BACK", out, [slopes, values], [alpha, scale])


def _gelu(out: Tensor, *given: Tensor, approximate: str) -> list[Op]:
    if approximate != "none":
        raise Unknown("an approximation")
    return _by_number("GELU" if len(given) == 1 else "GELU_BACK", out, given)


def _clamp(out: Tensor, a: Tensor, min: float = -math.inf, max: float = math.inf) -> list[Op]:
    return _by_number("CLAMP", out, [a], [float(min), float(max)])


def _fill(out: Tensor, _: Tensor, value: float) -> list[Op]:
    return _by_number("FILL", out, [], [float(value)])


def _copy(out: Tensor, _: Tensor, source: Tensor) -> list[Op]:
    dims, strides = _layout(out, [source])
    beside = not dims or (all(own[-1] in (0, 1) for own in strides) and strides[0][-1] == 1)
    return _by_number("COPY", out, [source]) if beside and len(dims) <= 3 else _move(out, source)


def _move(out: Tensor, source: Tensor) -> list[Op]:
    dims, (o, a) = _layout(out, [source])
    if len(dims) > 4:
        raise Unknown("more than four dims")
    order = sorted(range(len(dims)), key=lambda at: -o[at])  # written in the order of memory
    dims, o, a = ([part[at] for at in order] for part in (dims, o, a))
    missing = 4 - len(dims)
    dims, o, a = [*[1] * missing, *dims], [*[0] * missing, *o], [*[0] * missing, *a]
    places = [(out.data_ptr(), o[:3]), (source.data_ptr(), a[:3])]
    return [op_of("MOVE", dims[:3], places, i=[dims[3], o[3], a[3]])]


def _sum(out: Tensor, a: Tensor, dim: int, keepdim: bool = False) -> list[Op]:
    """Over rows or over the width of three dims."""
    _checked(out, a)
    if a.ndim != 3 or not keepdim or dim not in (1, 2) or (a.stride(2) != 1 and a.shape[2] != 1):
        raise Unknown("a sum")
    if a.shape[dim] == 1:
        return _by_number("COPY", out, [a])
    if dim == 1 and (out.stride(2) == 1 or a.shape[2] == 1):
        places = [(out.data_ptr(), [out.stride(0), 0, 1]), (a.data_ptr(), a.stride())]
        return [op_of("SUM_ROWS", a.shape, places)]
    if dim == 2:
        places = [(out.data_ptr(), [out.stride(0), out.stride(1), 0]), (a.data_ptr(), a.stride())]
        return [op_of("SUM_WIDTH", a.shape, places)]
    raise Unknown("a sum")


def _mean(out: Tensor, a: Tensor, dim: int, keepdim: bool = False) -> list[Op]:
    return [*_sum(out, a, dim, keepdim), *_mul(out, out, 1.0 / a.shape[dim])]


def _matrix(t: Tensor) -> tuple[bool, int]:
    """Whether a matrix lies turned, and the numbers from one line to the next."""
    rows, columns = t.shape[-2:]
    down, right = t.stride()[-2:]
    # A vector is told in one way whatever its strides, as the other way round a product may round otherwise.
    if columns == 1:
        return False, max(down, 1)
    if right == 1 and (rows == 1 or down >= columns):
        return False, columns if rows == 1 else down
    if rows == 1 or (down == 1 and right >= rows):
        return True, right
    raise Unknown("a matrix with gaps")


def _product(out: Tensor, a: Tensor, b: Tensor, alpha: float = 1.0, beta: float = 0.0) -> list[Op]:
    _checked(out, a, b)
    if out.ndim == 2:
        out, a, b = (t.unsqueeze(0) for t in (out, a, b))
    if out.numel() == 0 or a.shape[2] == 0:
        raise Unknown("nothing to multiply")
    if _matrix(out)[0]:
        out, a, b = out.mT, b.mT, a.mT
    (_, line), (turned_a, line_a), (turned_b, line_b) = (_matrix(t) for t in (out, a, b))
    dims = [out.shape[1], out.shape[2], a.shape[2]]
    places = [(t.data_ptr(), [t.stride(0)]) for t in (out, a, b)]
    how = [out.shape[0], line, line_a, line_b, int(turned_a), int(turned_b)]
    return [op_of("PRODUCT", dims, places, [float(alpha), float(beta)], how)]


def _addmm(out: Tensor, more: Tensor, a: Tensor, b: Tensor, beta: float = 1.0, alpha: float = 1.0) -> list[Op]:
    made = _product(out, a, b, alpha)
    if beta == 0:
        return made
    if beta != 1 or more.data_ptr() == out.data_ptr():
        raise Unknown("a sum of products")
    return [*made, *_add(out, out, more)]


def _pick(out: Tensor, a: Tensor, dim: int, chosen: Tensor) -> list[Op]:
    if chosen.dtype != torch.int64 or chosen.ndim != 1 or not chosen.is_contiguous():
        raise Unknown("other numbers of rows")
    if dim == 0:
        size = a.element_size() * (a[0].numel() if len(a) else 0)
        if not a.is_contiguous() or not out.is_contiguous() or not size or a.device.type != "cpu":
            raise Unknown("a table with gaps")
        return [op_of("GATHER", [len(chosen), size], [(t.data_ptr(), NONE) for t in (out, a, chosen)])]
    _checked(out, a)
    if a.ndim == 2:
        out, a, dim = out.unsqueeze(0), a.unsqueeze(0), dim + 1
    if a.ndim == 3 and dim in (1, 2) and a.stride(2) == out.stride(2) == 1:  # members of out may have gaps between
        places = [(out.data_ptr(), out.stride()), (a.data_ptr(), a.stride()), (chosen.data_ptr(), NONE)]
        return [op_of("PICK", out.shape, places, i=[int(dim == 1)])]
    raise Unknown("a choice")


def _log_softmax(out: Tensor, a: Tensor, dim: int, half: bool) -> list[Op]:
    _checked(out, a)
    if a.ndim != 3 or dim != 1 or half or any(t.stride(2) != 1 for t in (out, a) if t.shape[2] > 1):
        raise Unknown("a softmax")
    return [op_of("LOG_SOFTMAX", a.shape, [(t.data_ptr(), t.stride()) for t in (out, a)])]


def _draws(streams: Streams, parts: Sequence[tuple[int, int, Any]], words: int) -> list[Op]:
    """The masks of all members. The room for what is drawn is that of the streams."""
    if any(own.dtype != "float32" for *_, own in parts):
        raise Unknown("not numbers of 32 bits")
    room = streams.room(words)
    return [
        op_of("DRAW", [len(own), words], [(own.ctypes.data, NONE), (state, NONE), (room, NONE)], i=[limit, extra])
        for state, (limit, extra, own) in zip(streams.addresses(), parts, strict=True)
    ]


OUT: dict[Any, Callable[..., list[Op]]] = {
    torch.mul: _mul,
    torch.add: _add,
    torch.sub: _two("SUB"),
    torch.div: _two("DIV"),
    torch.maximum: _two("MAXIMUM"),
    torch.minimum: _two("MINIMUM"),
    torch.addcmul: _addcmul,
    torch.exp: _one("EXP"),
    torch.sigmoid: _one("SIGMOID"),
    torch.cos: _one("COS"),
    torch.sin: _one("SIN"),
    torch.abs: _one("ABS"),
    torch.sign: _one("SIGN"),
    torch.clamp: _clamp,
    torch.sum: _sum,
    torch.mean: _mean,
    torch.tanh: _one("TANH"),
    torch.mm: _product,
    torch.bmm: _product,
    torch.addmm: _addmm,
    torch.baddbmm: _addmm,
    torch.index_select: _pick,
    torch._log_softmax: _log_softmax,
    aten.threshold_backward.grad_input: _gate,
    aten.leaky_relu.out: _leaky,
    aten.leaky_relu_backward.grad_input: _leaky_back,
    aten.elu.out: _elu,
    aten.elu_backward.grad_input: _elu_back,
    aten.silu.out: _one("SILU"),
    aten.silu_backward.grad_input: _two("SILU_BACK"),
    aten.gelu.out: _gelu,
    aten.gelu_backward.grad_input: _gelu,
    aten.tanh_backward.grad_input: _two("TANH_BACK"),
}
IN_PLACE: dict[str, Callable[..., list[Op]]] = {
    "mul_": _mul,
    "add_": _add,
    "sub_": _two("SUB"),
    "div_": _two("DIV"),
    "addcmul_": _addcmul,
    "clamp_": _clamp,
    "copy_": _copy,
    "fill_": _fill,
    "relu_": _one("RELU"),
    "neg_": _one("NEG"),
    "sin_": _one("SIN"),
    "rsqrt_": _one("RSQRT"),
}
