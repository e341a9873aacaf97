"""What is released: one version everywhere, and two archives that the index takes and that are the whole program."""

import configparser
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
import yaml

from helpers.places import ROOT


def read_setup():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup["metadata"]


def read_changelog():
    """The versions, newest first, and whether each is released."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.M)
    found = [re.fullmatch(r"(\d+\.\d+\.\d+)( \(not released\))?", heading) for heading in headings]
    assert all(found), headings
    return [(one[1], one[2] is None) for one in found]


def test_setup_citation_and_changelog_agree():
    versions = read_changelog()
    numbers = [tuple(map(int, version.split("."))) for version, _ in versions]
    assert numbers == sorted(numbers, reverse=True) and len({*numbers}) == len(numbers)
    (newest, is_released), *earlier = versions
    assert all(released for _, released in earlier)
    assert read_setup()["version"] == (newest if is_released else f"{newest}.dev0")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(cited["version"]) == next(version for version, released in versions if released)
    assert cited["license"] == read_setup()["license"] and read_setup()["name"] == "clipcaer"


def test_a_tag_of_this_commit_is_its_version():
    command = ["git", "tag", "--points-at", "HEAD", "v*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is no clone")
    assert {*done.stdout.split()} <= {f"v{read_setup()['version']}"}


@pytest.mark.slow
def test_wheel_and_source_distribution_are_taken_by_the_index_and_hold_the_whole_program(tmp_path):
    for package in ("build", "twine"):
        pytest.importorskip(package, reason=f"{package} is in the extra `release`")
    ignored = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "outputs", "golden")
    shutil.copytree(ROOT, tmp_path / "tree", ignore=ignored)
    # The source distribution first, and the wheel from it.
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", tmp_path / "tree"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    wheel, archive = sorted((tmp_path / "dist").iterdir(), key=lambda path: path.suffix != ".whl")
    check = [sys.executable, "-m", "twine", "check", "--strict", wheel, archive]
    done = subprocess.run(check, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("PASSED") == 2, done.stdout + done.stderr
    version = read_setup()["version"]
    assert {wheel.name, archive.name} == {f"clipcaer-{version}-py3-none-any.whl", f"clipcaer-{version}.tar.gz"}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("modeling_clipcaer/")}
    tree = ROOT / "modeling_clipcaer"
    kept = {path for path in tree.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path.relative_to(ROOT).as_posix() for path in kept} <= held
    assert {f"modeling_clipcaer/presets/{path.name}" for path in (ROOT / "recipes").glob("*.yaml")} <= held
    assert "modeling_clipcaer/presets/tiny_clip/model.safetensors" in held
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"LICENSE", "CITATION.cff", "CHANGELOG.md", "constraints.txt", "SKILL.md"} <= names
    assert not any(name.startswith("tests/test_") for name in names)
