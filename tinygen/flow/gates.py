"""What the user demands of a build: accuracy, flash, RAM, time."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinygen.errors import DataError, RecipeError
from tinygen.flow.measures import BELIEVED, decibels, share
from tinygen.flow.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Gates:
    """What the user demands; None: nothing. Shares of 1, dB, bytes and milliseconds."""

    min_accuracy: float | None = None
    max_loss: float | None = None
    min_sqnr: float | None = None
    max_flash: int | None = None
    max_ram: int | None = None
    max_ms: float | None = None

    def __post_init__(self) -> None:
        """RecipeError for what no network could keep to, or miss."""
        for name, found in (("min_accuracy", self.min_accuracy), ("max_loss", self.max_loss)):
            if found is not None and not 0.0 <= found <= 1.0:
                raise RecipeError(f"{name}: found {found:g}, allowed is a share from 0 to 1 (0.9 is 90 %).")
        for name, found in (("max_flash", self.max_flash), ("max_ram", self.max_ram), ("max_ms", self.max_ms)):
            if found is not None and not found > 0:
                unit = "milliseconds" if name == "max_ms" else "bytes"
                raise RecipeError(f"{name}: found {found:g}, allowed are {unit} above 0.")

    @property
    def of_accuracy(self) -> bool:
        return (self.min_accuracy, self.max_loss, self.min_sqnr) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a network is judged by: whether one that is destroyed is repaired, or built all the same; what the user
    demands."""

    repair: bool = True
    accept_loss: bool = False
    gates: Gates = field(default_factory=Gates)


def check_accuracy(gates: Gates, verdict: Verdict | None) -> tuple[list[str], list[str]]:
    """(what fails, what only warns, being within the statistical error). DataError for gates that nothing can open."""
    if not gates.of_accuracy:
        return [], []
    if verdict is None:
        raise DataError("`min_accuracy`, `max_loss` and `min_sqnr` judge on samples: give `x`.")
    failed: list[str] = []
    warned: list[str] = []
    main, of = verdict.main, f" on {verdict.source}"

    def judge(text: str, by: float, error: float) -> None:
        if by > BELIEVED * error:
            failed.append(f"{text}.")
        elif by > 0.0:
            warned.append(f"{text}, but within the statistical error of ±{100 * BELIEVED * error:.1f} points.")

    if main.decibel and (gates.min_accuracy is not None or gates.max_loss is not None):
        raise DataError(f"`min_accuracy` and `max_loss`: this network is judged by {main.name}; use `min_sqnr`.")
    if not verdict.reference and (gates.max_loss is not None or gates.min_sqnr is not None):
        raise DataError("`max_loss` and `min_sqnr` compare with the float network: give its ONNX file with `model`.")
    if gates.min_accuracy is not None:
        found = f"{share(main.integer)} % {main.name}{of}, `min_accuracy` asks for {share(gates.min_accuracy)} %"
        judge(found, gates.min_accuracy - main.integer, main.own_error)
    if gates.max_loss is not None:
        found = f"a fall of {100 * main.fall:.2f} points of {main.name}{of}, `max_loss` allows {100 * gates.max_loss:g}"
        judge(found, main.fall - gates.max_loss, main.error)
    if gates.min_sqnr is not None:
        least = min((f for f in verdict.figures if f.decibel), key=lambda f: f.integer)
        if least.integer < gates.min_sqnr:
            failed.append(f"{least.name} {decibels(least.integer)}{of}, `min_sqnr` asks for {gates.min_sqnr:g} dB.")
    return failed, warned


# -- repairs and refusal ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """What a build takes: bytes, milliseconds (None: not known, and why); `predicted`: not measured by the linker."""

    flash: int
    ram: int
    predicted: bool
    milliseconds: float | None
    unknown: str = ""


def check_use(gates: Gates, use: Use) -> list[str]:
    """What fails."""
    how = ", predicted" if use.predicted else ""
    failed = [
        f"{what} {found:,} bytes{how}, `max_{what.lower()}` allows {allowed:,}."
        for what, found, allowed in (("flash", use.flash, gates.max_flash), ("RAM", use.ram, gates.max_ram))
        if allowed is not None and found > allowed
    ]
    if gates.max_ms is not None:
        if use.milliseconds is None:
            failed.append(f"the time of an inference is not known ({use.unknown}), so `max_ms` cannot be checked.")
        elif use.milliseconds > gates.max_ms:
            failed.append(f"{use.milliseconds:.3f} ms an inference, predicted; `max_ms` allows {gates.max_ms:g}.")
    return failed
