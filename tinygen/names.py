"""Names that generated C may have."""

from __future__ import annotations

import re

#: What a model cannot be called in C: words of C and C++, headers that its own would hide, and files that stand beside
#: it where it is compiled. Names that begin with tg_ belong to the kernels.
_WORDS = """
    auto bool break case catch char class const continue default delete do double else enum export extern false float
    for friend goto if inline int long namespace new operator private protected public register restrict return short
    signed sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void
    volatile while
"""
_FILES = """
    assert complex ctype errno fenv inttypes iso646 limits locale math setjmp signal stdalign stdarg stdatomic stdbool
    stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype
    arduino harness main startup test
"""
RESERVED_NAMES = frozenset((*_WORDS.split(), *_FILES.split()))
#: Endings of a model's own files: kws_io.c of kws and kws_io.c of a kws_io could not lie in one folder.
OWN_ENDINGS = ("_io", "_sensor", "_weights")
MAX_NAME = 40


def identifier(text: str) -> str:
    """A legal lower-case C identifier: words of the text joined by underscores."""
    name = re.sub(r"[^0-9A-Za-z]+", "_", text).strip("_").lower() or "x"
    return f"n{name}" if name[0].isdigit() else name


def model_name(text: str) -> str:
    """What a model is called in C: `text` as an identifier, and none that C or tinygen uses itself."""
    name = identifier(text)[:MAX_NAME].rstrip("_")
    if name.endswith(OWN_ENDINGS):
        name = f"{name[: MAX_NAME - 4]}_net"
    return f"m_{name}" if name in RESERVED_NAMES or f"{name}_".startswith("tg_") else name
