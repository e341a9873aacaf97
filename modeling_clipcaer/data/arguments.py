"""Flags of the clips that a run reads."""

from dataclasses import dataclass

from modeling_clipcaer.common.flags import option, rare_option
from modeling_clipcaer.errors import InputError


@dataclass
class DataArguments:
    """Which clips: a dataset that was built, or RAER's own files, from which one is then built first."""

    dataset: str | None = option(None, "Dataset: a folder of `clipcaer build`, an id on the Hub, or an address.")
    root_dir: str | None = option(None, "RAER's folder, in place of --dataset; or its parent.")
    train_annotation: str | None = rare_option(None, "Annotation of the training clips, with --root-dir.")
    val_annotation: str | None = rare_option(None, "Annotation of the validation clips, with --root-dir.")
    test_annotation: str | None = rare_option(None, "Annotation of the test clips, with --root-dir.")
    bounding_box_face: str | None = rare_option(None, "Face boxes, with --root-dir.")
    bounding_box_body: str | None = rare_option(None, "Body boxes, with --root-dir.")

    def __post_init__(self):
        if (self.dataset is None) == (self.root_dir is None):
            raise InputError("exactly one of `dataset` and `root_dir` says where the clips are; expected one of them")
        named = [name for name, value in vars(self).items() if value is not None]
        if self.dataset is not None and len(named) > 1:
            other = next(name for name in named if name != "dataset")
            raise InputError(f"`{other}` belongs to `root_dir`: what `dataset` holds was decided when it was built")
