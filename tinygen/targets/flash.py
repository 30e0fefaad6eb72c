"""How the flash of a part slows its core: wait states, width, read-ahead and caches, from public documents.

Families are found by the `mcu` of a board's manifest. Only parts whose core has a cycle model (tinygen/profile/
timing.py) are listed. `SILICON` is how silicon compares on one board; what a document leaves open is in `notes`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinygen.targets.board import Board

MHZ = 1_000_000
#: Silicon over cycle tables and flash models: between which four fifths of 16 programs lie, and in the middle their
#: median (`python -m benchmarks.silicon`, docs/PROFILE.md). One board, four networks, published code and times.
SILICON = (1.0, 1.04, 1.11)


@dataclass(frozen=True, slots=True)
class Flash:
    """The flash of a part at one clock, as templates_c/profile/counter.c models it.

    `waits` and `data_waits` are cycles that an instruction fetch and a data read wait for what no cache holds; `width`
    is the bytes of a read. `code_bytes` and `data_bytes` are the caches, 0 for none, in sectors of `sector` bytes and
    `ways` and `data_ways` (0: fully associative); `shared`: data comes through the cache for code. `ram_waits`: cycles
    that a read of RAM waits when it is not in the data cache, 0 where RAM never waits and no cache holds it. `source`
    is the document, `notes` what in the model is an assumption.
    """

    family: str
    source: str
    waits: int
    data_waits: int
    width: int
    prefetch: bool
    sector: int
    ways: int
    code_bytes: int
    data_bytes: int
    shared: bool
    notes: str
    data_ways: int = 0
    ram_waits: int = 0

    @property
    def key(self) -> str:
        """Equal for parts whose flash behaves alike."""
        return f"{self.family} {self.waits}"


#: Memory that never waits.
ZERO_WAIT = Flash("zero wait", "", 0, 0, 4, False, 4, 0, 0, 0, False, "")


@dataclass(frozen=True, slots=True)
class _Family:
    """Parts whose `mcu` begins with one of `parts`; `clocks` are the highest MHz for 0, 1, 2, ... wait states."""

    name: str
    parts: tuple[str, ...]
    source: str
    clocks: tuple[int, ...]
    width: int
    prefetch: bool = False
    sector: int = 0
    ways: int = 0
    code_bytes: int = 0
    data_bytes: int = 0
    shared: bool = False
    data_ways: int | None = None
    ram_waits: int = 0
    #: Cycles of a read, where they do not follow from a table of clocks.
    fixed: int | None = None
    #: Core's cycles of a wait state, and what a read costs beyond those.
    scale: int = 1
    more: int = 0
    notes: str = ""

    def at(self, hz: int) -> Flash | None:
        """The flash at a clock; None above the highest one."""
        waits = next((n for n, limit in enumerate(self.clocks) if hz <= limit * MHZ), None)
        waits = self.fixed if waits is None else self.scale * waits + self.more
        if waits is None:
            return None
        return Flash(
            self.name, self.source, waits, waits, self.width, self.prefetch, self.sector or self.width, self.ways,
            self.code_bytes, self.data_bytes, self.shared, self.notes,
            self.ways if self.data_ways is None else self.data_ways, self.ram_waits,
        )  # fmt: skip


_NO_SHAPE = "the manual does not say how the caches are organised: fully associative, least recently used"
_FAMILIES = (
    _Family(
        "STM32F0",
        ("stm32f0",),
        "ST RM0091, section 3.2",
        (24, 48),
        width=4,
        prefetch=True,
        notes="a buffer of one word, read ahead by one word",
    ),
    _Family(
        "STM32F1",
        ("stm32f1",),
        "ST PM0075, section 1; RM0008, section 3.3.3",
        (24, 48, 72),
        width=8,
        prefetch=True,
        code_bytes=16,
        notes="the two prefetch buffers as a cache of two lines; every data read waits",
    ),
    _Family(
        "STM32F4",
        ("stm32f4",),
        "ST RM0090, section 3; RM0390 and RM0383 alike (ART accelerator, 2.7 to 3.6 V)",
        (30, 60, 90, 120, 150, 180),
        width=16,
        prefetch=True,
        code_bytes=64 * 16,
        data_bytes=8 * 16,
        notes=_NO_SHAPE,
    ),
    _Family(
        "STM32L0",
        ("stm32l0",),
        "ST RM0367, section 3.3 (range 1)",
        (16, 32),
        width=4,
        prefetch=True,
        code_bytes=16,
        data_bytes=8,
        notes="the six buffers as four for code and two for data; prefetch on",
    ),
    _Family(
        "STM32L4",
        ("stm32l47",),
        "ST RM0351, section 3 (range 1)",
        (16, 32, 48, 64, 80),
        width=8,
        prefetch=True,
        sector=32,
        code_bytes=1024,
        data_bytes=256,
        notes=f"prefetch switched on (it is off after reset); {_NO_SHAPE}",
    ),
    _Family(
        "STM32L4+",
        ("stm32l4r", "stm32l4s"),
        "ST RM0432, section 3 (range 1 boost)",
        (20, 40, 60, 80, 100, 120),
        width=8,
        prefetch=True,
        sector=32,
        code_bytes=1024,
        data_bytes=256,
        notes=f"two banks as delivered, so 64 bits wide; prefetch switched on (it is off after reset); {_NO_SHAPE}",
    ),
    _Family(
        "STM32G0",
        ("stm32g0",),
        "ST RM0444, section 3.3 (range 1)",
        (24, 48, 64),
        width=8,
        prefetch=True,
        code_bytes=16,
        notes="prefetch and the cache of two lines switched on; every data read waits",
    ),
    _Family(
        "STM32G4",
        ("stm32g4",),
        "ST RM0440, section 3.3 (range 1 boost)",
        (34, 68, 102, 136, 170),
        width=8,
        prefetch=True,
        sector=32,
        code_bytes=1024,
        data_bytes=256,
        notes=f"64 bits wide; prefetch switched on (it is off after reset); {_NO_SHAPE}",
    ),
    _Family("nRF51", ("nrf51",), "Nordic nRF51 Reference Manual, section 6", (16,), width=4, notes="never waits"),
    _Family(
        "nRF52",
        ("nrf52",),
        "Nordic nRF52840 Product Specification, CPU and NVMC",
        (),
        fixed=2,
        width=16,
        ways=2,
        code_bytes=2048,
        notes="the size of the instruction cache is not documented: 2 KiB of two ways, 16-byte lines, taken from the "
        "nRF91; cache switched on; every data read waits",
    ),
    _Family(
        "SAM D21",
        ("samd21",),
        "Microchip DS40001882, NVMCTRL (cache: 8 lines of 64 bits, direct-mapped)",
        (24, 48),
        width=8,
        ways=1,
        code_bytes=64,
        shared=True,
    ),
    _Family(
        "SAM D51",
        ("samd51",),
        "Microchip DS60001507, CMCC and NVMCTRL",
        (24, 51, 77, 101, 119, 120),
        width=16,
        ways=4,
        code_bytes=4096,
        shared=True,
        notes="cache controller switched on (it is off after reset)",
    ),
    _Family(
        "SAM3X",
        ("at91sam3x",),
        "Atmel 11057, EEFC",
        (22, 38, 58, 78, 84),
        width=16,
        prefetch=True,
        code_bytes=32,
        data_bytes=16,
        notes="two buffers for code, one for data",
    ),
    _Family(
        "RP2040",
        ("rp2040",),
        "RP2040 Datasheet, section 2.6.3 (XIP)",
        (),
        fixed=56,
        width=8,
        ways=2,
        code_bytes=16 * 1024,
        shared=True,
        notes="a miss is 12 + 16 clocks of a flash in continuous quad mode at half the core's clock",
    ),
)
#: Parts with large caches, whose cores have no cycle model: what misses make their code wait can be counted, not what
#: else it takes. Kernels are chosen for them as if nothing waited (docs/BENCHMARKS.md has the waits of five networks).
_CACHED = (
    _Family(
        "STM32H7",
        ("stm32h742", "stm32h743", "stm32h753"),
        "ST RM0433, section 4.3.8 (VOS1); Arm DDI 0489 (16 KiB caches, 2 and 4 ways, lines of 32 bytes)",
        (140, 280, 420),
        width=32,
        ways=2,
        data_ways=4,
        code_bytes=16 * 1024,
        data_bytes=16 * 1024,
        scale=2,
        more=2 + 8,
        ram_waits=4 + 8,
        notes="both caches switched on; a line is four beats of a bus at half the core's clock, behind the flash's own "
        "access or two clocks of that bus for RAM: the latency of the interconnect is in no document; least recently "
        "used, where the core takes a random line; activations in AXI SRAM",
    ),
    _Family(
        "STM32U5",
        ("stm32u575", "stm32u585"),
        "ST RM0456, sections 7.3.3 (range 1) and 8 (ICACHE: 8 KiB, 2 ways, lines of 16 bytes)",
        (32, 64, 96, 128, 160),
        width=16,
        ways=2,
        code_bytes=8 * 1024,
        shared=True,
        notes="ICACHE switched on (it is off after reset), no read-ahead; constants in flash come through it too",
    ),
)


def _described(board: Board, families: tuple[_Family, ...]) -> Flash | None:
    family = next((f for f in families if board.mcu.startswith(f.parts)), None)
    return None if family is None else family.at(board.f_cpu_hz)


def flash_of(board: Board) -> Flash | None:
    """The flash of a board at its clock, as kernels are chosen for; None when nobody has described it."""
    return ZERO_WAIT if board.zero_wait else _described(board, _FAMILIES)


def caches_of(board: Board) -> Flash | None:
    """What can be counted of a board whose core has no cycle model: misses of its caches, and their waits."""
    return _described(board, _CACHED)
