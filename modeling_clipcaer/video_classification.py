"""The builtin `video-classification` pipeline, with batches; a checkpoint's config names it."""

from collections.abc import Sized

import torch
from torch.utils.data import DataLoader
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator
from transformers.pipelines.video_classification import VideoClassificationPipeline
from transformers.utils import ModelOutput


def name_pipelines() -> dict:
    """`custom_pipelines` of a configuration: which class of which file `pipeline` takes for which task."""
    name = f"{__name__.rpartition('.')[2]}.{ClipCaerVideoClassificationPipeline.__name__}"
    return {"video-classification": {"impl": name, "pt": ["AutoModelForVideoClassification"]}}


class ClipCaerVideoClassificationPipeline(VideoClassificationPipeline):
    """
    As [`VideoClassificationPipeline`], and in batches too: `pipe(clips, batch_size=8)`.

    Other models than ClipCaer's are answered as by the builtin pipeline.
    """

    def get_iterator(self, inputs, num_workers, batch_size, *params):
        """Iterates over the answers to many clips."""
        if self.model.config.model_type != "clipcaer":
            return super().get_iterator(inputs, num_workers, batch_size, *params)
        return iterate_clips(self, inputs, num_workers, batch_size, *params)

    def _forward(self, model_inputs):
        outputs = super()._forward(model_inputs)
        # Keep: the logits alone. A batch of outputs is taken apart clip by clip, and the others are not all of a clip.
        return ModelOutput(logits=outputs.logits) if self.model.config.model_type == "clipcaer" else outputs


def iterate_clips(pipe, inputs, num_workers, batch_size, preprocess_params, forward_params, postprocess_params):
    """Iterates over a pipeline's answers to many clips, `batch_size` of which the model sees at a time.

    Keep: the base class's batches are padded by a tokenizer or a feature extractor, and refused without one.
    """
    if isinstance(inputs, Sized):
        clips = PipelineDataset(inputs, pipe.preprocess, preprocess_params)
    else:  # each worker would go through all of a generator
        clips, num_workers = PipelineIterator(inputs, pipe.preprocess, preprocess_params), min(num_workers, 1)
    batches = DataLoader(clips, batch_size=batch_size, num_workers=num_workers, collate_fn=_join)
    outputs = PipelineIterator(batches, pipe.forward, forward_params, loader_batch_size=batch_size)
    return PipelineIterator(outputs, pipe.postprocess, postprocess_params)


def _join(clips):
    """Pixels of one clip each (1, num_frames, 3, height, width) to those of a batch."""
    return {name: torch.cat([clip[name] for clip in clips]) for name in clips[0]}
