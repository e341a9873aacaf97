"""Files that come with the code: presets, labels' texts, the tiny CLIP, the licence."""

from pathlib import Path


_PACKAGE = Path(__file__).parents[1]
_CLONE = _PACKAGE.parent
# A wheel has them in the package (setup.py copies them there), a clone where people read them.
_WHEEL = _PACKAGE / "presets"
_FOLDERS = (_WHEEL,) if _WHEEL.is_dir() else (_CLONE / "recipes", _CLONE / "tests" / "fixtures", _CLONE)


def find_preset(name: str, suffix: str = ".yaml") -> str:
    """The path of the file or folder that comes with the code under this name, without its suffix; other names, and
    paths that exist, as they are."""
    if "/" not in name and not Path(name).exists():
        found = (folder / f"{name}{suffix}" for folder in _FOLDERS)
        return next((str(path) for path in found if path.exists()), name)
    return name
