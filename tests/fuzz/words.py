"""Names and numbers that are hard on whoever prints, parses or counts with them."""

from __future__ import annotations

#: For tensors, nodes, graphs, domains and files.
NAMES = (
    "", " ", "\t", "x" * 300, "é" * 90, "名前", "\U0001f600", "a\u202eb", "a\u0000b", "a\nb", "a\r\nb",
    "\x1b[31mred\x1b[0m",
    "\x07\x08\x7f", "a*/b", "/*", "*/ int main(void) { return 1; } /*", "//", "??/", "??/\n", "a\\", "a\\\nb", '"', "'",
    "\\u0041",
    "{{ 7 * 7 }}", "{% for %}", "{# #}", "${HOME}", "$(id)", "`id`", "%s%n", "int", "double", "NULL", "main", "static",
    "tg_conv_s8", "_Bool", "__FILE__", "0", "1e9", "-", "--help", "..", "../x", "/etc/passwd", "a/b/c", "a;b", "a,b",
    "a=b",
    "a:0",
    "nan", "inf", "None", "[bold]x[/bold]", ":smile:", "<script>",
    "&amp;", "#define x", "#include <x>", "\ufeff", "\ud7ff",
)  # fmt: skip

INTEGERS = (
    0, 1, -1, 2, 3, 4, 5, 7, 8, 16, 100, 127, 128, 255, 256, 1000, 32767, 32768, 65535, 65536, 100000, 1 << 20,
    (1 << 31) - 1,
    1 << 31, -(1 << 31), (1 << 32) - 1, 1 << 32, 1 << 40, 1 << 62, (1 << 63) - 1, -(1 << 63),
)  # fmt: skip

REALS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-38, 1e-10, 1e10, 1e30, 3.4e38, -3.4e38, float("inf"), float("-inf"),
    float("nan"),
)  # fmt: skip
