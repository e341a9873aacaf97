"""Say what is installed, on which device things run, what is there already, and what will be slow.

    clipcaer doctor [FOLDER]

Each line says what was found, and what to do about it where something is missing or slow. With FOLDER, where outputs
will go, its free space is told. Nothing is fetched and nothing written.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path
from typing import NamedTuple

from modeling_clipcaer.common.flags import option, parse_arguments
from modeling_clipcaer.common.terminal import run_command, tell, tell_findings
from modeling_clipcaer.common.versions import list_versions


GIGABYTE = 2**30
# What a training of RAER on cached embeddings of ViT-B/32 writes and holds, rounded up.
LEAST_DISK, LEAST_MEMORY = 5, 8
CORE = ("torch", "transformers", "datasets", "accelerate", "evaluate", "peft", "av", "opencv-python-headless")


class Finding(NamedTuple):
    """What was found of a thing, and what to do about it where something can be done."""

    of: str
    found: str
    advice: str | None = None


@dataclass
class DoctorArguments:
    """Where to look."""

    folder: str = option(".", "Folder that outputs will go to.", positional=True)


def main() -> None:
    (args,) = parse_arguments((DoctorArguments,), sys.argv[1:], __doc__)
    own = list_versions(["clipcaer"])
    tell(f"clipcaer {own['clipcaer'] or 'from a clone'}, Python {own['python']}")
    findings = [finding for look in LOOKS for finding in look()]
    findings.append(look_at_disk(Path(args.folder)))
    width = max(len(finding.of) for finding in findings)
    for finding in findings:
        tell(f"{finding.of:{width}}  {finding.found}", hang=width + 2)
    advice = [f"warning  {finding.of}: {finding.advice}" for finding in findings if finding.advice]
    tell_findings(advice or ["nothing is missing, and nothing is known to be slow"])


def list_packages() -> Iterator[Finding]:
    """The packages that every command needs."""
    versions = list_versions(CORE)
    found = {package: versions[package] for package in CORE}
    missing = [package for package, number in found.items() if number is None]
    advice = f"pip install {' '.join(missing)}" if missing else None
    yield Finding("packages", ", ".join(f"{name} {number or 'missing'}" for name, number in found.items()), advice)


def list_extras() -> Iterator[Finding]:
    """The extras, and which of them are whole."""
    from packaging.requirements import Requirement

    try:
        extras = metadata("clipcaer").get_all("Provides-Extra") or []
        needed = [Requirement(text) for text in requires("clipcaer") or []]
    except PackageNotFoundError:
        return
    whole: list[str] = []
    parts: list[str] = []
    for extra in sorted(extras):
        own = [need for need in needed if need.marker and need.marker.evaluate({"extra": extra})]
        names = [need.name for need in own if need.name != "clipcaer"]
        (whole if all(list_versions(names).values()) else parts).append(extra)
    yield Finding("extras", f"there: {', '.join(whole) or 'none'}; not there: {', '.join(parts) or 'none'}")


def look_at_device() -> Iterator[Finding]:
    """What computes."""
    import torch

    from modeling_clipcaer.common.processes import count_cores
    from modeling_clipcaer.models.frozen_parts import resolve_tower_dtype

    cores = count_cores()
    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
        memory = ", ".join(f"{card.name} with {card.total_memory / GIGABYTE:.0f} GB" for card in cards)
        yield Finding("device", f"{memory}; {cores} cores to decode with")
        return
    speed = "multiply in bf16" if resolve_tower_dtype("auto", "cpu") else "have no fast bf16"
    yield Finding(
        "device",
        f"no GPU; {cores} cores, which {speed}",
        "training that encodes every frame anew in every epoch is slow; --cache-frame-embeds encodes each clip once",
    )


def look_at_memory() -> Iterator[Finding]:
    """The memory of the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIGABYTE
    advice = None if memory >= LEAST_MEMORY else f"below {LEAST_MEMORY} GB: smaller batches, --num-workers 0"
    yield Finding("memory", f"{memory:.0f} GB", advice)


def look_at_detector() -> Iterator[Finding]:
    """What finds faces where nothing else is asked for."""
    from huggingface_hub import try_to_load_from_cache

    from modeling_clipcaer.faces.yunet import FILE, REPOSITORY

    if isinstance(try_to_load_from_cache(REPOSITORY, FILE), str):
        yield Finding("faces", "YuNet's file is in the Hub's cache")
        return
    yield Finding(
        "faces",
        "YuNet's file is not in the Hub's cache; without a network Haar finds faces",
        f"Haar misses turned and tilted faces; hf download {REPOSITORY} {FILE} fetches YuNet once",
    )


def look_at_clip() -> Iterator[Finding]:
    """The CLIP checkpoints that need no download."""
    from modeling_clipcaer.models.cached_checkpoints import find_cached_clips

    found = sorted(find_cached_clips())
    advice = None if found else "the first training with a CLIP fetches it, 600 MB of ViT-B/32"
    yield Finding("CLIP", f"in the Hub's cache: {', '.join(found) or 'none'}; tiny_clip comes with the code", advice)


LOOKS = (list_packages, list_extras, look_at_device, look_at_memory, look_at_detector, look_at_clip)


def look_at_disk(folder: Path) -> Finding:
    """The free space where outputs will go."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free / GIGABYTE
    advice = None if free >= LEAST_DISK else f"below {LEAST_DISK} GB: a training with checkpoints may fill the disk"
    return Finding("disk", f"{free:.0f} GB free in {there}", advice)


if __name__ == "__main__":
    raise SystemExit(run_command(main))
