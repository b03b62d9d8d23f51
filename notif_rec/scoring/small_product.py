"""Scores from 8-bit factors, with a bound of their error: a product that only nominates may be coarse, if it says how coarse.

One instruction of processors since 2019 (VPDPBUSD: Intel, Architecture Instruction Set Extensions, AVX512_VNNI) multiplies 64 pairs of
bytes and adds them up in 32 bits, where one of floats does 16. Quantised inner products to nominate and exact ones to rank: Guo et al.,
Accelerating Large-Scale Inference with Anisotropic Vector Quantization, ICML 2020, §2. The bound is that of Cauchy and Schwarz.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

USERS, LANES = 4, 16  # a tile: 4 users times 4 registers of 16 items, whose 16 sums stay in registers
PANEL = 4 * LANES
MOST = 127  # of a quantised factor; items' are stored as q + 128, since the instruction takes one side without sign
HALF_ULP = 2.0**-24
FAINT = 2.0**-135  # more than rounding beside 0 costs a factor: its product of bytes, at most 2^14, times half of the least float
FARTHEST = 64  # power of two that a column is stretched by at most, so that neither it nor its inverse leaves what a float can be
INTS, FLOATS = ir.VectorType(ir.IntType(32), LANES), ir.VectorType(ir.FloatType(), LANES)

Vectors = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.int8]


class Packed(NamedTuple):
    """Items as tiles read them: factor i of item j is stretch[i] · step[j] · (its byte − 128) but for an error.

    stretch: (f,) powers of two, which bring the columns to like ranges. bytes: (n_panels, 64 · f), f rounded up to whole fours.
    error, longest: the largest |v − v̂| and |v̂| of the items, stretched.
    """

    stretch: Vectors
    step: Vectors
    bytes: npt.NDArray[np.uint8]
    error: float
    longest: float


def ready() -> bool:
    """Whether numba compiles, and for what has the instruction; its cache keeps what it compiled by the same list of features."""
    return not config.DISABLE_JIT and "+avx512vnni" in cpu_target.target_context.codegen().magic_tuple()[2].split(",")


def aligned(rows: int, columns: int, kind: type[np.generic]) -> npt.NDArray[Any]:
    """An empty array that begins where a cache line does: a register's load or store then touches one line, not two."""
    size = rows * columns * np.dtype(kind).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(kind).reshape(rows, columns)


