"""The PlatformIO side of tinygen's bare-metal platform. It has no packages, so nothing is ever fetched."""

from platformio.platform.base import PlatformBase


class TinygenPlatform(PlatformBase):
    """Compilers and QEMU come from PATH; see builder/main.py for the build itself."""

    def is_embedded(self):
        """False, so that `pio test` builds a program and runs a command instead of uploading to a serial port."""
        return False

    @staticmethod
    def run_command(board, program):
        """Command line that runs `program`: the program itself on this computer, else QEMU with the board's machine."""
        if board.get("tinygen.core") == "native":
            return [program]
        machine = board.get("debug.qemu")
        return [
            "qemu-system-arm", "-M", machine["machine"], *machine["args"],
            "-display", "none", "-monitor", "none", "-serial", "null",
            "-chardev", "stdio,id=sh", "-semihosting-config", "enable=on,target=native,chardev=sh",
            "-kernel", program,
        ]  # fmt: skip
