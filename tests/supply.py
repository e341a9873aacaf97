"""What this project is made of: a licence for every package that it needs, and a bill of materials.

    python tests/supply.py --output outputs/supply

writes `licences.csv` and `sbom.cdx.json` (CycloneDX 1.6) of the installed packages, from what they say of themselves;
nothing is asked of a network. `pip-audit -r constraints.txt --no-deps --disable-pip` asks an index whether any of the
pinned versions has a known hole.
"""

import argparse
import csv
import json
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement


PROJECT = "clipcaer"
UNKNOWN = "not stated"


def list_needed(name: str, extras: Iterable[str] = ()) -> dict[str, Distribution]:
    """The installed packages that a package needs, with what these need in turn, by name."""
    found: dict[str, Distribution] = {}
    todo = list(_read_requirements(distribution(name), extras))
    while todo:
        wanted = todo.pop()
        key = normalise(wanted.name)
        try:
            package = found.setdefault(key, distribution(wanted.name))
        except PackageNotFoundError:  # of another system, or of an extra that nobody installed
            continue
        todo += [other for other in _read_requirements(package, wanted.extras) if normalise(other.name) not in found]
    found.pop(name, None)
    return dict(sorted(found.items()))


def normalise(name: str) -> str:
    """A package's one name, as the index has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _read_requirements(package: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    for line in package.requires or ():
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield wanted


def find_licence(package: Distribution) -> str:
    """The licence that a package states: as an SPDX expression, by its classifiers, or in a line of its own."""
    about = package.metadata
    if expression := about.get("License-Expression"):
        return expression
    lines = about.get_all("Classifier") or ()
    classified = [line.rpartition(" :: ")[2] for line in lines if line.startswith("License ::")]
    stated = (about.get("License") or "").strip().split("\n")[0]
    return " AND ".join(classified) or (stated if 0 < len(stated) < 100 else UNKNOWN)


def make_bill(packages: dict[str, Distribution], version: str) -> dict:
    """The bill of materials, as CycloneDX 1.6 has it."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "library", "name": PROJECT, "version": version}},
        "components": [
            {
                "type": "library",
                "bom-ref": f"pkg:pypi/{name}@{package.version}",
                "name": name,
                "version": package.version,
                "purl": f"pkg:pypi/{name}@{package.version}",
                "licenses": [{"license": {"name": find_licence(package)}}],
            }
            for name, package in packages.items()
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--extras", nargs="*", default=["test", "export"], help="of the project's, which count too")
    args = parser.parse_args()
    packages = list_needed(PROJECT, args.extras)
    args.output.mkdir(parents=True, exist_ok=True)
    bill = make_bill(packages, distribution(PROJECT).version)
    (args.output / "sbom.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")
    with (args.output / "licences.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("package", "version", "licence"))
        writer.writerows((name, package.version, find_licence(package)) for name, package in packages.items())
    unknown = [name for name, package in packages.items() if find_licence(package) == UNKNOWN]
    print(f"{len(packages)} packages, {len(unknown)} without a stated licence: {', '.join(unknown) or 'none'}")


if __name__ == "__main__":
    main()
