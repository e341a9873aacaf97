"""Settings of Sphinx for the site, and how our Markdown is read: pages as GitHub shows them, docstrings as we write
them."""

import re
import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert


HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

project, author = "ClipCaer", "The ClipCaer authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/**.md",
    "recipes/README.md",
    "benchmarks/README.md",
    "tests/fixtures/tiny_clip/*.md",
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
default_role = "code"
napoleon_custom_sections = [("Args of a call", "params_style"), ("Attributes", "params_style")]
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "none"

smartquotes = False  # of `--flag` they would make a dash
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_static_path, html_css_files = ["static"], ["site.css"]
html_title = "ClipCaer"
html_show_sphinx = html_show_copyright = html_copy_source = False
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0a5fa8", "color-brand-content": "#0a5fa8"},
    "dark_css_variables": {"color-brand-primary": "#7cbcf5", "color-brand-content": "#7cbcf5"},
}
# Pages at the end of the contents, which no part has.
OTHERS = ("docs/README", "CONTRIBUTING", "CHANGELOG", "tests/fixtures/tiny_clip/README")
# The parts of docs/README.md that are parts of the site's contents, and what is generated into one of them.
PARTS = ("Tutorials", "How-to", "Reference", "Explanation")
GENERATED = {"Reference": ("docs/reference/commands/index", "docs/reference/api/index")}


def setup(app):
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (show_inline, None), (show_block, None))
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", read_docstring, priority=1)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("doctree-resolved", draw_dashes)
    app.connect("html-page-context", level_captions, priority=900)  # behind the theme
    app.connect("build-finished", finish_folder)


# Pages


def read_page(app, page, source):
    """Bring in what GitHub shows otherwise: pictures for light and dark, and the contents beside each page."""
    text = re.sub(r"<picture>.*?srcset=\"(\S+)\".*?<img src=(.*?)>\s*</picture>", split_picture, source[0], flags=re.S)
    if page == root_doc:
        text = re.sub(r"(?m)^\[!\[.*https://img\.shields\.io.*\n", "", text)  # badges come from elsewhere
        text += "\n" + "\n".join(list_contents())
    source[0] = text


def split_picture(found: re.Match) -> str:
    """One picture of two sources as two, of which the theme shows one."""
    dark, rest = found.groups()
    light_file, _, words = rest.partition(" ")
    return f'<img class="only-light" src={light_file} {words}><img class="only-dark" src="{dark}" {words}>'


def list_contents():
    """The contents of the site: the tables of docs/README.md, and the pages that are generated."""
    text = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for part in PARTS:
        (section,) = re.findall(rf"^## {part}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
        files = [(ROOT / "docs" / file).resolve() for file in re.findall(r"\]\(([^)#]+)\.md\)", section)]
        pages = [*GENERATED.get(part, ()), *(path.relative_to(ROOT).as_posix() for path in files)]
        yield write_toctree(part, pages)
    yield write_toctree("Project", OTHERS)


def write_toctree(caption, pages):
    """A part of the contents."""
    return "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def draw_dashes(app, doctree, page):
    """A dash between a parameter and what is said of it, where Sphinx relies on `smartquotes`."""
    for text in [text for text in doctree.findall(nodes.Text) if text == " -- "]:
        text.parent.replace(text, nodes.Text(" – "))


def level_captions(app, page, template, context, doctree):
    """Say of the parts' names beside a page which level of heading they are, as a screen reader asks."""
    tree = context["furo_navigation_tree"]
    context["furo_navigation_tree"] = tree.replace('role="heading"', 'role="heading" aria-level="2"')


def finish_folder(app, exception):
    """Copy what HTML in the pages names and what is for machines, and let the folder open with README."""
    if exception is None:
        out = Path(app.outdir)
        shutil.copytree(ROOT / "docs" / "pictures", out / "docs" / "pictures", dirs_exist_ok=True)
        shutil.copy(ROOT / "CITATION.cff", out)
        # The pages for machines, by the names that they have here.
        pages = (ROOT / "llms.txt").read_text(encoding="utf-8").replace("(SKILL.md)", "(SKILL.txt)")
        (out / "llms.txt").write_text(pages.replace(".md)", ".html)"), encoding="utf-8")
        shutil.copy(ROOT / "SKILL.md", out / "SKILL.txt")
        shutil.copy(out / f"{root_doc}.html", out / "index.html")


def show_inline(translator, node):
    """A formula in a line, as MathML, which browsers draw without a script."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def show_block(translator, node):
    """A formula of its own."""
    translator.body.append(f'<div class="math">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


# Docstrings


def skip_member(app, what, name, obj, skip, options):
    """Leave out what a named tuple says of its fields, which is their numbers."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def read_docstring(app, what, name, obj, options, lines):
    """Our docstrings are Markdown with Google's sections; Sphinx reads reStructuredText."""
    text = "\n".join([*lines, *describe_settings(obj, lines)])
    text = re.sub(r"^( *)```(\w*)\n(.*?)^ *```", read_fence, text, flags=re.M | re.S)
    words = WORDS
    if what == "module":  # whose docstrings show commands and files, and have no sections
        text = re.sub(r"\n\n(?= {4})", "\n\n::\n\n", text)
        words = rf"^ {{4}}[^\n]*|{WORDS}"
    lines[:] = re.sub(words, read_words, text, flags=re.M | re.S).split("\n")


# A name of ours in brackets, code, and signs that mean themselves here.
WORDS = r"\[`~?([\w.]+)`\]|(`+)(.+?)\2|(\||(?<=\w)_\b|(?<!\w)\*(?!\w))"


def read_words(found):
    """Markdown's words as reStructuredText's."""
    name, _, code, sign = found.groups()
    if name:
        return f":py:obj:`~.{name}`"  # a link, where the name is on the site
    if code:
        return f"``{code}``"
    return f"\\{sign}" if sign else found[0]


def read_fence(found):
    """A block of code."""
    indent, language, code = found.groups()
    inner = "".join(f"    {line}\n" if line else "\n" for line in code.split("\n"))
    return f"{indent}.. code-block:: {'pycon' if '>>>' in code else language}\n\n{inner}"


def describe_settings(obj, lines):
    """What the fields of a settings class are for, which stands at the fields."""
    if isinstance(obj, type) and is_dataclass(obj) and not any(line.strip() == "Args:" for line in lines):
        own = [setting for setting in fields(obj) if setting.init and setting.metadata.get("help")]
        if own:
            yield from ("", "Args:", *(f"    {setting.name}: {setting.metadata['help']}" for setting in own))
