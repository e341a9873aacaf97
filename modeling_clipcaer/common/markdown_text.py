"""Text from outside as Markdown that is no markup."""

import re

from modeling_clipcaer.names import printable


# Beside `&`, `<` and `>`, which some readers take for HTML also behind a backslash.
_MARKUP = re.compile(r"[\\`*_\[\]|~#!{}]|\$(?=\$)|(?<=\$)\$")


def markdown_text(text: object) -> str:
    """`text` as it is read: on one line, in a table or not, and no part of it markup."""
    shown = printable(str(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\g<0>", shown)


def markdown_code(text: object) -> str:
    """`text` as code, between more backticks than it has in a row."""
    shown = printable(str(text))
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    space = " " if shown[:1] == "`" or shown[-1:] == "`" or not shown else ""
    return f"{fence}{space}{shown}{space}{fence}"
