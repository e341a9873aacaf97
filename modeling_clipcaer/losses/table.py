"""The table of losses: names, functions, flags. Imports no torch."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.settings_clipcaer import option, rare_option


T = TypeVar("T", bound=type)


@dataclass(frozen=True)
class ClassificationLoss:
    """A loss of logits and labels: a choice of `--classification-loss`.

    Attributes:
        name: the choice.
        function: of `functions.py`. It gets logits, labels, and by name its parameters and `weights`, a factor for the
            clips of each label or `None`.
        parameters: its own, each an [`option`] that is a flag: `gamma` of `focal` is `--focal-gamma`.
        flags: other flags that give it parameters, by parameter.
        has_margins: it gets cosines, of prototypes that slerp has not moved, in the place of logits.
        inputs: what else it gets by name: `counts`, the training clips of each label, by which it corrects for rare
            ones; `votes`, those of the clips' raters; `label_embeds`, the embeddings of the labels' sentences.
    """

    name: str
    function: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    has_margins: bool = False
    inputs: tuple[str, ...] = ()

    @property
    def own_flags(self) -> dict[str, Any]:
        """The flags that its parameters are."""
        return {f"{self.name}_{name}": parameter for name, parameter in self.parameters.items()}

    def is_chosen(self, args: Any) -> bool:
        """Whether the training arguments `args` choose it."""
        return args.classification_loss == self.name

    def check_columns(self, column_names: Collection[str]) -> None:
        """Refuse training clips that have not, in their columns, what it learns from.

        Raises:
            InputError: there are no votes.
        """
        if "votes" in self.inputs and "votes" not in column_names:
            raise InputError(
                f"`classification_loss` {self.name} learns from the column `votes`, which the training split has not; "
                "expected a dataset built from a source with raters' votes (docs/howto/votes.md)"
            )

    def compute(self, args: Any, logits, labels, **others):
        """The loss, with the parameters that the training arguments `args` have for it, and with `others`."""
        flags = {**{name: f"{self.name}_{name}" for name in self.parameters}, **self.flags}
        given = {name: getattr(args, flag) for name, flag in flags.items()}
        return _find(self.function)(logits, labels, **given, **others)


@dataclass(frozen=True)
class AddedLoss:
    """A loss that training adds to that of classification, with a weight that may set in late and grow.

    Attributes:
        name: in its flags, `--NAME_loss_weight`, `--NAME_warmup_epochs` and `--NAME_ramp_epochs`, and in logs.
        function: of `functions.py`.
        inputs: the fields of the model's output that it gets.
        weight: its default weight; 0: off.
        text: what it is, for the help of its flags.
    """

    name: str
    function: str
    inputs: tuple[str, ...]
    weight: float
    text: str

    @property
    def weight_flag(self) -> str:
        """The flag of its weight."""
        return f"{self.name}_loss_weight"

    @property
    def ramp_flags(self) -> tuple[str, str]:
        """The flags of when it sets in, and of how long its weight then grows."""
        return f"{self.name}_warmup_epochs", f"{self.name}_ramp_epochs"

    @property
    def reads_soft_prompts(self) -> bool:
        """Whether it is of the soft prompts' text embeddings, which are made where they are needed alone."""
        return "soft_text_embeds" in self.inputs

    def is_on(self, args: Any) -> bool:
        """Whether the training arguments `args` give it a weight."""
        return getattr(args, self.weight_flag) > 0

    def weight_at(self, epoch: int, args: Any) -> float:
        """Its weight at `epoch`, from 0."""
        ramp = (getattr(args, flag) for flag in self.ramp_flags)
        return _find("ramp_weight")(epoch, *ramp, getattr(args, self.weight_flag))

    def sets_in(self, args: Any) -> bool:
        """Whether its ramp is above 0 in the last epoch. A trial run of `max_steps` may end before."""
        ramp = (getattr(args, flag) for flag in self.ramp_flags)
        return args.max_steps > 0 or _find("ramp_weight")(math.ceil(args.num_train_epochs) - 1, *ramp, final=1.0) > 0

    def compute(self, outputs: Any):
        """The loss, without its weight."""
        return _find(self.function)(*(getattr(outputs, name) for name in self.inputs))


def _find(name: str):
    from modeling_clipcaer.losses import functions

    return getattr(functions, name)


# A new loss is a function of functions.py, and a row of one of these two tables: docs/howto/loss.md.
CLASSIFICATION_LOSSES = {
    loss.name: loss
    for loss in (
        ClassificationLoss(
            "cross_entropy",
            "smoothed_cross_entropy",
            flags={"smoothing": "label_smoothing_factor", "class_distribution": "label_smoothing_distribution"},
        ),
        ClassificationLoss(
            "focal",
            "focal_loss",
            {
                "gamma": rare_option(2.0, "Exponent of the focal loss.", least=0),
                # At 0 the loss is a constant.
                "alpha": rare_option(1.0, "Factor of the focal loss.", above=0),
            },
        ),
        ClassificationLoss(
            "ldam",
            "ldam_loss",
            {
                "max_margin": rare_option(0.5, "Greatest margin of the LDAM loss, that of the rarest label.", least=0),
                "scale": rare_option(30.0, "Scale of the cosines in the LDAM loss.", above=0),
            },
            has_margins=True,
            inputs=("counts",),
        ),
        ClassificationLoss("distribution", "distribution_loss", inputs=("votes",)),
        ClassificationLoss(
            "near",
            "near_label_loss",
            {
                "beta": rare_option(
                    10.0, "How fast the target falls with a label's distance in the near loss.", least=0
                )
            },
            inputs=("label_embeds",),
        ),
    )
}
ADDED_LOSSES = (
    AddedLoss(
        "mi",
        "mi_loss",
        ("soft_text_embeds", "descriptive_text_embeds"),
        weight=0.5,
        text="mutual-information loss; it is between the two text views",
    ),
    AddedLoss("dc", "dc_loss", ("soft_text_embeds",), weight=0.1, text="decorrelation loss; it is of the soft view"),
)
# Those of them that move the soft prompts.
SOFT_PROMPT_LOSSES = tuple(loss for loss in ADDED_LOSSES if loss.reads_soft_prompts)


def _list_flags() -> dict[str, Any]:
    """The flags of both tables, in their order."""
    flags = {}
    for added in ADDED_LOSSES:
        warmup, ramp = added.ramp_flags
        flags[added.weight_flag] = option(added.weight, f"Weight of the {added.text}. 0: off.", least=0)
        flags[warmup] = rare_option(0.0, f"Epochs before the {added.name.upper()} loss sets in.", least=0)
        flags[ramp] = rare_option(
            0.0, f"Epochs over which the weight of the {added.name.upper()} loss then grows to the full one.", least=0
        )
    for loss in CLASSIFICATION_LOSSES.values():
        flags |= loss.own_flags
    return flags


def add_flags(settings: T) -> T:
    """A decorator that gives a class, before it becomes a dataclass, the flags of both tables as fields."""
    flags = _list_flags()
    settings.__annotations__ = {**dict.fromkeys(flags, float), **settings.__annotations__}
    for name, flag in flags.items():
        setattr(settings, name, flag)
    return settings
