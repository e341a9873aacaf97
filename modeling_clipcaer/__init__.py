"""ClipCaer: context-aware academic emotion recognition with CLIP.

Importing the package registers its classes with the Auto classes of transformers, and lets whatever is saved with
them (`save_pretrained`, `push_to_hub`, the Trainer's checkpoints) carry their code. The training side is imported when
first used, so that inference does not wait for it.
"""

from importlib import import_module

from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification
from transformers.models.auto.video_processing_auto import AutoVideoProcessor
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_clipcaer import ClipCaerConfig
from .frozen_parts import FrozenParts
from .modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerModel
from .peft_adapter import load_face_adapter, save_face_adapter
from .pipeline_clipcaer import ClipCaerPipeline
from .processing_clipcaer import ClipCaerVideoProcessor
from .video_classification import ClipCaerVideoClassificationPipeline


AutoConfig.register("clipcaer", ClipCaerConfig, exist_ok=True)
AutoModel.register(ClipCaerConfig, ClipCaerModel, exist_ok=True)
AutoModelForVideoClassification.register(ClipCaerConfig, ClipCaerForVideoClassification, exist_ok=True)
AutoVideoProcessor.register(ClipCaerConfig, ClipCaerVideoProcessor, exist_ok=True)
PIPELINE_REGISTRY.register_pipeline(
    "academic-emotion-recognition", pipeline_class=ClipCaerPipeline, pt_model=AutoModelForVideoClassification
)

# Keep: not by `register_pipeline`, by which pipelines of this task would save our code with the models of others, too.
PIPELINE_REGISTRY.supported_tasks["video-classification"]["impl"] = ClipCaerVideoClassificationPipeline

ClipCaerConfig.register_for_auto_class("AutoConfig")
ClipCaerModel.register_for_auto_class("AutoModel")
ClipCaerForVideoClassification.register_for_auto_class("AutoModelForVideoClassification")
ClipCaerVideoProcessor.register_for_auto_class("AutoVideoProcessor")

_TRAINING = {
    "ClipCaerCollator": "data_collator",
    "ClipCaerTrainer": "trainer",
    "ClipCaerTrainingArguments": "training_arguments",
}

__all__ = [
    "ClipCaerCollator",
    "ClipCaerConfig",
    "ClipCaerForVideoClassification",
    "ClipCaerModel",
    "ClipCaerPipeline",
    "ClipCaerTrainer",
    "ClipCaerTrainingArguments",
    "ClipCaerVideoProcessor",
    "FrozenParts",
    "load_face_adapter",
    "save_face_adapter",
]


def __getattr__(name: str):
    if name in _TRAINING:
        return getattr(import_module(f".{_TRAINING[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
