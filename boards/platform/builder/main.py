"""Build script of the tinygen platform. What it knows of a board's core stands in the manifest, as `tinygen.target`.

Options in platformio.ini, beside PlatformIO's own:
    custom_emulate = yes      link for the board's QEMU machine (debug.qemu) instead of its own addresses
    custom_stack_size = 2048  bytes of stack; an overflow runs off the bottom of RAM and is reported
"""

import os
import re
import shutil
from string import Template

from SCons.Script import Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()
platform = env.PioPlatform()
target = board.get("tinygen.target")
folder = os.path.join(platform.get_dir(), target["folder"])


def find_compiler():
    """The command in the architecture's variable, as $CC, else the first of its compilers that is on PATH."""
    named = os.environ.get(target["variable"]) if target["variable"] else None
    names = target["compilers"]
    return named or next((name for name in names if shutil.which(name)), names[-1])


def write_linker_script():
    """The architecture's script with the board's memory, or its QEMU machine's addresses and the board's sizes."""
    emulate = env.GetProjectOption("custom_emulate", "no") == "yes"
    place = board.get("debug.qemu") if emulate else board.get("build")
    code_ram = None if emulate else board.get("build.code_ram", None)  # the emulator's RAM is as good for code
    with open(os.path.join(folder, target["linker_script"]), encoding="utf-8") as file:
        template = Template(file.read())
    text = template.substitute(
        vectors_start=place.get("vectors_start", place["flash_start"]),
        flash_start=place["flash_start"],
        flash_size=board.get("upload.maximum_size"),
        ram_start=place["ram_start"],
        ram_size=board.get("upload.maximum_ram_size"),
        stack_size=env.GetProjectOption("custom_stack_size", "2048"),
        code_region="CODE_RAM" if code_ram else "RAM",
        code_ram_start=code_ram["start"] if code_ram else place["ram_start"],
        code_ram_size=code_ram["size"] if code_ram else 0,
    )
    path = os.path.join(env.subst("$BUILD_DIR"), "link.ld")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def sizes(sections):
    """What finds the sizes of these sections in the output of `size -A`."""
    return rf"^(?:{'|'.join(map(re.escape, sections))})\s+(\d+)"


def build():
    """Compile with the core's flags and the architecture's start-up code, and link: a program of this computer."""
    cc = find_compiler()
    libraries = [flag.removeprefix("-l") for flag in target["ldflags"] if flag.startswith("-l")]
    env.Replace(CC=cc, LINK=cc, PROGNAME="program")
    # The weak functions of Windows' own object files are not found by others.
    coff = ["-Dweak=unused"] if os.name == "nt" and not target["linker_script"] else []
    env.Append(
        CPPPATH=[os.path.join(platform.get_dir(), "include")],
        CCFLAGS=[*target["core_flags"], *target["cflags"], *coff],
        LINKFLAGS=[*target["core_flags"], *(flag for flag in target["ldflags"] if not flag.startswith("-l"))],
        LIBS=libraries,
    )
    env.BuildSources(os.path.join("$BUILD_DIR", target["folder"]), folder)
    return build_bare() if target["linker_script"] else env.BuildProgram()


def build_bare():
    """The same for a core without an operating system: other tools, a linker script, and what a board is given."""
    prefix = env["CC"].removesuffix(".exe").removesuffix("gcc")
    env.Replace(
        CXX=prefix + "g++", AS=prefix + "gcc", AR=prefix + "gcc-ar", RANLIB=prefix + "gcc-ranlib",
        OBJCOPY=prefix + "objcopy", SIZETOOL=prefix + "size",
        ARFLAGS=["rcs"], ASFLAGS=[*target["core_flags"]], PROGNAME="firmware", PROGSUFFIX=".elf",
        # Every section of the script is counted once; .data takes room in both memories.
        SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
        SIZEPROGREGEXP=sizes(target["flash_sections"]),
        SIZEDATAREGEXP=sizes(target["ram_sections"]),
        LDSCRIPT_PATH=write_linker_script(),
    )  # fmt: skip
    env.Append(
        ASPPFLAGS=["-x", "assembler-with-cpp"],
        LINKFLAGS=["-Wl,-Map=" + os.path.join("$BUILD_DIR", "firmware.map")],
    )
    elf = env.BuildProgram()
    env.Depends(elf, env["LDSCRIPT_PATH"])
    image = env.Command(
        "$BUILD_DIR/firmware.bin", elf, env.VerboseAction("$OBJCOPY -O binary $SOURCE $TARGET", "$TARGET")
    )
    add_upload(elf)
    Default(image)
    return elf


def add_upload(elf):
    """`pio run -t upload`: OpenOCD where the manifest names its board file, or QEMU by `upload_protocol = qemu`."""
    config = board.get("debug.openocd_board", "")
    if env.subst("$UPLOAD_PROTOCOL") == "qemu":
        env.Replace(UPLOADCMD=" ".join(platform.run_command(board, "$SOURCE")))
    elif config:
        env.Replace(UPLOADCMD=f'openocd -f board/{config}.cfg -c "program {{$SOURCE}} verify reset exit"')
    else:
        return
    env.AddPlatformTarget("upload", elf, env.VerboseAction("$UPLOADCMD", "Uploading $SOURCE"), "Upload")


program = build()
# Quoted, as SCons takes "$SOURCE" alone for the name of an action, and does nothing.
command = " ".join(f'"{word}"' for word in platform.run_command(board, "$SOURCE"))
env.AddPlatformTarget(
    "exec", program, env.VerboseAction(command, "Running $SOURCE"), "Run", "On this computer or in QEMU"
)
Default(program)
