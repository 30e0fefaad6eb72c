"""What a linked program holds: addresses of its functions and its code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from tinygen.errors import ToolError


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function or variable: where it begins (without the Thumb bit of Arm), its bytes, and what it is."""

    name: str
    address: int
    size: int
    is_function: bool


@dataclass(frozen=True, slots=True)
class Image:
    """A program's symbols, and its sections with code: address and bytes of each."""

    symbols: tuple[Symbol, ...]
    code: tuple[tuple[int, bytes], ...]

    def address(self, name: str) -> int:
        """Address of a symbol; `ToolError` when there is none."""
        found = next((s.address for s in self.symbols if s.name == name), None)
        if found is None:
            raise ToolError(f"the linked program has no {name}")
        return found


def read_image(elf: Path) -> Image:
    """The program in an ELF file; `ToolError` when it cannot be read."""
    symbols: list[Symbol] = []
    code: list[tuple[int, bytes]] = []
    try:
        with elf.open("rb") as file:
            image = ELFFile(file)
            thumb = int(image["e_machine"] == "EM_ARM")
            for section in image.iter_sections():
                flags = section["sh_flags"]
                if flags & SH_FLAGS.SHF_ALLOC and flags & SH_FLAGS.SHF_EXECINSTR and section["sh_size"]:
                    code.append((int(section["sh_addr"]), bytes(section.data())))
                if isinstance(section, SymbolTableSection):
                    for s in section.iter_symbols():
                        is_function = s["st_info"]["type"] == "STT_FUNC"
                        address = int(s["st_value"]) & ~(thumb & is_function)
                        symbols.append(Symbol(s.name, address, int(s["st_size"]), is_function))
    except (OSError, ELFError) as error:
        raise ToolError(f"{elf} cannot be read as ELF: {error}") from error
    return Image(tuple(symbols), tuple(code))
