"""What is read: README, CONTRIBUTING and docs, in short sentences, with code that fits and pictures that are there."""

import re
from statistics import mean

import pytest
from markdown_it import MarkdownIt

from helpers.places import ROOT


README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
# Of one idea each, by what a reader is after.
PARTS = {"Tutorials": "tutorials", "How-to": "howto", "Reference": "reference", "Explanation": "explanation"}
SHORT = sorted(page for folder in PARTS.values() for page in (ROOT / "docs" / folder).glob("*.md"))
OTHERS = [ROOT / "CONTRIBUTING.md", *(ROOT / name / "README.md" for name in ("benchmarks", "recipes"))]
PAGES = [README, *OTHERS, *DOCS, *SHORT]
TASK = r"# (Add|Come|Deploy|Find|Go|Know|Load|Make|Open|Read|See|Train|Turn)\b"
TERMS = ["RAER", "UAR", "WAR", "EAA", "IEC", "MI", "DC", "slerp", "window", "segment", "room", "context"]
MEGABYTE = 1_000_000
# Of a README on GitHub, in a window of 1440x900: pixels from top to bottom, characters of a line.
SCREEN, COLUMN = 900, 125


def parse(text):
    """The blocks of a page, of a cell, of a list's entry: what they are, and their words with code as one word."""
    for token, outer in _walk(MarkdownIt("commonmark").enable("table").parse(text)):
        if token.type == "inline":
            words = "".join(_say(child) for child in token.children)
            yield outer, re.sub(r"\$[^$]+\$", "formula", " ".join(words.split()))


def _walk(tokens):
    outer = ""
    for token in tokens:
        if token.nesting == 1:
            outer = "item" if token.hidden else token.type.removesuffix("_open")
        yield token, outer


def _say(child):
    return {"text": child.content, "code_inline": "Code", "softbreak": " ", "hardbreak": " "}.get(child.type, "")


def read_sentences(text):
    """Every sentence of paragraphs and lists, and of those cells of tables that hold one."""
    for kind, words in parse(text):
        if kind in ("paragraph", "item") or (kind == "td" and re.search(r"\w[.!?]( |$)", words)):
            for sentence in re.split(r"(?<=[.!?])[\"*)]* +(?=[\"*(]*[A-Z])", words):
                if len(sentence.split()) > 1:
                    yield sentence


def read_code(text):
    """The language and the lines of each block of code."""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence":
            yield token.info, token.content.splitlines()


def test_sentences_are_found_as_a_reader_finds_them():
    text = (
        "One is `a.b c` here. *Two* ends\nhere! Is it (see Fig. 3, et al., 2019)? Yes.\n\n- Three of it.\n\n    No.\n"
    )
    assert [len(sentence.split()) for sentence in read_sentences(text)] == [4, 3, 8, 3]
    assert [*read_sentences("| a |\n|---|\n| two words |\n| It is. So it is. |\n")] == ["It is.", "So it is."]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_sentence_holds_one_idea(page):
    lengths = {sentence: len(sentence.split()) for sentence in read_sentences(page.read_text(encoding="utf-8"))}
    longest = max(lengths, key=lengths.__getitem__)
    assert mean(lengths.values()) < 18
    assert lengths[longest] <= 45, longest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_fits_its_page_and_comments_stand_above_commands(page):
    for language, lines in read_code(page.read_text(encoding="utf-8")):
        assert [line for line in lines if len(line) > 98] == []
        if language in ("bash", "python"):
            assert [line for line in lines if re.search(r"\S.* # ", line)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_one_word_means_one_thing_and_flags_have_dashes(page):
    text = page.read_text(encoding="utf-8")
    others = r"\bsurroundings?\b|\bscenes?\b|\bbounding box(?:es)?\b|\bsnippets?\b"
    assert re.findall(others, re.sub(r"\(\S+\)|`[^`]*`", "", text), re.I) == []
    if page.name not in ("from_research_code.md", "research_flags.md"):  # which show flags of theirs
        of_accelerate = {"--config_file", "--multi_gpu", "--num_processes", "--machine_rank", "--main_process_ip"}
        assert {*re.findall(r"--[a-z]+_[a-z_]+", text)} <= of_accelerate
        assert "--output-dir" not in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", text)
    for target in ("".join(pair) for pair in targets):
        file, _, anchor = target.partition("#")
        if "://" not in target:
            there = (page.parent / file).resolve() if file else page
            # Keep: a file. The site shows no folders.
            assert there.is_file(), target
            assert not anchor or anchor in list_anchors(there.read_text(encoding="utf-8")), target


def list_anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = (words for kind, words in parse(re.sub(r"`", "", text)) if kind == "heading")
    return [re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for words in headings]


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_a_page_of_the_docs_begins_with_its_task_and_a_picture(page):
    beginning = page.read_text(encoding="utf-8").split("\n## ")[0]
    assert re.match(TASK, beginning)
    pictures = re.findall(r"!\[(.+)\]\((\S+)\)|<img src=\"(\S+)\" alt=\"([^\"]+)\"", beginning, re.S)
    assert pictures


@pytest.mark.parametrize("page", SHORT, ids=lambda page: page.name)
def test_a_short_page_begins_with_its_task_and_lies_in_its_part_of_the_contents(page):
    assert re.match(TASK, page.read_text(encoding="utf-8"))
    contents = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    (part,) = (title for title, folder in PARTS.items() if folder == page.parent.name)
    assert f"({page.parent.name}/{page.name})" in contents.split(f"\n## {part}\n")[1].split("\n## ")[0]


def test_every_page_stands_in_the_contents_once():
    contents = (ROOT / "docs" / "README.md").read_text(encoding="utf-8").split("\n## Glossary")[0]
    linked = re.findall(r"^\| .* \| \[.*?\]\(([^)]+\.md)\) \|$", contents, re.M)
    there = {page.relative_to(ROOT / "docs").as_posix() for page in (*DOCS, *SHORT)} - {"README.md"}
    assert sorted(linked) == sorted({*there, "../recipes/README.md", "../benchmarks/README.md"})


def test_pictures_are_small_and_used():
    pictures = [*(ROOT / "docs" / "pictures").iterdir()]
    told = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [path.name for path in pictures if f"pictures/{path.name}" not in told] == []
    assert [path.name for path in pictures if path.stat().st_size > 0.5 * MEGABYTE] in ([], ["recording.webp"])
    assert (ROOT / "docs" / "pictures" / "recording.webp").stat().st_size < 2 * MEGABYTE


def test_the_glossary_tells_every_term_in_a_line():
    section = (ROOT / "docs" / "README.md").read_text(encoding="utf-8").split("\n## Glossary\n")[1]
    rows = re.findall(r"^\| (\S+) \| (.+\.) \|$", section, re.M)
    assert [term for term, _ in rows] == TERMS


def test_readme_is_three_screens():
    """As GitHub shows it, nearly; what is folded away is a line."""
    text = re.sub(r"<details>.*?</details>", "A line.\n", README.read_text(encoding="utf-8"), flags=re.S)
    height = 0.0
    for token, outer in _walk(MarkdownIt("commonmark").enable("table").parse(text)):
        if token.type == "fence":
            height += 48 + 20 * len(token.content.splitlines())
        elif token.type == "html_block":
            height += 335 * ("<img" in token.content)
        elif token.type == "inline":
            lines = -(-len("".join(map(_say, token.children))) // COLUMN)
            height += {"heading": 60, "th": 37 / 3, "td": 37 / 3, "item": 24 * lines + 4}.get(outer, 24 * lines + 16)
    assert height <= 3 * SCREEN
