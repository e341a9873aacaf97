"""Build the documentation site: README, CONTRIBUTING and docs as they stand, and what the program says of itself.

pip install -c constraints.txt -e ".[docs]"
python docs/site/build.py outputs/site

A warning is an error. Nothing is fetched, and the pages ask nothing of the network.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from reference import write_api, write_commands
from sphinx.cmd.build import main as run_sphinx


HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def main() -> int:
    """Write the site into the folder that the command line names."""
    (output,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as place:
        sources, doctrees = Path(place, "sources"), Path(place, "doctrees")
        gather(sources)
        write_commands(sources / "docs" / "reference" / "commands")
        write_api(sources / "docs" / "reference" / "api")
        words = ["-b", "html", "-q", "-W", "--keep-going", "-c", HERE, "-d", doctrees, sources, output]
        return run_sphinx([str(word) for word in words])


def gather(sources: Path) -> None:
    """Copy the tree, so that links between its files hold and what is generated has a place."""
    kept = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info")
    outputs = [ROOT / name for name in ("outputs", "data", "build")]
    shutil.copytree(
        ROOT,
        sources,
        ignore=lambda folder, names: kept(folder, names) | {name for name in names if Path(folder, name) in outputs},
    )


if __name__ == "__main__":
    raise SystemExit(main())
