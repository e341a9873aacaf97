"""Flags of the experiments. No torch: their `--help` shows them at once."""

from dataclasses import MISSING, dataclass

from modeling_clipcaer.common.flags import check_ranges, option
from modeling_clipcaer.errors import InputError


@dataclass
class FoldArguments:
    """Which clips, folds and seeds, and where the result goes. All flags of `train` follow, as for one run."""

    dataset: str = option(MISSING, "Folder of a built dataset; the clips of all its splits are cut anew, by person.")
    output_dir: str = option(MISSING, "Folder of the runs, of folds.json, folds.md and of each seed's answers.")
    folds: int = option(5, "Folds; each clip is tested in one of them.", least=2)
    fold: list[int] | None = option(None, "Numbers of the folds to train in this call; from 1, all by default.")
    seeds: list[int] = option(lambda: [0], "Seeds of the runs; each trains all folds.")
    val_share: float = option(0.15, "Validation's share of what is not for testing; by person.", above=0, below=1)
    split_seed: int = option(42, "Seed of the cuts.", least=0)
    jobs: int = option(
        1, "Runs at once; each on a core or a GPU of its own. 0 trains nothing, and tells what is finished.", least=0
    )

    def __post_init__(self):
        check_ranges(self)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise InputError(f"`seeds` must be one or more different numbers from 0, got {self.seeds}")
        for number in self.fold or ():
            if not 1 <= number <= self.folds:
                raise InputError(f"`fold` {number}: expected one of the folds 1 to {self.folds}")


@dataclass
class AblationArguments:
    """Which runs, on which clips, and where they go."""

    output_dir: str = option(MISSING, "Folder of the runs, the tables and the plots.")
    train_config: list[str] = option(lambda: ["demo"], "Presets or YAML files of train's flags; under every run.")
    seeds: list[int] = option(lambda: [0, 1, 2], "Seeds of the runs.")
    drawings: list[int] | None = option(None, "Seeds of drawn data sets, each of which every cell is trained on.")
    clips_train: int = option(420, "Clips of a drawing for training and validation.", least=10)
    clips_test: int = option(600, "Clips of a drawing for testing; of persons unseen in training.", least=10)
    datasets: list[str] | None = option(None, "Folders of built datasets in the place of drawings.")
    folds: int | None = option(None, "Cut each dataset into so many person-disjoint folds.", least=2)
    val_share: float = option(0.15, "Validation's share of what is not for testing; by person.", above=0, below=1)
    split_seed: int = option(42, "Seed of the cuts of --folds.", least=0)
    jobs: int = option(
        1, "Runs at once; each on a core or a GPU of its own. 0 trains nothing, and tells what is finished.", least=0
    )
    tables: list[str] | None = option(None, "Tables of the recipe; all by default.")

    def __post_init__(self):
        check_ranges(self)
        if (self.drawings is None) == (self.datasets is None):
            raise InputError("exactly one of `drawings` and `datasets` says which clips there are")
        if self.folds is not None and self.datasets is None:
            raise InputError("`folds` cuts `datasets`, of which there is none")
        for name in ("seeds", "drawings", "datasets"):
            values = getattr(self, name)
            if values is not None and (not values or len(set(values)) < len(values)):
                raise InputError(f"`{name}` must be one or more different values, got {values}")
        if min([*self.seeds, *(self.drawings or ())]) < 0:
            raise InputError("`seeds` and `drawings` must be at least 0")
