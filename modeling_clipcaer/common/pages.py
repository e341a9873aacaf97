"""Pages for the browser: how templates are read, and the look that all pages share, `templates/page.css`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modeling_clipcaer.names import printable


if TYPE_CHECKING:
    from jinja2 import Environment


def load_templates(folder: Path) -> Environment:
    """The templates of `folder`, which may include those that all pages share."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent / "templates"]),
        autoescape=True,  # Keep: names of files and labels may hold markup.
        finalize=lambda value: printable(value) if type(value) is str else value,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
