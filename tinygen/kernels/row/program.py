"""A row of tiles, made for one layer: the program.

A tile is four pixels and all channels, two at a time, as in kernels/tile/program.py. Here the kernel fills the window
itself, at offsets that are in the code, and goes on to the next tile of the row. The stack pointer is the window's
pointer, and stays where it is.

Four bytes of a pixel become two pairs of taps, bytes 0 and 2, and 1 and 3; bytes that are left over, of all kernel
rows, become pairs of two, and the last one a pair whose other half meets a weight of 0.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from tinygen.kernels.armv7em import (
    addw,
    cmp,
    ldr,
    ldr_post,
    ldrsb,
    mov,
    pkhbt_lsl16,
    str_word,
    strb,
    subs,
    subw,
    sxtb16,
    sxtb16_ror8,
    vldm,
    vmov,
)
from tinygen.kernels.check import checked
from tinygen.kernels.program import BITS, BYTES_IN, BYTES_OUT, INT, WORDS, WORDS_IN, Node, Program, Reg, Type
from tinygen.kernels.tile.program import OFFSET, W_AT, W_END, Y_AT, Pairs, Word

#: An immediate offset of LDR and STRB reaches so far.
REACH = 4095

R = Reg("r", Type("const tg_row_t *", 1, 4, ((0, "w_end"), (4, "offset"), (8, "tiles"))), "r0")
X, W, Y = Reg("x", BYTES_IN, "r1"), Reg("w", WORDS_IN, "r2"), Reg("y", BYTES_OUT, "r3")
V = Reg("v", WORDS, "sp")
X_AT = Reg("x_at", BYTES_IN, "r0")
# What is parked in registers of the FPU; those of the tile are s0 to s2.
TILES, X_KEPT, Y_TILE, W_KEPT = Reg("tiles", INT, "s3"), X_AT.at("s4"), Reg("y_tile", BYTES_OUT, "s5"), W.at("s6")


@dataclass(frozen=True, slots=True)
class Block:
    """Four bytes of each pixel: where they lie in the image, and the first of their two pairs."""

    offset: int
    pair: int


@dataclass(frozen=True, slots=True)
class Tail:
    """Two bytes that four left over, or one."""

    first: int
    second: int | None
    pair: int


@dataclass(frozen=True, slots=True)
class Row:
    """`pairs`: how many; `x`, `y`: bytes to each of the four pixels; `x_tile`, `y_tile`: from tile to tile;
    `y_channel`: from channel to channel, 0 for a single one. `unroll`: pairs of channels in a turn of the loop
    (`looped`), or all, and `behind`: pairs behind the loop. `odd`: the last pair of all begins with the last channel
    before it; `lift`: sums of even channels are shifted left by so much."""

    blocks: tuple[Block, ...]
    tails: tuple[Tail, ...]
    steps: tuple[Word, ...]
    x: tuple[int, ...]
    x_tile: int
    y: tuple[int, ...]
    y_tile: int
    y_channel: int
    window: int
    unroll: int
    looped: bool
    behind: int
    odd: bool
    shift: int
    lift: int

    @property
    def turn(self) -> list[tuple[int, int]]:
        """For each pair of channels in a turn: the first output from the pointer, and how the pointer then moves."""
        return self._stores(self.unroll, self.odd and not self.looped, 2 * self.unroll if self.looped else None)

    @property
    def last(self) -> list[tuple[int, int]]:
        """The same for the pairs behind the loop; the first is -y_channel where there is only the overlapping one."""
        return self._stores(self.behind, self.odd, None)

    def _stores(self, pairs: int, odd: bool, end: int | None) -> list[tuple[int, int]]:
        """`end`: the channel to which the pointer moves behind the last pair."""
        starts = [2 * p for p in range(pairs)]
        if odd and pairs:
            starts[-1] -= 1 if self.y_channel else 0
        reach, at = self.y[3] + self.y_channel, 0
        found: list[tuple[int, int]] = []
        for i, channel in enumerate(starts):
            first = channel * self.y_channel - at
            then = end if i == len(starts) - 1 else starts[i + 1]
            move = 0 if then is None else then * self.y_channel - at
            if i < len(starts) - 1 and move + reach <= REACH:
                move = 0
            found.append((first, move))
            at += move
        return found


@functools.lru_cache(maxsize=64)
def row_program(row: Row) -> Program:
    """See the head of this file."""
    out = _Row(row)
    out.kernel()
    return checked(Program((R, X, W, Y), tuple(out.nodes), row.window, V))


class _Row(Pairs):
    """Writes one kernel."""

    def __init__(self, row: Row) -> None:
        super().__init__(V, 4, row.shift, row.lift)
        self.row = row

    def kernel(self) -> None:
        """All tiles."""
        row = self.row
        self.add(vldm(R, (W_END, OFFSET, TILES)), mov(X_AT, X), vmov(Y_TILE, Y), vmov(W_KEPT, W))
        with self.loop("tiles"):
            self.fill()
            y, tiles = Y_TILE.at("r12"), TILES.at("r1")
            self.add(addw(X_AT, X_AT, row.x_tile), vmov(y, Y_TILE), vmov(X_KEPT, X_AT))
            self.add(vmov(W_AT, W_KEPT), vmov(Y_AT, y))
            if row.looped:
                with self.loop("pairs of channels"):
                    self.channels(row.turn)
                    end = W_END.at("r10")
                    self.add(vmov(end, W_END), cmp(W_AT, end))
            else:
                self.channels(row.turn)
            if row.behind == 1:
                self.note("the last two channels: one of them again")
                at = Y_AT.at("r12")
                self.add(vmov(at, Y_AT), subw(at, at, row.y_channel), vmov(Y_AT, at))
            self.channels([(max(first, 0), move) for first, move in row.last])
            self.add(vmov(tiles, TILES), vmov(y, Y_TILE), vmov(X_AT, X_KEPT), subs(tiles, tiles, 1))
            self.add(addw(y, y, row.y_tile), vmov(TILES, tiles), vmov(Y_TILE, y))

    def fill(self) -> None:
        """The window of four pixels."""
        self.note("four pixels: the window")
        with self.copies() as copies:
            copies += [self.block(b) for b in self.row.blocks]
        with self.copies() as copies:
            copies += [self.tail(t) for t in self.row.tails]

    def block(self, block: Block) -> tuple[Node, ...]:
        """Four bytes of each pixel."""
        four, x02, x13 = ([Reg(f"{n}{p}", BITS, f"r{r + p}") for p in range(4)] for n, r in _WORDS)
        loads = [ldr(v, X_AT, block.offset + at) for v, at in zip(four, self.row.x, strict=True)]
        spread = [*map(sxtb16_ror8, x13, four), *map(sxtb16, x02, four)]
        return (*loads, *spread, *(str_word(v, V, 16 * block.pair + 4 * i) for i, v in enumerate([*x02, *x13])))

    def tail(self, tail: Tail) -> tuple[Node, ...]:
        """Two bytes of each pixel, or one."""
        one, two, both = ([Reg(f"{n}{p}", BITS, f"r{r + p}") for p in range(4)] for n, r in _BYTES)
        nodes: list[Node] = [ldrsb(v, X_AT, tail.first + at) for v, at in zip(one, self.row.x, strict=True)]
        if tail.second is not None:
            nodes += [ldrsb(v, X_AT, tail.second + at) for v, at in zip(two, self.row.x, strict=True)]
            nodes += map(pkhbt_lsl16, both, one, two)
        stored = one if tail.second is None else both
        return (*nodes, *(str_word(v, V, 16 * tail.pair + 4 * p) for p, v in enumerate(stored)))

    def channels(self, stores: list[tuple[int, int]]) -> None:
        """Two by two: the first output from the pointer, and how the pointer then moves."""
        alike: list[tuple[Node, ...]] = []
        for first, move in stores:
            with self.copy(alike):
                self.pair(first)
            if move:
                self.several(alike)
                self.move(move)
        self.several(alike)

    def several(self, alike: list[tuple[Node, ...]]) -> None:
        """All that is in the list, which then is empty."""
        with self.copies() as copies:
            copies += alike
        alike.clear()

    def pair(self, first: int) -> None:
        """Two channels."""
        self.note("two channels")
        self.add(ldr_post(self.even[0], W_AT, 4), ldr_post(self.odd[0], W_AT, 4), *self.word(self.row.steps[0]))
        with self.copies() as copies:
            copies += map(self.word, self.row.steps[1:])
        self.outputs()
        y = Y_AT.at("r12")
        self.add(vmov(y, Y_AT))
        for even, odd, at in zip(self.even, self.odd, self.row.y, strict=True):
            self.add(strb(even, y, first + at), strb(odd, y, first + at + self.row.y_channel))

    def move(self, n: int) -> None:
        """The pointer to the outputs, which the last two left in a register."""
        y = Y_AT.at("r12")
        self.add(*(addw(y, y, step) for step in ([REACH, n - REACH] if n > REACH else [n])), vmov(Y_AT, y))


#: (name, first register) of words, their bytes 0 and 2, 1 and 3; of bytes, and pairs of them.
_WORDS = (("four", 4), ("x02_", 4), ("x13_", 8))
_BYTES = (("one", 4), ("two", 8), ("both", 4))
