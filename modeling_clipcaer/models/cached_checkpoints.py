"""CLIP checkpoints that need no download."""

from collections.abc import Iterator
from pathlib import Path

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.json_files import read_object


def find_cached_clips() -> Iterator[str]:
    """The repositories in the Hub's cache whose config.json is a CLIP's, or a checkpoint's of ours."""
    from huggingface_hub.constants import HF_HUB_CACHE

    for folder in Path(HF_HUB_CACHE).glob("models--*"):
        for config in folder.glob("snapshots/*/config.json"):
            try:
                kind = read_object(config).get("model_type")
            except InputError:
                continue  # a download that was broken off
            if kind in ("clip", "clipcaer"):
                yield folder.name.removeprefix("models--").replace("--", "/")
                break
