"""ClipCaer: context-aware academic emotion recognition with CLIP.

What is imported from here is loaded when it is first used. As soon as transformers is loaded, in whatever order, our
classes are registered with its Auto classes and pipelines, and what is saved with them (`save_pretrained`,
`push_to_hub`, the Trainer's checkpoints) carries their code.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder


_MODULES = {
    "ClipCaerCollator": "data.data_collator",
    "ClipCaerConfig": "configuration_clipcaer",
    "ClipCaerForVideoClassification": "modeling_clipcaer",
    "ClipCaerModel": "modeling_clipcaer",
    "ClipCaerPipeline": "recordings.pipeline",
    "ClipCaerTrainer": "training.trainer",
    "ClipCaerTrainingArguments": "training.arguments",
    "ClipCaerVideoProcessor": "processing_clipcaer",
    "FrozenParts": "models.frozen_parts",
    "load_face_adapter": "models.face_adapter_files",
    "save_face_adapter": "models.face_adapter_files",
}

__all__ = list(_MODULES)


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _register() -> None:
    """Register our classes with transformers."""
    from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification
    from transformers.models.auto.video_processing_auto import AutoVideoProcessor
    from transformers.pipelines import PIPELINE_REGISTRY

    from .configuration_clipcaer import ClipCaerConfig
    from .modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerModel
    from .processing_clipcaer import ClipCaerVideoProcessor
    from .recordings.pipeline import ClipCaerPipeline
    from .video_classification import ClipCaerVideoClassificationPipeline

    AutoConfig.register("clipcaer", ClipCaerConfig, exist_ok=True)
    AutoModel.register(ClipCaerConfig, ClipCaerModel, exist_ok=True)
    AutoModelForVideoClassification.register(ClipCaerConfig, ClipCaerForVideoClassification, exist_ok=True)
    AutoVideoProcessor.register(ClipCaerConfig, ClipCaerVideoProcessor, exist_ok=True)
    PIPELINE_REGISTRY.register_pipeline(
        "academic-emotion-recognition", pipeline_class=ClipCaerPipeline, pt_model=AutoModelForVideoClassification
    )
    # Keep: not by `register_pipeline`, by which pipelines of this task would save our code with others' models, too.
    PIPELINE_REGISTRY.supported_tasks["video-classification"]["impl"] = ClipCaerVideoClassificationPipeline
    ClipCaerConfig.register_for_auto_class("AutoConfig")
    ClipCaerModel.register_for_auto_class("AutoModel")
    ClipCaerForVideoClassification.register_for_auto_class("AutoModelForVideoClassification")
    ClipCaerVideoProcessor.register_for_auto_class("AutoVideoProcessor")


class _Registrar(MetaPathFinder):
    """Registers at the end of the import that loads transformers: its own, or that of a module of ours.

    Keep: not on the import of this package, for which every `--help` would wait seconds. Not in the middle of an
    import of ours either: the classes are then not there yet.
    """

    def __init__(self):
        self.depth = 0

    def find_spec(self, name, path=None, target=None):
        if name != "transformers" and not name.startswith(f"{__name__}."):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self._counted(spec.loader.exec_module)  # type: ignore[method-assign]
        return spec

    def _counted(self, exec_module):
        def run(module):
            self.depth += 1
            try:
                exec_module(module)
            finally:
                self.depth -= 1
            if self.depth == 0 and "transformers" in sys.modules and self in sys.meta_path:
                sys.meta_path.remove(self)
                _register()

        return run


if "transformers" in sys.modules:
    _register()
else:
    sys.meta_path.insert(0, _Registrar())
