"""A new model and its processor from flags."""

from huggingface_hub.errors import StrictDataclassError

from modeling_clipcaer.data.labels_file import read_labels_file
from modeling_clipcaer.errors import InputError, first_line
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.arguments import ModelArguments
from modeling_clipcaer.processing_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.settings_clipcaer import PixelSettings


def build_model(
    args: ModelArguments,
    labels: list[str],
    kind: type[ClipCaerForVideoClassification] = ClipCaerForVideoClassification,
) -> ClipCaerForVideoClassification:
    """A new model of this `kind` on the CLIP checkpoint, with the labels' prompts.

    Raises:
        InputError: there are not two labels to tell apart, or what the flags ask for does not fit.
    """
    if len(labels) < 2:
        raise InputError(f"the labels are {', '.join(labels) or 'none'}: expected at least two to tell apart")
    prompts = read_labels_file(args.labels_file, labels) if args.labels_file else {}
    try:
        return kind.from_clip_pretrained(
            args.resolve_clip(),
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            attn_implementation=args.attn_implementation,
            **args.config_fields(),
            **prompts,
        )
    except InputError:
        raise
    except StrictDataclassError as error:
        raise InputError(first_line(error)) from error
    except (ImportError, ValueError, OSError) as error:  # its package is not there, or the Hub gives no such kernel
        raise InputError(f"`attn_implementation` {args.attn_implementation}: {first_line(error)}") from error


def build_processor(model: ClipCaerForVideoClassification, args: PixelSettings) -> ClipCaerVideoProcessor:
    """The processor for the model's frames and image size."""
    image_size = model.config.vision_tower_config.image_size
    return ClipCaerVideoProcessor(num_frames=model.config.num_frames, image_size=image_size, **vars(args))