def pack(items: Vectors) -> Packed:
    """The items in bytes."""
    size = np.sqrt(np.einsum("ij,ij->j", items, items, dtype=np.float64) / len(items))
    power = np.clip(np.rint(np.log2(size, out=np.zeros(len(size)), where=size > 0)), -FARTHEST, FARTHEST)
    stretch = np.exp2(power).astype(np.float32)
    panels, groups = -(-len(items) // PANEL), -(-items.shape[1] // 4)
    quants, step = np.zeros((panels * PANEL, 4 * groups), np.int8), np.zeros(panels * PANEL, np.float32)
    length, lost = np.zeros(len(items)), np.zeros(len(items))
    quantise(items, 1 / stretch, quants, step, length, lost)
    packed = aligned(panels, groups * PANEL * 4, np.uint8)
    by_panel = quants.view(np.uint8).reshape(panels, PANEL, groups, 4)
    np.bitwise_xor(by_panel.transpose(0, 2, 1, 3), 128, out=packed.reshape(panels, groups, PANEL, 4))
    return Packed(stretch, step, packed, float(lost.max()), float((length + lost).max()))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def quantise(rows: Vectors, stretch: Vectors, quants: Bytes, step: Vectors, length: Wide, lost: Wide) -> None:
    """Row r of rows · stretch as step[r] · quants[r]; length: |row|, lost: |row − step · quants|."""
    for r in range(rows.shape[0]):
        most = np.float32(0.0)
        for i in range(rows.shape[1]):
            most = max(most, abs(rows[r, i] * stretch[i]))
        step[r] = most / np.float32(MOST)
        width = step[r] if step[r] > 0.0 else np.float32(1.0)
        squares, missed = 0.0, 0.0
        for i in range(rows.shape[1]):
            value = rows[r, i] * stretch[i]
            whole = min(max(np.rint(value / width), np.float32(-MOST)), np.float32(MOST))
            quants[r, i] = np.int8(whole)
            miss = np.float64(value) - np.float64(width) * np.float64(whole)
            squares += np.float64(value) * np.float64(value)
            missed += miss * miss
        length[r], lost[r] = np.sqrt(squares), np.sqrt(missed)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def multiply(users: Vectors, packed: Packed, out: Vectors, slack: Wide) -> None:
    """Scores of these users with all items into `out`; adds to slack[u] what a score of user u may be wrong by.

    out has rows for a whole number of tiles and columns for a whole number of panels.
    """
    n, groups = users.shape[0], packed.bytes.shape[1] // (4 * PANEL)
    whole = (n + USERS - 1) // USERS * USERS
    quants, step = np.zeros((whole, 4 * groups), np.int8), np.zeros(whole, np.float32)
    length, lost, base = np.zeros(n), np.zeros(n), np.zeros(whole, np.int32)
    quantise(users, packed.stretch, quants, step, length, lost)
    for u in range(n):
        rounded = 8.0 * HALF_ULP * (length[u] + lost[u]) * packed.longest + FAINT * users.shape[1] * (1.0 + packed.longest)
        slack[u] += length[u] * packed.error + lost[u] * packed.longest + rounded
        for i in range(quants.shape[1]):
            base[u] -= 128 * np.int32(quants[u, i])
    for p in range(packed.bytes.shape[0]):
        for u in range(0, whole, USERS):
            first = p * PANEL
            _tile(quants[u:], base[u:], step[u:], packed.bytes[p], packed.step[first:], out[u:, first:], groups, out.shape[1])


@intrinsic  # type: ignore[untyped-decorator]
def _tile(context: Any, quants: Any, base: Any, step: Any, packed: Any, item_step: Any, out: Any, groups: Any, width: Any) -> Any:
    """out[:4, :64], rows `width` apart: step · item_step · (base + Σ quants · packed), sums over `groups` of 4 factors."""
    arrays = (quants, base, step, packed, item_step, out)

    def generate(target: Any, builder: Any, signature: Any, given: Any) -> Any:
        at = [target.make_array(kind)(target, builder, value).data for kind, value in zip(arrays, given[:6], strict=True)]
        sums = _sums(builder, at[0], at[1], at[3], given[6])
        for v in range(PANEL // LANES):
            of_item = _load(builder, at[4], 4 * LANES * v, FLOATS)
            for u in range(USERS):
                scale = builder.fmul(_spread(builder, at[2], 4 * u, FLOATS), of_item)
                value = builder.fmul(builder.sitofp(builder.load(sums[u][v]), FLOATS), scale)
                row = builder.mul(given[7], ir.Constant(given[7].type, 4 * u))
                place = cgutils.pointer_add(builder, at[5], builder.add(row, ir.Constant(row.type, 4 * LANES * v)), FLOATS.as_pointer())
                builder.store(value, place, align=4)
        return target.get_dummy_value()

    return types.void(*arrays, groups, width), generate


def _sums(builder: Any, quants: Any, base: Any, packed: Any, groups: Any) -> list[list[Any]]:
    """Where the sums of each user and register lie; the compiler keeps them in registers."""
    dot = cgutils.get_or_insert_function(builder.module, ir.FunctionType(INTS, [INTS, INTS, INTS]), "llvm.x86.avx512.vpdpbusd.512")
    sums = [[cgutils.alloca_once(builder, INTS) for _ in range(PANEL // LANES)] for _ in range(USERS)]
    for u in range(USERS):
        first = _spread(builder, base, 4 * u, INTS)
        for place in sums[u]:
            builder.store(first, place)
    with cgutils.for_range(builder, groups) as loop:
        panel = builder.mul(loop.index, ir.Constant(groups.type, 4 * PANEL))
        items = [_load(builder, packed, builder.add(panel, ir.Constant(groups.type, 4 * LANES * v)), INTS) for v in range(PANEL // LANES)]
        for u in range(USERS):
            group = builder.add(builder.mul(groups, ir.Constant(groups.type, u)), loop.index)
            user = _spread(builder, quants, builder.mul(group, ir.Constant(groups.type, 4)), INTS)
            for place, item in zip(sums[u], items, strict=True):
                builder.store(builder.call(dot, [builder.load(place), item, user]), place)
    return sums


def _load(builder: Any, start: Any, offset: Any, kind: Any) -> Any:
    """What lies `offset` bytes from `start`."""
    return builder.load(cgutils.pointer_add(builder, start, offset, kind.as_pointer()), align=4)


def _spread(builder: Any, start: Any, offset: Any, kind: Any) -> Any:
    """The number `offset` bytes from `start`, in all lanes."""
    one = builder.insert_element(
        ir.Constant(kind, ir.Undefined), _load(builder, start, offset, kind.element), ir.Constant(ir.IntType(32), 0)
    )
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), LANES), None))
