"""What the page of errors quotes is what the package says: a page that goes stale fails."""

import ast
import functools
import re

import pytest

from helpers.places import ROOT


GAP = "\0"  # in the place of what differs from case to case


def join(node):
    """The text of an expression, with gaps where it is made at run time."""
    if isinstance(node, ast.Constant):
        return str(node.value) if isinstance(node.value, str) else GAP
    if isinstance(node, ast.JoinedStr):
        return "".join(join(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return join(node.left) + join(node.right)
    return GAP


@functools.cache
def list_messages():
    files = (ROOT / "modeling_clipcaer").rglob("*.py")
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    return [join(node) for node in nodes if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)]


def read_quotes():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([^`]+)` \|", page, re.M)


def occurs(quote):
    """Whether some message of the package has the quote, whose `…` stand for gaps."""
    pattern = re.compile(".*?".join(map(re.escape, quote.removesuffix("…").split("…"))), re.S)
    return any(map(pattern.search, list_messages()))


def test_the_page_quotes_common_errors():
    quotes = read_quotes()
    assert len(quotes) > 30 and len(set(quotes)) == len(quotes)


@pytest.mark.parametrize("quote", read_quotes())
def test_a_quoted_error_is_one_of_the_package(quote):
    assert occurs(quote)


def test_what_the_package_does_not_say_is_found_out():
    assert not occurs("lies in no label's drawer; expected …") and not occurs("the source lists no text clips")
