"""Transformers' common tests of video processors on ours: `pytest -m conformance`.

Those of processors (`test_processing_common`) are of pairs with a tokenizer; a checkpoint of ours needs none.
"""

import tempfile
import unittest

import pytest
from transformers.models.auto.video_processing_auto import AutoVideoProcessor

from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.processing_clipcaer import ClipCaerVideosKwargs

from .suite import load


common = load("test_video_processing_common")

pytestmark = pytest.mark.conformance


class ClipCaerVideoProcessorTester:
    """Small clips of random frames."""

    batch_size, num_frames, num_channels, image_size = 3, 4, 3, 16

    def prepare_video_inputs(self, equal_resolution=False, return_tensors="pil"):
        return common.prepare_video_inputs(
            self.batch_size, self.num_frames, self.num_channels, 12, 40, equal_resolution, return_tensors
        )

    def expected_output_video_shape(self, videos):
        return self.num_frames, 3, self.image_size, self.image_size


class ClipCaerVideoProcessorTest(common.VideoProcessingTestMixin, unittest.TestCase):
    fast_video_processing_class = ClipCaerVideoProcessor
    input_name = "pixel_values"
    test_cast_dtype = True

    def setUp(self):
        super().setUp()
        self.video_processor_tester = ClipCaerVideoProcessorTester()
        self.video_processor_dict = {"num_frames": 4, "image_size": 16, "image_mean": [0.5, 0.5, 0.5]}

    def test_video_processor_from_dict_with_kwargs(self):
        """The suite's settings are a size and a crop; ours are one size."""
        processor = ClipCaerVideoProcessor.from_dict(self.video_processor_dict)
        self.assertEqual(processor.image_size, 16)
        processor = ClipCaerVideoProcessor.from_dict(self.video_processor_dict, image_size=42)
        self.assertEqual(processor.image_size, 42)

    def test_video_processor_save_load_with_autovideoprocessor(self):
        """The suite imports the auto class from the top, where it hides from those who have no torchvision."""
        processor = ClipCaerVideoProcessor(**self.video_processor_dict)
        with tempfile.TemporaryDirectory() as folder:
            processor.save_pretrained(folder)
            self.assertEqual(AutoVideoProcessor.from_pretrained(folder).to_dict(), processor.to_dict())

    def test_call_sample_frames(self):
        """Sampling is an argument of the call and fits any length: a short clip repeats its frames."""
        self.video_processor_tester.num_frames = 8
        processor = ClipCaerVideoProcessor(**self.video_processor_dict)
        videos = self.video_processor_tester.prepare_video_inputs(return_tensors="torch")
        for clips in (videos[0], videos):
            self.assertEqual(processor(clips, do_sample_frames=False).pixel_values.shape[1], 8)
            for num_frames in (3, 10):
                self.assertEqual(processor(clips, num_frames=num_frames).pixel_values.shape[1], num_frames)

    def test_valid_kwargs_set(self):
        """The suite goes by the name of the class, `ClipCaerVideoProcessorKwargs`."""
        self.assertIs(ClipCaerVideoProcessor.valid_kwargs, ClipCaerVideosKwargs)

    @unittest.skip(reason="Frames are RGB: CLIP has three channels, and any other number is refused.")
    def test_call_numpy_4_channels(self):
        pass

    @unittest.skip(reason="No setting is None: a switch is true or false.")
    def test_video_processor_explicit_none_preserved(self):
        pass
