"""Drawn data sets as datasets: drawn and built once, from a seed."""

from pathlib import Path

from modeling_clipcaer.common.files import working_folder
from modeling_clipcaer.common.terminal import tell
from modeling_clipcaer.data.layouts.raer import build_dataset
from modeling_clipcaer.synthetic.data_set import draw_dataset, plan_dataset


VAL_SHARE = 0.15


def draw_material(folder: Path, seed: int, imbalance: str, clips_train: int, clips_test: int, jobs: int) -> Path:
    """Dataset of a drawing, its validation split cut off training so that nobody is in two splits."""
    dataset = folder / f"{imbalance}-{seed}-{clips_train}-{clips_test}"
    if not dataset.is_dir():
        tell(f"drawing {dataset}: {clips_train} training clips and {clips_test} test clips")
        drawn = dataset.with_name(f"{dataset.name}-drawn")
        if not drawn.is_dir():
            with working_folder(drawn) as working:
                draw_dataset(plan_dataset(seed, imbalance, clips_train, clips_test), working / "new" / "RAER", jobs)
                (working / "new").rename(drawn)
        build_dataset(drawn, dataset, val_share=VAL_SHARE, val_split="person")
    return dataset
