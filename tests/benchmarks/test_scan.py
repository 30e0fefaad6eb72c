"""What counts as a cliff; and, counted, that odd numbers of channels are none."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import scan
from benchmarks.layers import conv, depthwise, pointwise
from tinygen.ops.base import Call

Require = Callable[[str], None]
CALL = Call("tg_conv_s8", (), ("x",), (), "y")


def points(*of: tuple[int, int]) -> list[scan.Point]:
    """(work, cycles) of 1, 2, 3, ..."""
    return [scan.Point(n, work, cycles, "tg_conv_s8", CALL) for n, (work, cycles) in enumerate(of, 1)]


def test_a_step_is_what_work_does_not_explain() -> None:
    a, b = points((100, 1000), (200, 2000))
    assert scan.step(a, b) == 1.0
    less, more = points((100, 1500), (200, 1000))  # less work costs more
    assert scan.step(less, more) == 1.5
    assert scan.dearer(less, more) == (less, more)
    a, b = points((100, 1000), (200, 3000))  # work doubles, cycles treble
    assert scan.step(a, b) == scan.step(b, a) == 1.5
    assert scan.dearer(a, b) == (b, a)
    one, two = points((100, 1000), (200, 1010))  # one channel costs what two do: rounding up is no cliff
    assert scan.step(one, two) < 1


def test_cliffs_and_uneven_channels() -> None:
    found = points((100, 1000), (200, 2000), (300, 4500), (400, 4000), (500, 4970), (600, 4900))
    assert [(dear.n, cheap.n) for dear, cheap, _ in scan.cliffs(found)] == [(3, 2)]
    assert scan.uneven(found) == [(3, 1.125)]  # 5 costs 1.4 % more than 6: the last pair's step back


def test_the_picture_has_every_point() -> None:
    svg = scan.panel("conv", "channels", {"cortex-m4": points((100, 1000), (200, 9000), (300, 9000))})
    assert svg.count(",") >= 3
    assert svg.count("<circle") == 1  # the second is a cliff
    assert "cortex-m4, channels 2: 4.50" in svg


def test_odd_channels_are_no_cliff(require_tool: Require) -> None:
    """On Cortex-M4, where they were up to four times as expensive as the next even number."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    hw = (8, 8)
    odd = (
        scan.Series("pointwise", "channels", (3, 4, 7, 8, 15, 16, 23, 24), lambda n: pointwise(hw, (n, n))),
        scan.Series("pointwise to planes", "channels", (7, 8, 15, 16), lambda n: pointwise(hw, (n, n)), planes=True),
        scan.Series("windows", "channels", (7, 8, 15, 16), lambda n: conv(hw, (n, n), (5, 5))),
        scan.Series("strided", "channels", (11, 12, 15, 16), lambda n: conv(hw, (n, n), strides=(2, 2))),
    )
    winograd = scan.Series("3x3", "channels", (15, 16), lambda n: conv(hw, (n, n)))
    found = scan.points("cortex-m4", (*odd, winograd))
    shares = {(name, n): share for (name, _), of in found.items() for n, share in scan.uneven(of)}
    assert shares.pop(("3x3", 15), 0.0) < 1.15  # tiles are copied to fill them up; it was 2.35
    assert max(shares.values(), default=0.0) < 1.06, shares


def test_multipliers_are_no_cliff(require_tool: Require) -> None:
    """Several outputs of an input channel, and large multipliers of the requantisation."""
    require_tool("arm-none-eabi-gcc")
    require_tool("qemu-system-arm")
    of = (
        scan.Series("outputs", "multiplier", (2, 8), lambda n: depthwise((12, 12), 4, mult=n)),
        scan.Series("outputs", "gain", (64, 256), lambda g: scan.gained(depthwise((12, 12), 4, mult=2), g)),
        scan.Series("planes", "gain", (1, 64, 256), lambda g: scan.gained(depthwise((12, 12), 8), g), planes=True),
    )
    for found in scan.points("cortex-m4", of).values():
        assert all(p.cycles < 3 * p.work for p in found), [(p.n, p.cycles / p.work) for p in found]
