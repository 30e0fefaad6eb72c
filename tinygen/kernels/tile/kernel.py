"""The tiles that there are: which activations each word of weights meets, and what a kernel is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinygen.kernels.kernel import Kernel, short_name
from tinygen.kernels.program import Program
from tinygen.kernels.tile.group import BLOCK, Group, group_program
from tinygen.kernels.tile.program import Tile, Word, tile_program

#: Offsets of four words of activations in the window, one of each pixel, in bytes.
Offsets = tuple[int, int, int, int]
_ACTIVATIONS = ("r8", "r9", "r10", "r11")
#: Code of requantising and storing eight outputs, about.
ENDS_CODE = 200
#: An immediate offset of LDR reaches so far.
REACH = 4095


@dataclass(frozen=True, slots=True)
class TileKernel(Kernel):
    """A tile under a name; what choosing asks for is estimated, so that only the chosen become programs."""

    kind: str
    what: str
    tile: Tile

    @property
    def family(self) -> str:
        return self.kind

    @property
    def name(self) -> str:
        stem = self.kind.removesuffix("_")
        return short_name(stem if self.tile.pixels == 4 else f"{stem}{self.tile.pixels}", self.tile)

    @property
    def brief(self) -> str:
        return f"{self.what}{', an odd number of channels' if self.tile.odd else ''}."

    @property
    def fixed(self) -> str:
        """What the code has of a layer, in words."""
        shift = "any shift" if self.shift is None else f"shift {32 + self.shift}"
        y = self.tile.y
        ends = "any strides of the output" if y is None else f"pixels {y[0]} and channels {y[1]} bytes apart"
        return f"{shift}, {ends}"

    @property
    def include(self) -> str:
        return "tg_tile_dsp.h"

    @property
    def contract(self) -> str:
        below = f", with {self.tile.dead} free below it" if self.tile.dead else ""
        return (
            f"See tg_tile_fn_t. For {self.fixed}.\n"
            f" * The window takes {self.tile.window} bytes of stack{below}. The stack\n"
            " * pointer points to it: see tg_tile_dsp.h."
        )

    @property
    def program(self) -> Program:
        return tile_program(self.tile)

    @property
    def steps(self) -> tuple[Word, ...]:
        """Words of weights of a turn."""
        return self.tile.steps

    @property
    def shift(self) -> int | None:
        """In the code, or None."""
        return self.tile.shift

    def for_odd(self) -> TileKernel:
        """The same, for an odd number of channels."""
        return replace(self, tile=replace(self.tile, odd=True))

    def turns(self, pairs: int) -> float:
        """Of its loop, for two channels."""
        return pairs / len(self.steps) if self.tile.looped else 0.0

    @property
    def loop_bytes(self) -> int:
        """Code that runs for every two channels, or for every turn of a looped kernel."""
        steps = sum(4 * (2 + len(s.loads) + 2 * self.tile.pixels) for s in self.steps)
        return steps + (16 if self.tile.looped else ENDS_CODE)

    @property
    def code(self) -> int:
        """Bytes, about."""
        return self.loop_bytes + ENDS_CODE


def schedule(steps: Sequence[tuple[int, ...]], base: int, first: bool) -> tuple[Word, ...]:
    """Which activations each step must load when the four registers keep what they hold: a window slides over most of
    them. `first`: sums start in the first step instead of before it."""
    held: dict[str, int] = {}
    words = []
    for i, want in enumerate(steps):
        free = [r for r in _ACTIVATIONS if held.get(r) not in want]
        loads = []
        for offset in dict.fromkeys(want):
            if offset not in held.values():
                register = free.pop(0)
                held[register] = offset
                loads.append((register, offset + base))
        where = {offset: register for register, offset in held.items()}
        words.append(Word(tuple(loads), tuple(where[o] for o in want), first and i == 0))
    return tuple(words)


def eight(n: int) -> int:
    """The next multiple."""
    return -(-n // 8) * 8


def whole_tile(pairs: int, shift: int | None, y: tuple[int, int] | None, pixels: int = 4) -> TileKernel:
    """Windows [pair][pixel] of so many pairs, without a loop: fastest, 56 bytes of code a pair. With three pixels the
    fourth of the window is not looked at."""
    steps = [tuple(16 * i + 4 * p for p in range(pixels)) for i in range(pairs)]
    window = 16 * pairs
    return TileKernel(
        "tg_tile_w",
        f"{'Four' if pixels == 4 else 'Three'} pixels with windows of {pairs} pairs of taps",
        Tile(schedule(steps, 0, True), False, 0, eight(window), 0, shift, y, pixels),
    )  # fmt: skip


def column_tile(rows: int, pairs: int, order: Sequence[tuple[int, ...]], shift: int | None) -> TileKernel:
    """Four pixels of a column, whose windows overlap: [row / 4][pair][row % 4], so many pairs a row.

    `order`: for each step the row of each pixel; it is walked for one pair after the other.
    """
    steps: list[Offsets] = []
    for pair in range(pairs):
        for of in order:
            a, b, c, d = (r // 4 * 16 * pairs + 16 * pair + r % 4 * 4 for r in of)
            steps.append((a, b, c, d))
    return TileKernel(
        "tg_tile_c",
        f"Four pixels of a column: {rows} rows of {pairs} pairs of taps",
        Tile(schedule(steps, 0, True), False, 0, eight(4 * rows * pairs), 0, shift, None),
    )  # fmt: skip


def looped_tile(most: int, unroll: int, shift: int | None, y: tuple[int, int] | None) -> TileKernel:
    """The same for any number of pairs up to `most` that is a multiple of `unroll`."""
    steps: list[Offsets] = [(16 * i, 16 * i + 4, 16 * i + 8, 16 * i + 12) for i in range(unroll)]
    window = 16 * most
    dead = eight(window - 16 * unroll)
    return TileKernel(
        "tg_tile_l",
        f"Four pixels with windows of a multiple of {unroll} pairs of taps, {most} at the most",
        Tile(schedule(steps, dead, False), True, 16 * unroll, eight(window), dead, shift, y),
    )  # fmt: skip


#: The cache that a group's loop must fit, and its bytes in front of that loop, at most, in a line of 32 (TG_LINE).
CACHE, IN_FRONT = 1024, 28
#: Offsets from the stack pointer that an instruction of 16 bits reaches.
NEAR = 1020
#: Cycles of a word of weights for a tile, and of a turn of the loop over them.
WORD, TURN = 15, 7


@dataclass(frozen=True, slots=True)
class GroupKernel(Kernel):
    """A group of tiles under a name."""

    group: Group

    @property
    def name(self) -> str:
        return short_name("tg_tile_g", self.group)

    @property
    def family(self) -> str:
        return "tg_tile_g"

    @property
    def brief(self) -> str:
        return f"Groups of tiles of four pixels with windows of {self.group.pairs} pairs of taps."

    @property
    def include(self) -> str:
        return "tg_tile_dsp.h"

    @property
    def contract(self) -> str:
        shift = "any shift" if self.shift is None else f"shift {32 + self.shift}"
        return (
            f"See tg_tile_fn_t; for {shift}. The windows are filled before the call (tg_groups_s8_dsp.h).\n"
            " * The stack pointer points to the weights of two channels (tg_tile_dsp.h),\n"
            f" * {self.group.dead} bytes below them free."
        )

    @property
    def program(self) -> Program:
        return group_program(self.group)

    @property
    def shift(self) -> int | None:
        """In the code, or None."""
        return self.group.shift

    def turns(self, pairs: int) -> float:
        """Of its loop, for two channels of a tile."""
        return float(self.group.turns if self.group.turns > 1 else 0)

    @property
    def loop_bytes(self) -> int:
        """Code that runs for every two channels."""
        return group_bytes(self.group.pairs, self.group.turn)

    @property
    def code(self) -> int:
        """Bytes, about."""
        return self.loop_bytes + 60


def group_bytes(pairs: int, turn: int) -> int:
    """Code that runs for two channels of a group."""
    group = Group(pairs, turn, 1)
    copied = 8 * -(-(pairs + 4) // 8) - 4 * int((pairs + 4) % 8 == 2)
    loads = [
        group.dead,
        *range(group.dead + 8, group.dead + 8 + 4 * turn, 4),
        *(group.dead + 4 * (pairs + k) for k in (2, 3)),
    ]
    far = len([offset for offset in loads if offset > NEAR]) + int(group.dead > NEAR // 2)
    return 46 * turn + 2 * -(-turn // BLOCK) + copied + (216 if group.turns > 1 else 188) + 2 * far


def group_turns(pairs: int) -> tuple[int, int]:
    """Pairs of taps, the last of them empty, and how many in a turn: what takes least, in a loop that fits a small
    cache if one does."""
    turns = [(-(-pairs // n) * n, n) for n in range(1, pairs + 1)]
    fits = [(p, n) for p, n in turns if group_bytes(p, n) <= CACHE - IN_FRONT]
    return min(fits or turns, key=lambda t: WORD * t[0] + (t[0] // t[1] if t[0] > t[1] else 0) * TURN)


def group_window(pairs: int) -> int:
    """Bytes of a tile of a group: its window, and the place of its outputs."""
    return 16 * pairs + 16


def group_tile(pairs: int, turn: int, shift: int | None) -> GroupKernel:
    """Windows [pair][pixel] of so many pairs, a multiple of `turn`, one tile behind the other."""
    return GroupKernel(Group(pairs, turn, shift))
