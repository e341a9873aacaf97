"""The bill of materials, the licences, and the versions that are allowed and pinned."""

import configparser
import json
import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from supply import UNKNOWN, find_licence, list_needed, normalise

from helpers.places import ROOT


# What may be used by a project under the Apache licence, also by who keeps their changes to themselves.
FREE = re.compile("apache|mit|bsd|psf|python software|mpl|mozilla|isc|unlicense|hpnd|zlib|cnri", re.IGNORECASE)


def read_requirements(*sections):
    """Requirements of setup.cfg, by package."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options"]["install_requires"].splitlines()
    lines += [line for name in sections for line in setup["options.extras_require"][name].splitlines()]
    found = [Requirement(line) for line in lines if line.strip() and not line.strip().startswith("#")]
    return {normalise(one.name): one for one in found if one.name != "clipcaer"}


def read_pins(name):
    lines = [line for line in (ROOT / name).read_text().splitlines() if line and not line.startswith("#")]
    return {normalise(line.partition("==")[0]): line.partition("==")[2] for line in lines}


def test_one_command_writes_a_bill_of_materials_and_every_licence(tmp_path):
    command = [sys.executable, str(ROOT / "tests" / "supply.py"), "--output", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    bill = json.loads((tmp_path / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    listed = {part["name"]: part for part in bill["components"]}
    assert listed.keys() >= read_requirements("export").keys()
    for name in ("torch", "numpy", "tokenizers", "safetensors"):
        assert listed[name]["version"] == version(name) and listed[name]["purl"] == f"pkg:pypi/{name}@{version(name)}"
    lines = (tmp_path / "licences.csv").read_text().splitlines()
    assert len(lines) == len(listed) + 1 and lines[0] == "package,version,licence"


def test_every_package_that_users_need_has_a_licence_that_goes_with_ours():
    packages = list_needed("clipcaer")
    licences = {name: find_licence(package) for name, package in packages.items()}
    assert UNKNOWN not in licences.values(), [name for name in licences if licences[name] == UNKNOWN]
    assert not {name: found for name, found in licences.items() if not FREE.search(found)}


@pytest.mark.parametrize("file", ["constraints.txt", "constraints-oldest.txt"])
def test_what_is_pinned_is_allowed_and_all_that_is_needed_is_pinned(file):
    wanted, pins = read_requirements("export", "test"), read_pins(file)
    assert wanted.keys() <= pins.keys()
    assert not {name: pins[name] for name, one in wanted.items() if not one.specifier.contains(pins[name])}


def test_the_oldest_pins_are_the_lower_bounds():
    pins = read_pins("constraints-oldest.txt")
    for name, wanted in read_requirements("export").items():
        (least,) = (part.version for part in wanted.specifier if part.operator == ">=")
        assert pins[name].startswith(least), name
