"""What every HTML page is made by: its templates, and the look they share (`templates/page.css`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modeling_clipcaer.names import printable


if TYPE_CHECKING:
    from jinja2 import Environment


def page_templates(*folders: Path) -> Environment:
    """The templates in `folders`, which may include `page.css`. What they show of texts is printable and no markup."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent / "templates"]),
        autoescape=True,  # Keep: names of files and labels may hold markup.
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
