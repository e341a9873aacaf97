"""The documentation site is built without a warning, asks nothing of the network, and says what the program says."""

import os
import re
import subprocess
import sys
from html import unescape

import pytest

import modeling_clipcaer
from helpers.browser import open_browser
from helpers.places import ROOT
from modeling_clipcaer.commands.main import COMMANDS
from modeling_clipcaer.data.layouts import LAYOUTS


pytestmark = pytest.mark.slow
for package in ("sphinx", "myst_parser", "furo", "latex2mathml"):
    pytest.importorskip(package, reason=f"{package} is in the extra `docs`")
# What a reader's browser would load; links that are followed by a click are no such thing.
LOADED = r"<(?:script|img|iframe|source|video)\b[^>]*?\bsrc=\"([^\"]+)\"|<link\b[^>]*?\bhref=\"([^\"]+)\""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site."""
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, ROOT / "docs" / "site" / "build.py", folder]
    # Keep: by no proxy either. A build that fetches anything ends in an error.
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(command, env=environment, cwd=folder.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def read(path):
    return path.read_text(encoding="utf-8")


def test_every_page_of_the_tree_is_a_page_of_the_site(site):
    pages = [path.relative_to(ROOT).with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 30 and [page for page in pages if not (site / page).is_file()] == []
    assert read(site / "index.html") == read(site / "README.html")
    links = re.findall(r"\]\((\S+?)\)", read(site / "llms.txt"))
    assert len(links) > 30 and [link for link in links if not (site / link).is_file()] == []


def test_pages_ask_nothing_of_the_network_and_what_they_load_is_there(site):
    for page in site.rglob("*.html"):
        for address in ("".join(pair) for pair in re.findall(LOADED, read(page))):
            assert not re.match(r"\w+:|//", address) or address.startswith("data:"), (page, address)
            assert (page.parent / unescape(address).partition("?")[0].partition("#")[0]).exists(), (page, address)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"@import|url\([\"']?(https?:)?//", read(sheet)), sheet


def test_no_page_names_a_place_of_this_machine(site):
    text = "".join(read(page) for page in site.rglob("*.html"))
    assert str(ROOT) not in text and str(site) not in text and "/sources/" not in text


def test_every_command_and_layout_has_a_page_with_its_flags(site):
    folder = site / "docs" / "reference" / "commands"
    names = [*(name for name in COMMANDS if name != "build"), *(f"build-{layout}" for layout in LAYOUTS)]
    assert {path.stem for path in folder.glob("*.html")} == {*names, "index"}
    for name in names:
        assert "cmdoption-clipcaer" in read(folder / f"{name}.html"), name
    assert "reads VIDEOS/LABEL/*.mp4, or videos of any other kind" in read(folder / "build-folders.html")
    # A flag with its default, of a dataclass of ours and of the Trainer's own.
    train = unescape(re.sub(r"<[^>]+>", "", read(folder / "train.html")))
    assert re.search(r"--dc-loss-weight X.*\n.*\(default: 0\.1\)", train) and "--gradient-accumulation-steps" in train


def test_the_public_names_are_documented_with_their_shapes(site):
    index = read(site / "docs" / "reference" / "api" / "index.html")
    for name, module in modeling_clipcaer._MODULES.items():
        page = f"modeling_clipcaer.{module.rpartition('.')[0]}".rstrip(".")
        anchor = f"modeling_clipcaer.{module}.{name}"
        assert f'href="{page}.html#{anchor}"' in index
        assert f'id="{anchor}"' in read(site / "docs" / "reference" / "api" / f"{page}.html")
    losses = unescape(re.sub(r"<[^>]+>", "", read(site / "docs/reference/api/modeling_clipcaer.losses.html")))
    assert "soft (torch.Tensor of shape (num_labels, projection_dim)) – Soft prompts' text embeddings" in losses
    # Markdown of docstrings has become what it means.
    assert "`" not in losses and "[`" not in losses


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_telephone_and_a_desk_and_show_one_picture_of_two(site, width, scheme):
    with open_browser() as tab:
        for page in (
            "index.html",
            "docs/tutorials/own_clips.html",
            "docs/reference/commands/train.html",
            "docs/method.html",
        ):
            tab.open(site / page, width=width, prefers_color_scheme=scheme)
            assert tab.run("document.documentElement.scrollWidth") <= width, page
            assert not [address for address in tab.requests() if not address.startswith(("file:", "data:"))]
            shown = "[...document.querySelectorAll('img')].filter(i => i.offsetParent).map(i => i.src).join(' ')"
            other = {"light": "_dark.svg", "dark": "_light.svg"}[scheme]
            assert other not in tab.run(shown)
