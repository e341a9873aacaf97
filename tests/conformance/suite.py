"""Fetches the common tests of the installed transformers and makes them importable; none of their code is kept here.

`load("test_modeling_common")` gives one of their modules. The source distribution is downloaded once into
`$CLIPCAER_CONFORMANCE_CACHE`, by default `~/.cache/clipcaer`.
"""

import importlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType
from unittest import mock

import transformers


PACKAGE = "transformers_common_tests"
# Stands in for what the source distribution leaves out of its `tests` folder.
STAND_INS = {
    "exporters.test_export": {"ExportTesterMixin": type("ExportTesterMixin", (), {})},
    "generation.test_utils": {"GenerationTesterMixin": type("GenerationTesterMixin", (), {})},
    "utils.test_configuration_utils": {
        "config_common_kwargs": {
            "return_dict": False,
            "output_hidden_states": True,
            "output_attentions": True,
            "dtype": "float16",
            "chunk_size_feed_forward": 5,
            "architectures": ["ClipCaerModel"],
            "id2label": {0: "calm"},
            "label2id": {"calm": 0},
            "problem_type": "regression",
        }
    },
}


def fetch_tests() -> Path:
    """Folder with the `tests` of the installed transformers; downloads them if it is not there yet."""
    name = f"transformers-{transformers.__version__}"
    cache = Path(os.environ.get("CLIPCAER_CONFORMANCE_CACHE") or Path.home() / ".cache" / "clipcaer")
    target = cache / name
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            pip = [sys.executable, "-m", "pip", "download", "--no-binary", ":all:", "--no-deps"]
            subprocess.run([*pip, "--dest", temporary, f"transformers=={transformers.__version__}"], check=True)
            with tarfile.open(next(Path(temporary).glob("*.tar.gz"))) as archive:
                members = [member for member in archive if member.name.startswith(f"{name}/tests/")]
                archive.extractall(temporary, members, filter="data")
            (Path(temporary) / name / "tests").rename(target)
    return target


def load(module: str) -> ModuleType:
    """One module of the suite, as a member of a package of its own."""
    if PACKAGE not in sys.modules:
        _add_module(PACKAGE).__path__ = [str(fetch_tests())]
        for name, content in STAND_INS.items():
            _add_module(f"{PACKAGE}.{name.split('.')[0]}").__path__ = []
            vars(_add_module(f"{PACKAGE}.{name}")).update(content)
    # The suite looks for transformers beside itself, as it stands in their repository.
    with mock.patch("transformers.utils.direct_transformers_import", lambda path: transformers):
        return importlib.import_module(f"{PACKAGE}.{module}")


def _add_module(name: str) -> ModuleType:
    return sys.modules.setdefault(name, ModuleType(name))


__all__ = ["fetch_tests", "load"]
