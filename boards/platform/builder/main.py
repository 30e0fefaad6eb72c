"""Build script of the tinygen platform: `board = native` uses the host's compiler, every other board bare-metal GCC.

Options in platformio.ini, beside PlatformIO's own:
    custom_emulate = yes      link for the board's QEMU machine (debug.qemu) instead of its own addresses
    custom_stack_size = 2048  bytes of stack; an overflow runs off the bottom of RAM and is reported
"""

import os
import shutil
from string import Template

from SCons.Script import Default, DefaultEnvironment

env = DefaultEnvironment()
board = env.BoardConfig()
platform = env.PioPlatform()
cortexm = os.path.join(platform.get_dir(), "cortexm")


def build_native():
    """The host's compiler: $CC, else the first of gcc, clang and cc."""
    cc = os.environ.get("CC") or next((name for name in ("gcc", "clang", "cc") if shutil.which(name)), "cc")
    env.Replace(CC=cc, LINK=cc, PROGNAME="program")
    env.Append(CPPPATH=[cortexm], CCFLAGS=["-O2", "-g", "-Wall"], LIBS=["m"])
    env.BuildSources(os.path.join("$BUILD_DIR", "host"), os.path.join(platform.get_dir(), "host"))
    return env.BuildProgram()


def write_linker_script():
    """link.ld.in with the board's memory, or its QEMU machine's addresses and the board's sizes."""
    emulate = env.GetProjectOption("custom_emulate", "no") == "yes"
    place = board.get("debug.qemu") if emulate else board.get("build")
    with open(os.path.join(cortexm, "link.ld.in"), encoding="utf-8") as file:
        template = Template(file.read())
    text = template.substitute(
        vectors_start=place.get("vectors_start", place["flash_start"]),
        flash_start=place["flash_start"],
        flash_size=board.get("upload.maximum_size"),
        ram_start=place["ram_start"],
        ram_size=board.get("upload.maximum_ram_size"),
        stack_size=env.GetProjectOption("custom_stack_size", "2048"),
    )
    path = os.path.join(env.subst("$BUILD_DIR"), "link.ld")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def build_cortexm():
    """arm-none-eabi-gcc, our start-up file, and a linker script made from the manifest."""
    fpu = board.get("build.fpu")
    machine = ["-mthumb", "-mcpu=" + board.get("build.cpu")]
    if fpu != "none":
        machine += ["-mfloat-abi=hard"] + ([] if fpu == "auto" else ["-mfpu=" + fpu])
    prefix = "arm-none-eabi-"
    env.Replace(
        CC=prefix + "gcc", CXX=prefix + "g++", AS=prefix + "gcc", LINK=prefix + "gcc",
        AR=prefix + "gcc-ar", RANLIB=prefix + "gcc-ranlib", OBJCOPY=prefix + "objcopy", SIZETOOL=prefix + "size",
        ARFLAGS=["rcs"], ASFLAGS=[], PROGNAME="firmware", PROGSUFFIX=".elf",
        # Every section of link.ld.in is counted once; .data takes room in both memories.
        SIZECHECKCMD="$SIZETOOL -A -d $SOURCES",
        SIZEPROGREGEXP=r"^\.(?:vectors|text|rodata|init_array|ARM\.exidx|data)\s+(\d+)",
        SIZEDATAREGEXP=r"^\.(?:stack|data|bss)\s+(\d+)",
        LDSCRIPT_PATH=write_linker_script(),
    )  # fmt: skip
    env.Append(
        CPPPATH=[cortexm],
        CCFLAGS=[*machine, "-O2", "-g", "-Wall", "-ffunction-sections", "-fdata-sections"],
        ASFLAGS=machine,
        ASPPFLAGS=["-x", "assembler-with-cpp"],
        LINKFLAGS=[*machine, "-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections",
                   "-Wl,-Map=" + os.path.join("$BUILD_DIR", "firmware.map")],
        LIBS=["m"],
    )  # fmt: skip
    env.BuildSources(os.path.join("$BUILD_DIR", "cortexm"), cortexm)
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


program = build_native() if board.get("tinygen.core") == "native" else build_cortexm()
# Quoted, as SCons takes "$SOURCE" alone for the name of an action, and does nothing.
command = " ".join(f'"{word}"' for word in platform.run_command(board, "$SOURCE"))
env.AddPlatformTarget(
    "exec", program, env.VerboseAction(command, "Running $SOURCE"), "Run", "On this computer or in QEMU"
)
Default(program)
