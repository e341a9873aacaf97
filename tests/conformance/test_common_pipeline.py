"""Transformers' common run of a pipeline on ours, from a saved folder: `pytest -m conformance`."""

import json
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from transformers import pipeline

from modeling_clipcaer import ClipCaerForVideoClassification, ClipCaerVideoProcessor

from .suite import load
from .test_common_modeling import ClipCaerModelTester


# The suite lists the models it knows in a file, which the source distribution lacks; this is how it takes another.
with tempfile.TemporaryDirectory() as listing, mock.patch.dict(os.environ, {"TRANSFORMERS_TINY_MODEL_PATH": listing}):
    (Path(listing) / "reports").mkdir()
    classes = {"tokenizer_classes": [], "processor_classes": []}
    known = json.dumps({"ClipCaerForVideoClassification": classes})
    (Path(listing) / "reports" / "tiny_model_summary.json").write_text(known, encoding="utf-8")
    common = load("test_pipeline_mixin")

pytestmark = pytest.mark.conformance


class ClipCaerPipelineTest(unittest.TestCase):
    """The mixin's run of the video-classification task. Its tests of other tasks would only be skipped."""

    pipeline_model_mapping = {"video-classification": ClipCaerForVideoClassification}  # noqa: RUF012
    run_task_tests = common.PipelineTesterMixin.run_task_tests
    run_model_pipeline_tests = common.PipelineTesterMixin.run_model_pipeline_tests
    is_pipeline_test_to_skip = common.PipelineTesterMixin.is_pipeline_test_to_skip
    test_pipeline_video_classification = common.PipelineTesterMixin.test_pipeline_video_classification
    test_pipeline_video_classification_fp16 = common.PipelineTesterMixin.test_pipeline_video_classification_fp16

    def run_pipeline_test(self, task, repo_name, model_architecture, dtype, **names):
        """The mixin runs no model without a tokenizer or an image processor, and a pipeline makes no batches of it."""
        config = ClipCaerModelTester(self).get_config()
        clips = [np.random.randint(255, size=(6, 20, 30, 3), dtype=np.uint8) for _ in range(10)]
        with tempfile.TemporaryDirectory() as folder:
            model_architecture(config).save_pretrained(folder)
            ClipCaerVideoProcessor(num_frames=config.num_frames, image_size=16).save_pretrained(folder)
            for name, options in ((task, {}), ("academic-emotion-recognition", {"window": None})):
                answers = list(pipeline(name, model=folder, dtype=dtype)((clip for clip in clips), **options))
                self.assertEqual(len(answers), 10)
                for answer in answers:
                    self.assertEqual({entry["label"] for entry in answer}, set(config.id2label.values()))
                    self.assertAlmostEqual(sum(entry["score"] for entry in answer), 1, places=2)
