"""Which weights train, at which learning rate, and whether a gradient reaches them."""

from transformers.utils import logging

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.losses.table import CLASSIFICATION_LOSSES, SOFT_PROMPT_LOSSES
from modeling_clipcaer.training.arguments import ClipCaerTrainingArguments


logger = logging.get_logger(__name__)

# Which learning rate moves a weight, by how its name begins. The rest of CLIP, its text tower, stays frozen.
_GROUP_PREFIXES = {
    "model.face_temporal_encoder.": "base",
    "model.context_temporal_encoder.": "base",
    "model.fusion.": "fusion",
    "model.face_adapter.": "adapter",
    "model.prompt_learner.": "prompt_learner",
    "model.learned_prototypes.": "classifier",
    "model.slerp_weight.": "classifier",
    "model.clip.vision_model.": "image_encoder",
    "model.clip.visual_projection.": "image_encoder",
}


def find_parameter_group(name: str) -> str | None:
    """Group of the parameter `name`: base, fusion, adapter, prompt_learner, classifier or image_encoder; None: always
    frozen."""
    name = name.removeprefix("module.")
    return next((group for prefix, group in _GROUP_PREFIXES.items() if name.startswith(prefix)), None)


def group_learning_rates(args: ClipCaerTrainingArguments) -> dict[str, float]:
    """Learning rate of each group of weights."""
    return {
        "base": args.learning_rate,
        "fusion": args.learning_rate if args.lr_fusion is None else args.lr_fusion,
        "adapter": args.lr_adapter,
        "prompt_learner": args.lr_prompt_learner,
        "classifier": args.learning_rate if args.lr_classifier is None else args.lr_classifier,
        "image_encoder": args.lr_image_encoder,
    }


def freeze_parameters(model, learning_rates: dict[str, float]):
    """Let exactly those weights require a gradient whose group has a learning rate above 0. A vision tower that has
    LoRA trains by it alone."""
    weights = dict(model.named_parameters())
    has_lora = any(".lora_" in name for name in weights)
    for name, parameter in weights.items():
        group = find_parameter_group(name)
        trains = group is not None and learning_rates.get(group, 0.0) > 0
        parameter.requires_grad_(trains and not (has_lora and group == "image_encoder" and ".lora_" not in name))


def check_gradient_paths(config, args: ClipCaerTrainingArguments):
    """Refuse settings in which a part that is to be trained receives no gradient, or a loss moves nothing."""
    text_losses = [loss for loss in SOFT_PROMPT_LOSSES if loss.is_on(args)]
    weights = " and ".join(f"`{loss.weight_flag}`" for loss in SOFT_PROMPT_LOSSES)
    source, rates = config.resolved_prototype_source, group_learning_rates(args)
    if args.lr_prompt_learner > 0 and not config.soft_prompts_classify:
        if not text_losses:
            raise InputError(
                f"the soft prompts can receive no gradient: `prototype_source` {source} classifies, and "
                f"{weights} are 0; set one of them above 0, or `lr_prompt_learner` to 0"
            )
        if not any(loss.sets_in(args) for loss in text_losses):
            names = " and ".join(loss.name.upper() for loss in SOFT_PROMPT_LOSSES)
            raise InputError(
                f"the soft prompts can receive no gradient: `prototype_source` {source} classifies, and "
                f"the warm-up of the {names} losses lasts all {args.num_train_epochs:g} epochs; shorten it"
            )
    if args.lr_prompt_learner == 0 and text_losses:
        raise InputError(
            f"{weights} move nothing but the soft prompts, and `lr_prompt_learner` is 0; "
            "set both weights to 0, or `lr_prompt_learner` above 0"
        )
    adapter_trains = args.lr_adapter > 0 and config.use_face_adapter and config.face_stream
    if adapter_trains and config.adapter_residual_ratio == 0:
        raise InputError(
            "the face adapter can receive no gradient: `adapter_residual_ratio` is 0; "
            "set it above 0, or `lr_adapter` to 0"
        )
    if args.learning_rate > 0 and config.temporal_pooling == "attention" and config.num_frames == 1:
        raise InputError(
            "attention pooling can receive no gradient: with `num_frames` 1 there is nothing to weigh; "
            "set `temporal_pooling` to cls"
        )
    learned_weight = config.learned_slerp_weight is not None
    loss = CLASSIFICATION_LOSSES[args.classification_loss]
    if learned_weight and rates["classifier"] > 0 and loss.has_margins:
        raise InputError(
            "`learned_slerp_weight` can receive no gradient: a margin is one of prototypes that are not moved "
            f"(`classification_loss` {loss.name}); take another loss, or leave the weight as it is"
        )
    rates["adapter"] *= adapter_trains
    rates["classifier"] *= learned_weight or source == "classifier"
    if not any(rates.values()):
        raise InputError(
            "nothing would train: every learning rate is 0 of the parts that the model has; set one above 0"
        )


def warn_of_double_correction(args: ClipCaerTrainingArguments):
    """Warn where several options correct for the same imbalance."""
    active = [name for name in ("class_balanced_loss", "logit_adj", "weighted_sampler") if getattr(args, name)]
    if CLASSIFICATION_LOSSES[args.classification_loss].has_margins:
        active.append(f"classification_loss {args.classification_loss}")
    if len(active) > 1:
        logger.warning(f"several options correct for class imbalance at once: {', '.join(active)}; one is meant")
