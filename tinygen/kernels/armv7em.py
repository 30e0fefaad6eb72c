"""The instructions of ARMv7E-M that the kernels use, each declared once: assembly, meaning in C, kind for its time.

C takes the functions of tg_isa_dsp.h where C itself has no word for it; sums of numbers wrap.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from string import Formatter

from tinygen.kernels.program import BITS, INT, OCTETS, WORDS_IN, Instruction, Op, ProgramError, Reg, Statement, Type
from tinygen.targets.arch.timing import Kind


class Affine(int):
    """An offset that is `step` larger in each turn of a loop over `Copies`; itself in the first. `turn` counts them."""

    step: int
    turn: str

    def __new__(cls, first: int, step: int, turn: str) -> Affine:
        made = super().__new__(cls, first)
        made.step, made.turn = step, turn
        return made


def statements(i: Instruction) -> list[Statement]:
    """What an instruction is in C."""
    if callable(i.op.c):
        return i.op.c(i)
    looked = {f: _looked(i, f) for _, f, _, _ in Formatter().parse(i.op.c) if f}
    d = i.reg("d")
    return [(d, _as(i.op.c.format(**looked), i.op.gives, d.type))]


def differs(test: Instruction) -> str:
    """What is true in C where the test does not find its values equal, or one of its bits set."""
    if test.op is tst:
        return f"({_looked(test, 'n')} & {test.i}U) != 0U"
    if test.compares is None:
        raise ProgramError(f"{test}: tests nothing")
    return "{} != {}".format(*test.compares)


def _looked(i: Instruction, f: str) -> str:
    """An operand as the instruction looks at it."""
    value, wanted = i.by_field[f], {"s": INT, "u": BITS}.get(i.op.looks[f])
    if isinstance(value, Reg) and wanted is not None and value.type != wanted:
        return f"({wanted.c}){value}"
    return str(value)


def _as(text: str, of: Type, to: Type) -> str:
    """An expression of one type as another. Whatever a pointer points to can be looked at as bytes."""
    if of == to or to.c == f"const {of.c}":
        return text
    if (of.pointer or to.pointer) and not (of.pointer and to.c == OCTETS.c):
        raise ProgramError(f"{of.c} as {to.c}: {text}")
    simple = " " not in text or (text.endswith(")") and text.count("(") == 1)
    return f"({to.c}){text}" if simple else f"({to.c})({text})"


def elements(offset: int, size: int) -> str:
    """So many bytes in elements of a size."""
    if offset % size or (isinstance(offset, Affine) and offset.step % size):
        raise ProgramError(f"{offset} bytes are no whole elements of {size}")
    if isinstance(offset, Affine):
        turn = offset.turn if offset.step == size else f"({offset.step // size} * {offset.turn})"
        return f"{int(offset) // size} + {turn}" if offset else turn.strip("()")
    return str(offset // size)


def plus(offset: int, more: int) -> int:
    """An offset and a number, in each turn."""
    return Affine(int(offset) + more, offset.step, offset.turn) if isinstance(offset, Affine) else offset + more


def _loaded(d: Reg, base: Reg, offset: int) -> Statement:
    """A word from memory."""
    t = base.type
    if t.members:
        return d, f"{base}->{t.member(offset)}"  # of a type of its own
    offset = plus(offset, t.at)
    if d.type.pointer:
        return d, f"{base}[{elements(offset, t.size)}]"
    if t.size == 4:
        return d, _as(f"{base}[{elements(offset, 4)}]", t.element, d.type)
    return d, _as(f"tg_load32(&{base}[{elements(offset, t.size)}])", BITS, d.type)


def _behind(to: Reg, base: Reg, offset: int) -> Statement:
    """A pointer some bytes behind another."""
    if base.type.members:
        if (to.type.c, to.type.at) != (base.type.c, base.type.at + offset):
            raise ProgramError(f"{to} is not {offset} bytes behind {base}")
        return to, base.name
    if base.type.c != to.type.c:
        raise ProgramError(f"{to} is no {base.type.c}, as {base} is")
    offset = plus(offset, base.type.at - to.type.at)
    return to, f"&{base}[{elements(offset, base.type.size)}]" if offset else base.name


def _load(i: Instruction) -> list[Statement]:
    return [_loaded(i.reg("d"), i.reg("b"), i.i)]


def _load_post(i: Instruction) -> list[Statement]:
    w = i.reg("w")
    loaded = _loaded(i.reg("d"), w, 0)
    return [loaded] if w.type.members else [loaded, _behind(w, w, i.i)]  # of a struct C has the start


def _load_pre(i: Instruction) -> list[Statement]:
    w = i.reg("w")
    return [_loaded(i.reg("d"), w, i.i), _behind(w, w, i.i)]


def _load_at(i: Instruction) -> list[Statement]:
    d = i.reg("d")
    return [(d, _as(f"{i.reg('b')}[{i.reg('m')}]", INT, d.type))]


def _load_apart(i: Instruction) -> list[Statement]:
    """A word so many bytes, times a power of two, behind where a pointer to bytes points."""
    at = f"{1 << i.i} * {i.reg('m')}" if i.i else str(i.reg("m"))
    return [(i.reg("d"), _as(f"tg_load32(&{i.reg('b')}[{at}])", BITS, i.reg("d").type))]


def _load_byte(i: Instruction) -> list[Statement]:
    return [(i.reg("d"), _as(f"{i.reg('b')}[{elements(i.i, 1)}]", INT, i.reg("d").type))]


def _load_byte_post(i: Instruction) -> list[Statement]:
    w = i.reg("w")
    return [(i.reg("d"), _as(f"{w}[0]", INT, i.reg("d").type)), _behind(w, w, i.i)]


def _octets_post(c: str) -> Callable[[Instruction], list[Statement]]:
    """A load of one or two bytes without a sign; `c`: what it is of the pointer."""
    return partial(_load_octets, c)


def _load_octets(c: str, i: Instruction) -> list[Statement]:
    w = i.reg("w")
    return [(i.reg("d"), c.format(w)), _behind(w, w, i.i)]


def _load_many(i: Instruction) -> list[Statement]:
    base = i.reg("w" if "w" in i.op.fields else "b")
    found = [_loaded(r, base, 4 * k) for k, r in enumerate(i.list)]
    moves = "w" in i.op.fields and not base.type.members  # of a struct C has the start
    return [*found, _behind(base, base, 4 * len(i.list))] if moves else found


def _store_many(i: Instruction) -> list[Statement]:
    base = i.reg("w" if "w" in i.op.fields else "b")
    made = [_stored(r, base, 4 * k) for k, r in enumerate(i.stored)]
    return [*made, _behind(base, base, 4 * len(i.stored))] if "w" in i.op.fields else made


def _byte(r: Reg) -> str:
    """The low byte, as it is stored."""
    return f"(int8_t){r}" if r.type == INT else f"(int8_t)(uint8_t)({r} & 0xFFU)"


def _store(i: Instruction) -> list[Statement]:
    return [(None, f"{i.reg('b')}[{elements(i.i, 1)}] = {_byte(i.reg('n'))}")]


def _store_word(i: Instruction) -> list[Statement]:
    return [_stored(i.reg("n"), i.reg("b"), i.i)]


def _stored(n: Reg, base: Reg, offset: int) -> Statement:
    """A word to memory."""
    at = f"{base}[{elements(offset, base.type.size)}]"
    if base.type.size == 4:
        return None, f"{at} = {_as(n.name, n.type, base.type.element)}"
    return None, f"tg_store32(&{at}, {_as(n.name, n.type, BITS)})"


def _store_word_post(i: Instruction) -> list[Statement]:
    w, n = i.reg("w"), i.reg("n")
    if w.type.size == 4:
        stored = f"{w}[0] = {_as(n.name, n.type, w.type.element)}"
    else:
        stored = f"tg_store32(&{w}[0], {_as(n.name, n.type, BITS)})"
    return [(None, stored), _behind(w, w, i.i)]


def _store_at(i: Instruction) -> list[Statement]:
    return [(None, f"{i.reg('b')}[{i.reg('m')}] = {_byte(i.reg('n'))}")]


def _store_post(i: Instruction) -> list[Statement]:
    w = i.reg("w")
    return [(None, f"{w}[0] = {_byte(i.reg('n'))}"), _behind(w, w, i.i)]


def _sum(i: Instruction) -> list[Statement]:
    """ADD: a pointer and bytes, or two numbers."""
    d, n = i.reg("d"), i.reg("n")
    if n.type == BITS:
        return [(d, f"{n} + {_bits(i.i) if 'i' in i.op.fields else i.reg('m')}")]
    if "i" in i.op.fields:
        return [_behind(d, n, i.i) if n.type.pointer else (d, _as(f"tg_add_wrap({n}, {i.i})", INT, d.type))]
    m = i.reg("m")
    if m.type.pointer:
        n, m = m, n
    if not n.type.pointer:
        return [(d, _as(f"tg_add_wrap({n}, {m})", INT, d.type))]
    return [(d, f"&{n}[{m}]" if n.type.size == 1 else f"&{n}[{m} / {n.type.size}]")]


def _difference(i: Instruction) -> list[Statement]:
    """SUB: bytes off a pointer, or two numbers."""
    d, n = i.reg("d"), i.reg("n")
    if n.type == BITS:
        return [(d, f"{n} - {_bits(i.i) if 'i' in i.op.fields else i.reg('m')}")]
    if "i" in i.op.fields:
        return [_behind(d, n, -i.i) if n.type.pointer else (d, _as(f"tg_sub_wrap({n}, {i.i})", INT, d.type))]
    m = i.reg("m")
    if m.type.pointer:
        if n.type.size != m.type.size:
            raise ProgramError(f"{i}: {n} is no {m.type.c}, as {m} is")
        return [(d, f"(int32_t)({n} - {m}) * {n.type.size}")]
    if n.type.pointer:
        return [(d, f"&{n}[-{m}]" if n.type.size == 1 else f"&{n}[-({m} / {n.type.size})]")]
    return [(d, _as(f"tg_sub_wrap({n}, {m})", INT, d.type))]


def _from(i: Instruction) -> list[Statement]:
    return [(i.reg("d"), f"tg_sub_wrap({i.i}, {i.reg('n')})")]


def _less(i: Instruction) -> list[Statement]:
    """SUBS: of what counts down, never below zero."""
    return [(i.reg("d"), f"{i.reg('n')} - {i.i}")]


def _field(i: Instruction) -> list[Statement]:
    """UBFX."""
    n, mask = i.reg("n"), f"{(1 << i.j) - 1}U"
    return [(i.reg("d"), f"({n} >> {i.i}) & {mask}" if i.i else f"{n} & {mask}")]


def _masked(i: Instruction) -> list[Statement]:
    """BIC of an address of bytes: of the word that it lies in."""
    return [(i.reg("d"), _as(f"tg_word_of({i.reg('n')})", WORDS_IN, i.reg("d").type))]


def _bits(i: int) -> str:
    return f"0x{i:08X}U"


def _shifted(m: Reg, i: int) -> str:
    """A register that an instruction looks at 2^i times as large."""
    return f"({m} << {i})" if m.type == BITS else f"({1 << i} * {m})"


def _at(m: Reg, i: int, size: int) -> str:
    """2^i times so many bytes as an index of elements."""
    by = size >> i
    return m.name if by == 1 else f"{m} / {by}" if by else f"{(1 << i) // size} * {m}"


def _sum_shifted(i: Instruction) -> list[Statement]:
    """ADD of a multiple: of bytes to a pointer, of bits, or of numbers so small that nothing wraps."""
    d, n, m = i.reg("d"), i.reg("n"), i.reg("m")
    if n.type.pointer:
        return [(d, f"&{n}[{_at(m, i.i, n.type.size)}]")]
    return [(d, f"{(1 << i.i) + 1} * {n}" if n == m and n.type == INT else f"{n} + {_shifted(m, i.i)}")]


def _difference_shifted(i: Instruction) -> list[Statement]:
    d, n, m = i.reg("d"), i.reg("n"), i.reg("m")
    if n.type.pointer:
        return [(d, f"&{n}[-({_at(m, i.i, n.type.size)})]")]
    return [(d, f"{n} - {_shifted(m, i.i)}")]


def _store_shifted(i: Instruction) -> list[Statement]:
    b, n = i.reg("b"), i.reg("n")
    return [(None, f"{b}[{_at(i.reg('m'), i.i, 4)}] = {_as(n.name, n.type, b.type.element)}")]


def _store_byte_shifted(i: Instruction) -> list[Statement]:
    return [(None, f"{i.reg('b')}[{_at(i.reg('m'), i.i, 1)}] = {_byte(i.reg('n'))}")]


def _taken(i: Instruction) -> list[Statement]:
    """The upper part of what may be taken, so that the end is the end."""
    return [(i.reg("d"), f"&frame[(sizeof(frame) - (uint32_t){i.reg('m')}) / sizeof(frame[0])]")]


def _mla(i: Instruction) -> list[Statement]:
    d, n, m, a = (i.reg(f) for f in "dnma")
    if a.type.pointer:
        return [(d, f"&{a}[({n} * {m}) / {a.type.size}]")]
    return [(d, f"tg_add_wrap({a}, {n} * {m})")]


def _copy(i: Instruction) -> list[Statement]:
    d, n = i.reg("d"), i.reg("n")
    if n.type.members and not d.type.members:  # to the array that its first member is
        return [(d, f"{n}->{n.type.member(0)}")]
    return [(d, _as(n.name, n.type, d.type))]


def _constant(i: Instruction) -> list[Statement]:
    d = i.reg("d")
    return [(d, _bits(i.i) if d.type == BITS and i.i > 255 else str(i.i))]


def _upper(i: Instruction) -> list[Statement]:
    t = i.reg("t")
    return [(t, f"{t} + {i.i << 16}")]


def _call(i: Instruction) -> list[Statement]:
    return [(None, f"{i.reg('n')}({i.reg('m')}, {i.reg('a')})")]


def _up(i: Instruction) -> list[Statement]:
    """A number that is moved up without leaving 32 bits, and what is done with it."""
    n = f"{i.reg('n')} * {1 << i.i}"
    return [(i.reg("d"), f"tg_ssat16({n})")]


def _nothing(i: Instruction) -> list[Statement]:
    return []


def _between(least: int, most: int, i: int) -> bool:
    return least <= i <= most


def _upto(most: int, least: int = 0) -> Callable[[int], bool]:
    return partial(_between, least, most)  # which can be pickled, as kernels are parts of builds


def _imm8(i: int) -> bool:
    """Eight bits anywhere, or twice or four times the same."""
    low, second = i & 0xFF, i >> 8 & 0xFF
    again = i in (low | low << 16, second << 8 | second << 24, low * 0x01010101)
    return i >= 0 and (again or any((i >> s) < 256 and (i >> s) << s == i for s in range(25)))


def _imm12(i: int) -> bool:
    """What ADD and SUB take: 12 bits, or what other instructions do."""
    return 0 <= i < 4096 or _imm8(i)


def _low(i: Instruction, fields: str) -> bool:
    """All in r0 to r7."""
    return all(i.reg(f).place in {f"r{k}" for k in range(8)} for f in fields)


def _all_low(fields: str) -> Callable[[Instruction], bool]:
    return partial(_low, fields=fields)


def _near(most: int, fields: str, i: Instruction) -> bool:
    return _low(i, fields) and 0 <= i.i < most


def _low_lists(i: Instruction) -> bool:
    """LDM or STM of low registers, none of which is the base."""
    base, places = i.reg("w"), {r.place for r in (*i.list, *i.stored)}
    return _low(i, "w") and places <= {f"r{k}" for k in range(8)} - {base.place}


def _short_word(i: Instruction, f: str) -> bool:
    from_stack = i.reg("b").place == "sp"
    return _low(i, f) and i.i % 4 == 0 and (i.i < 1024 if from_stack else _low(i, "b") and i.i < 128)


def _of_stack(i: Instruction) -> bool:
    """Of the stack pointer."""
    d, n = i.reg("d").place, i.reg("n").place
    return n == "sp" and i.i % 4 == 0 and (i.i < 512 if d == "sp" else _low(i, "d") and i.i < 1024)


def _all_low_list(i: Instruction) -> bool:
    return all(r.place in {f"r{k}" for k in range(8)} for r in i.stored)


def _in_place(i: Instruction) -> bool:
    return i.reg("d").place in (i.reg("n").place, i.reg("m").place)


def _always(i: Instruction) -> bool:
    return True


def _product(name: str, c: str = "tg_{}({{n}}, {{m}}, {{a}})", says: str = "{d} = {a} + {n} * {m}") -> Op:
    """Of halves, added to a sum."""
    return Op(name, "{d}, {n:u}, {m:u}, {a:s}", Kind.MUL_DSP, c.format(name), says)


# moves and constants
mov = Op("mov", "{d}, {n}", Kind.OTHER, _copy, "{d} = {n}", narrow=_always)
vmov = Op("vmov", "{d}, {n}", Kind.OTHER, _copy, "{d} = {n}")  # either way
movs = Op(
    "movs", "{d}, #{i}", Kind.OTHER, _constant, "{d} = {i}",
    reach=_upto(255), flags="set", narrow=_all_low("d"),
)  # fmt: skip
mov_imm = Op("mov", "{d}, #{i}", Kind.OTHER, _constant, "{d} = {i}", reach=_imm8)
movw = Op("movw", "{d}, #{i}", Kind.OTHER, _constant, "{d} = {i}", reach=_upto(65535))
movt = Op("movt", "{t}, #{i}", Kind.OTHER, _upper, "{t} += {i} << 16", reach=_upto(32767))  # not negative
# sums
add = Op("add", "{d}, {n}, #{i}", Kind.OTHER, _sum, "{d} = {n} + {i}", reach=_imm12, narrow=_of_stack)
addw = Op("addw", "{d}, {n}, #{i}", Kind.OTHER, _sum, "{d} = {n} + {i}", reach=_upto(4095))
adds = Op(
    "adds", "{d}, {n}, #{i}", Kind.OTHER, _sum, "{d} = {n} + {i}",
    reach=_upto(255), flags="set", narrow=_all_low("dn"),
)  # fmt: skip
add_reg = Op("add", "{d}, {n}, {m}", Kind.OTHER, _sum, "{d} = {n} + {m}", narrow=_in_place)
add_lsl = Op(
    "add", "{d}, {n}, {m}, lsl #{i}", Kind.OTHER, _sum_shifted, "{d} = {n} + ({m} << {i})", reach=_upto(31, least=1)
)  # fmt: skip
sub = Op("sub", "{d}, {n}, #{i}", Kind.OTHER, _difference, "{d} = {n} - {i}", reach=_imm12, narrow=_of_stack)
subw = Op("subw", "{d}, {n}, #{i}", Kind.OTHER, _difference, "{d} = {n} - {i}", reach=_upto(4095))
subs = Op(
    "subs", "{d}, {n}, #{i}", Kind.OTHER, _less, "{d} = {n} - {i}",
    reach=_upto(255), flags="set", narrow=_all_low("dn"),
)  # fmt: skip
rsb = Op("rsb", "{d}, {n}, #{i}", Kind.OTHER, _from, "{d} = {i} - {n}", reach=_upto(255))
sub_reg = Op("sub", "{d}, {n}, {m}", Kind.OTHER, _difference, "{d} = {n} - {m}")
subs_reg = Op(
    "subs", "{d}, {n}, {m}", Kind.OTHER, _difference, "{d} = {n} - {m}", flags="set", narrow=_all_low("dnm")
)  # fmt: skip
mla = Op("mla", "{d}, {n}, {m}, {a}", Kind.MLA, _mla, "{d} = {a} + {n} * {m}")
cmp_imm = Op(
    "cmp", "{n}, #{i}", Kind.OTHER, _nothing, "{n} == {i}?", reach=_upto(255), flags="set", narrow=_all_low("n")
)  # fmt: skip
tst = Op("tst", "{n:u}, #{i}", Kind.OTHER, _nothing, "{n} & {i}?", reach=_upto(255), flags="set")
cmp = Op("cmp", "{n}, {m}", Kind.OTHER, _nothing, "{n} == {m}?", flags="set", narrow=_always)
# bits
and_imm = Op("and", "{d}, {n:u}, #{i}", Kind.OTHER, "{n} & {i}U", "{d} = {n} & {i}", BITS, reach=_imm8)
and_reg = Op("and", "{d}, {n:u}, {m:u}", Kind.OTHER, "{n} & {m}", "{d} = {n} & {m}", BITS)
and_lsr = Op("and", "{d}, {n:u}, {m:u}, lsr #{i}", Kind.OTHER, "{n} & ({m} >> {i})", "{d} = {n} & {m} >> {i}", BITS)
orr_imm = Op("orr", "{d}, {n:u}, #{i}", Kind.OTHER, "{n} | {i}U", "{d} = {n} | {i}", BITS, reach=_imm8)
bic_imm = Op("bic", "{d}, {n}, #{i}", Kind.OTHER, _masked, "{d} = word of {n}", reach=_upto(3, least=3))
asrs = Op(
    "asrs", "{d}, {n:s}, #{i}", Kind.OTHER, "tg_asr({n}, {i})", "{d} = {n} >> {i}",
    reach=_upto(31, least=1), flags="set", narrow=_all_low("dn"),
)  # fmt: skip
asr = Op("asr", "{d}, {n:s}, #{i}", Kind.OTHER, "tg_asr({n}, {i})", "{d} = {n} >> {i}", reach=_upto(31, least=1))
lsls = Op(
    "lsls", "{d}, {n:u}, #{i}", Kind.OTHER, "{n} << {i}", "{d} = {n} << {i}", BITS,
    reach=_upto(31, least=1), flags="set", narrow=_all_low("dn"),
)  # fmt: skip
and_lsl = Op("and", "{d}, {n:u}, {m:u}, lsl #{i}", Kind.OTHER, "{n} & ({m} << {i})", "{d} = {n} & {m} << {i}", BITS)
add_asr = Op(
    "add", "{d}, {n:s}, {m:s}, asr #{i}", Kind.OTHER, "tg_add_wrap({n}, tg_asr({m}, {i}))", "{d} = {n} + ({m} >> {i})"
)  # fmt: skip
rsb_asr = Op(
    "rsb", "{d}, {n:s}, {m:s}, asr #{i}", Kind.OTHER, "tg_sub_wrap(tg_asr({m}, {i}), {n})", "{d} = ({m} >> {i}) - {n}"
)  # fmt: skip
ubfx = Op("ubfx", "{d}, {n}, #{i}, #{j}", Kind.OTHER, _field, "{d} = {j} bits of {n} from {i} on", BITS)
sbfx = Op(
    "sbfx", "{d}, {n:u}, #{i}, #{j}", Kind.OTHER, "tg_sbfx({n}, {i}U, {j}U)", "{d} = {j} bits of {n} from {i} on", BITS
)  # fmt: skip
# halves and bytes
sxtb16 = Op("sxtb16", "{d}, {n:u}", Kind.OTHER, "tg_sxtb16({n})", "{d} = bytes 0, 2 of {n}", BITS)
sxtb16_ror8 = Op("sxtb16", "{d}, {n:u}, ror #8", Kind.OTHER, "tg_sxtb16_ror8({n})", "{d} = bytes 1, 3 of {n}", BITS)
pkhbt = Op(
    "pkhbt", "{d}, {n:u}, {m:u}", Kind.OTHER, "({n} & 0xFFFFU) | ({m} & 0xFFFF0000U)",
    "{d} = low half of {n}, high of {m}", BITS,
)  # fmt: skip
pkhbt_lsl16 = Op(
    "pkhbt", "{d}, {n:u}, {m:u}, lsl #16", Kind.OTHER, "tg_pkhbt({n}, {m})", "{d} = low halves of {n}, {m}", BITS
)  # fmt: skip
sxth = Op("sxth", "{d}, {n:u}", Kind.OTHER, "tg_low16({n})", "{d} = low half of {n}", narrow=_all_low("dn"))
sxtah = Op(
    "sxtah", "{d}, {n:s}, {m:u}", Kind.OTHER, "tg_sxtah({n}, {m})", "{d} = {n} + low half of {m}"
)  # fmt: skip
ssat16 = Op(
    "ssat16", "{d}, #{i}, {n:u}", Kind.OTHER, "tg_ssat16x8({n})", "{d} = clamp({n})", BITS, reach=_upto(8, least=8)
)
ssat8 = Op("ssat", "{d}, #8, {n:s}", Kind.OTHER, "tg_ssat8({n})", "{d} = clamp({n})")
ssat8_asr = Op(
    "ssat", "{d}, #8, {n:s}, asr #{i}", Kind.OTHER, "tg_ssat8(tg_asr({n}, {i}))", "{d} = clamp({n} >> {i})",
    reach=_upto(31, least=1),
)  # fmt: skip
ssat_half = Op("ssat", "{d}, #16, {n:s}", Kind.OTHER, "tg_ssat16({n})", "{d} = clamp({n}) to a half")
ssat_half_asr = Op(
    "ssat", "{d}, #16, {n:s}, asr #{i}", Kind.OTHER, "tg_ssat16(tg_asr({n}, {i}))", "{d} = clamp({n} >> {i}) to a half",
    reach=_upto(31, least=1),
)  # fmt: skip
ssat_half_lsl = Op(
    "ssat", "{d}, #16, {n}, lsl #{i}", Kind.OTHER, _up, "{d} = clamp({n} << {i}) to a half", reach=_upto(31, least=1)
)  # fmt: skip
ssat24 = Op("ssat", "{d}, #24, {n:s}", Kind.OTHER, "tg_ssat24({n})", "{d} = clamp({n}) to 24 bits")
lsl = Op(
    "lsl", "{d}, {n:u}, #{i}", Kind.OTHER, "{n} << {i}", "{d} = {n} << {i}", BITS, reach=_upto(31, least=1)
)  # fmt: skip
asr_reg = Op("asr", "{d}, {n:s}, {m:s}", Kind.OTHER, "tg_asr({n}, {m})", "{d} = {n} >> {m}")
# products
smlad = _product("smlad", says="{d} = {a} + {n} . {m}")
smladx = _product("smladx", says="{d} = {a} + {n} . swapped {m}")
smlabb = _product("smlabb", says="{d} = {a} + low {n} * low {m}")
smlabt = _product("smlabt", says="{d} = {a} + low {n} * high {m}")
smlatb = _product("smlatb", says="{d} = {a} + high {n} * low {m}")
smlatt = _product("smlatt", says="{d} = {a} + high {n} * high {m}")
smuad = Op("smuad", "{d}, {n:u}, {m:u}", Kind.MUL_DSP, "tg_smlad({n}, {m}, 0)", "{d} = {n} . {m}")
smulbb = Op("smulbb", "{d}, {n:u}, {m:u}", Kind.MUL_DSP, "tg_low16({n}) * tg_low16({m})", "{d} = low {n} * low {m}")
smultt = Op(
    "smultt", "{d}, {n:u}, {m:u}", Kind.MUL_DSP, "tg_high16({n}) * tg_high16({m})", "{d} = high {n} * high {m}"
)  # fmt: skip
smulwt = Op(
    "smulwt", "{d}, {n:s}, {m:u}", Kind.MUL_DSP, "tg_smulw({n}, tg_high16({m}))", "{d} = {n} * high {m} >> 16"
)  # fmt: skip
smlawb = Op(
    "smlawb", "{d}, {n:s}, {m:u}, {a:s}", Kind.MUL_DSP, "tg_add_wrap({a}, tg_smulw({n}, tg_low16({m})))",
    "{d} = {a} + ({n} * low {m} >> 16)",
)  # fmt: skip
smmla = Op(
    "smmla", "{d}, {n:s}, {m:s}, {a:s}", Kind.MUL_DSP, "tg_smmla({n}, {m}, {a})", "{d} = {a} + ({n} * {m} >> 32)"
)
smmlar = Op(
    "smmlar", "{d}, {n:s}, {m:s}, {a:s}", Kind.MUL_DSP, "tg_smmlar({n}, {m}, {a})",
    "{d} = {a} + round({n} * {m} >> 32)",
)  # fmt: skip
smmulr = Op(
    "smmulr", "{d}, {n:s}, {m:s}", Kind.MUL_DSP, "tg_smmlar({n}, {m}, 0)", "{d} = round({n} * {m} >> 32)"
)  # fmt: skip
# memory
ldr = Op(
    "ldr", "{d}, [{b}, #{i}]", Kind.LOAD, _load, "{d} = word at {b} + {i}",
    reach=_upto(4095), narrow=partial(_short_word, f="d"),
)  # fmt: skip
#: From the stack, where values are that no register has room for.
reload = Op("ldr", "{d}, {n}", Kind.LOAD, _copy, "{d} = {n}", narrow=_all_low("d"))
ldr_post = Op(
    "ldr", "{d}, [{w}], #{i}", Kind.LOAD, _load_post, "{d} = next of {w}", reach=_upto(255, least=-255), element=4
)
ldr_pre = Op(
    "ldr", "{d}, [{w}, #{i}]!", Kind.LOAD, _load_pre, "{w} += {i}; {d} = word at {w}", reach=_upto(255, least=-255)
)  # fmt: skip
ldrh = Op(
    "ldrh", "{d}, [{b}, #{i}]", Kind.LOAD, _load, "{d} = half at {b} + {i}",
    reach=_upto(4095), narrow=partial(_near, 64, "db"),
)  # fmt: skip
ldrsb_post = Op(
    "ldrsb", "{d}, [{w}], #{i}", Kind.LOAD, _load_byte_post, "{d} = next byte of {w}", reach=_upto(255), element=1
)  # fmt: skip
ldr_apart = Op(
    "ldr", "{d}, [{b}, {m}]", Kind.LOAD, _load_apart, "{d} = word at {b} + {m}", narrow=_all_low("dbm")
)  # fmt: skip
ldr_apart_lsl = Op(
    "ldr", "{d}, [{b}, {m}, lsl #{i}]", Kind.LOAD, _load_apart, "{d} = word at {b} + ({m} << {i})",
    reach=_upto(3, least=1),
)  # fmt: skip
ldr_at = Op("ldr", "{d}, [{b}, {m}, lsl #2]", Kind.LOAD, _load_at, "{d} = {b}[{m}]")
ldrb_post = Op(
    "ldrb", "{d}, [{w}], #{i}", Kind.LOAD, _octets_post("{0}[0]"), "{d} = next byte of {w}", reach=_upto(255), element=1
)
ldrh_post = Op(
    "ldrh", "{d}, [{w}], #{i}", Kind.LOAD, _octets_post("tg_load16(&{0}[0])"), "{d} = next half of {w}",
    reach=_upto(255), element=2,
)  # fmt: skip
vldr = Op("vldr", "{d}, [{b}, #{i}]", Kind.LOAD, _load, "{d} = word at {b} + {i}", reach=_upto(1020))
ldrsb = Op("ldrsb", "{d}, [{b}, #{i}]", Kind.LOAD, _load_byte, "{d} = byte at {b} + {i}", reach=_upto(4095))
ldm = Op("ldmia", "{w}!, {{{r}}}", Kind.MULTIPLE, _load_many, "next of {w}", narrow=_low_lists)
stm_post = Op("stmia", "{w}!, {{{q}}}", Kind.MULTIPLE, _store_many, "next of {w}", narrow=_low_lists)
vldm = Op("vldmia", "{b}, {{{r}}}", Kind.MULTIPLE, _load_many, "of {b}")
vldm_post = Op("vldmia", "{w}!, {{{r}}}", Kind.MULTIPLE, _load_many, "next of {w}")
str_word = Op(
    "str", "{n}, [{b}, #{i}]", Kind.STORE, _store_word, "word at {b} + {i}",
    reach=_upto(4095), narrow=partial(_short_word, f="n"),
)  # fmt: skip
str_post = Op("str", "{n}, [{w}], #{i}", Kind.STORE, _store_word_post, "next word of {w}", reach=_upto(255), element=4)
#: Values stay on the stack, and are theirs in C all the time.
push = Op("push", "{{{q}}}", Kind.MULTIPLE, _nothing, "on the stack", narrow=_all_low_list)
stm = Op("stmia", "{b}, {{{q}}}", Kind.MULTIPLE, _store_many, "at {b}")
strb = Op(
    "strb", "{n}, [{b}, #{i}]", Kind.STORE, _store, "byte at {b} + {i}",
    reach=_upto(4095, least=-255), narrow=partial(_near, 32, "nb"),
)  # fmt: skip
strb_reg = Op("strb", "{n}, [{b}, {m}]", Kind.STORE, _store_at, "byte at {b} + {m}", narrow=_all_low("nbm"))
strb_post = Op("strb", "{n}, [{w}], #{i}", Kind.STORE, _store_post, "next byte of {w}", reach=_upto(255), element=1)
#: Of the loop with the label `i` (program.Entry), which C goes through without looking at an address.
adr = Op("adr", "{d}, {i}f", Kind.OTHER, _constant, "{d} = where the copies begin", narrow=_all_low("d"))
#: `m` and `a` are the arguments, which must be in r0 and r1; the assembly does not name them.
blx = Op("blx", "{n}{m:}{a:}", Kind.BRANCH_REGISTER, _call, "call {n}({m}, {a})", narrow=_always)
# with a shifted register
sub_lsl = Op(
    "sub", "{d}, {n}, {m}, lsl #{i}", Kind.OTHER, _difference_shifted, "{d} = {n} - ({m} << {i})", reach=_upto(31, 1)
)
rsb_lsl = Op(
    "rsb", "{d}, {n:u}, {m:u}, lsl #{i}", Kind.OTHER, "({m} << {i}) - {n}", "{d} = ({m} << {i}) - {n}",
    BITS, reach=_upto(31, 1),
)  # fmt: skip
sxtab16 = Op(
    "sxtab16", "{d}, {n:u}, {m:u}", Kind.OTHER, "tg_sxtab16({n}, {m})", "{d} = halves of {n} + bytes 0, 2 of {m}", BITS
)
sxtab16_ror8 = Op(
    "sxtab16", "{d}, {n:u}, {m:u}, ror #8", Kind.OTHER, "tg_sxtab16_ror8({n}, {m})",
    "{d} = halves of {n} + bytes 1, 3 of {m}", BITS,
)  # fmt: skip
str_lsl = Op(
    "str", "{n}, [{b}, {m}, lsl #{i}]", Kind.STORE, _store_shifted, "word at {b} + ({m} << {i})", reach=_upto(3, 1)
)
strb_lsl = Op(
    "strb", "{n}, [{b}, {m}, lsl #{i}]", Kind.STORE, _store_byte_shifted, "byte at {b} + ({m} << {i})",
    reach=_upto(3, 1),
)  # fmt: skip
#: Comparing with a number.
cmp_imm = Op("cmp", "{n}, #{i}", Kind.OTHER, _nothing, "{n} == {i}?", reach=_imm8, flags="set", narrow=_all_low("n"))
#: The stack pointer goes down by what the program is told, at most the bytes of its frame.
take = Op("sub", "{d}, {n}, {m}", Kind.OTHER, _taken, "the frame")
