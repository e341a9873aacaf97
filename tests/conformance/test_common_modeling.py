"""Transformers' own common tests on our models: `pip install -e ".[conformance]" && pytest -m conformance`.

Needs the package index once, for the source distribution of the installed transformers. A test below with a name of
the suite replaces the suite's and says why; what the suite itself skips are features that no model of this kind has.
"""

import copy
import itertools
import tempfile
import unittest
from unittest import mock

import pytest
import torch
from torch import nn
from transformers.models.auto import modeling_auto

from modeling_clipcaer import ClipCaerConfig, ClipCaerForVideoClassification, ClipCaerModel

from .suite import load


common = load("test_modeling_common")
ConfigTester = load("test_configuration_common").ConfigTester
TrainingTesterMixin = load("test_training_mixin").TrainingTesterMixin

# What is ours is that the model is one graph; without an accelerator its compilation to machine code takes minutes.
BACKEND = "aot_eager" if common.torch_device == "cpu" else "inductor"

pytestmark = pytest.mark.conformance


class ClipCaerModelTester:
    """Tiny sizes, and inputs to match. Both views classify, so that every part is trained."""

    is_training = True
    batch_size, num_frames, image_size, patch_size = 3, 2, 16, 8
    hidden_size, num_hidden_layers, num_attention_heads, projection_dim = 32, 2, 4, 24
    seq_length = (image_size // patch_size) ** 2 + 1
    num_hidden_states_types = 3  # the vision tower's and those of two temporal encoders

    def __init__(self, parent):
        self.parent = parent

    def get_config(self) -> ClipCaerConfig:
        tower = {
            "hidden_size": self.hidden_size,
            "intermediate_size": 37,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
        }
        text = {"vocab_size": 99, "max_position_embeddings": 32, "bos_token_id": 97, "eos_token_id": 98}
        vision = {"image_size": self.image_size, "patch_size": self.patch_size}
        return ClipCaerConfig(
            clip_config={
                "projection_dim": self.projection_dim,
                "text_config": tower | text,
                "vision_config": tower | vision,
            },
            num_frames=self.num_frames,
            temporal_heads=2,
            temporal_head_dim=8,
            temporal_mlp_dim=32,
            num_context_tokens=3,
            prototype_source="mean",
        )

    def prepare_config_and_inputs_for_common(self):
        shape = [self.batch_size, self.num_frames, 3, self.image_size, self.image_size]
        streams = ("pixel_values", "face_pixel_values")
        return self.get_config(), {name: common.floats_tensor(shape) for name in streams}


def set_existing_eps(config):
    """The suite's helper against flakiness, for a configuration that refuses names it does not know."""
    for tower in (config.clip_config.text_config, config.clip_config.vision_config):
        tower.layer_norm_eps = 1.0


class ClipCaerModelTest(common.ModelTesterMixin, TrainingTesterMixin, unittest.TestCase):
    model_tester = None  # Keep: the training mixin declares it abstract.
    all_model_classes = (ClipCaerModel, ClipCaerForVideoClassification)
    additional_model_inputs = ("face_pixel_values",)
    # CLIP's `logit_scale` is never used, our `temperature` stands in for it; tests/test_modeling.py checks the rest.
    test_all_params_have_gradient = False
    test_resize_embeddings = False  # No vocabulary of ours, as in CLIP, X-CLIP and V-JEPA 2.
    _is_composite = True

    def setUp(self):
        self.model_tester = ClipCaerModelTester(self)
        self.config_tester = ConfigTester(self, config_class=ClipCaerConfig, has_text_modality=False, num_frames=8)
        self._patch(mock.patch.object(common, "set_config_for_less_flaky_test", set_existing_eps))
        # The library's tables of names tell the suite which class is the base and which takes labels.
        for table, model_class in (
            (modeling_auto.MODEL_MAPPING_NAMES, ClipCaerModel),
            (modeling_auto.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES, ClipCaerForVideoClassification),
        ):
            self._patch(mock.patch.dict(table, {"clipcaer": model_class.__name__}))

    def _patch(self, patch):
        patch.start()
        self.addCleanup(patch.stop)

    def test_config(self):
        self.config_tester.run_common_tests()

    def test_model_get_set_embeddings(self):
        """As for the library's vision models: frames are embedded by a convolution, not a table of tokens."""
        for model_class in self.all_model_classes:
            model, embeddings = model_class(self.model_tester.get_config()), nn.Conv2d(3, 32, 8, 8, bias=False)
            self.assertIsInstance(model.get_input_embeddings(), nn.Conv2d)
            model.set_input_embeddings(embeddings)
            self.assertIs(model.get_input_embeddings(), embeddings)
            self.assertIsNone(model.get_output_embeddings())

    def test_can_init_all_missing_weights(self):
        """On our weights: CLIP's `_init_weights` leaves `logit_scale` out, and the suite excuses CLIP and X-CLIP."""
        for model_class in self.all_model_classes:
            config = self.model_tester.get_config()
            with common.seeded_weight_init():
                built = model_class(copy.deepcopy(config)).state_dict()
                loaded = model_class.from_pretrained(None, config=config, state_dict={}).state_dict()
            self.assertEqual(list(built), list(loaded))
            for name in built:
                if "clip." not in name:
                    torch.testing.assert_close(loaded[name], built[name], rtol=0, atol=0, msg=name)

    def test_sdpa_can_dispatch_composite_models(self):
        """The suite looks for the towers on the model itself; ours are CLIP's."""
        for model_class, attention in itertools.product(self.all_model_classes, ("sdpa", "eager")):
            model = model_class._from_config(self.model_tester.get_config(), attn_implementation=attention)
            for tower in (model.base_model.clip.vision_model, model.base_model.clip.text_model):
                self.assertEqual(tower.config._attn_implementation, attention)
                self.assertEqual(tower.encoder.layers[0].self_attn.config._attn_implementation, attention)

    def test_sdpa_can_compile_dynamic(self):
        """The suite compiles on accelerators alone. One graph, for every batch size."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class in self.all_model_classes:
            torch.compiler.reset()
            model = model_class(config).to(common.torch_device).eval()
            compiled = torch.compile(model, backend=BACKEND, dynamic=True, fullgraph=True)
            for batch_size in (3, 2):
                batch = {name: pixels[:batch_size] for name, pixels in inputs.items()}
                with torch.no_grad():
                    torch.testing.assert_close(compiled(**batch)[0], model(**batch)[0], rtol=1e-4, atol=1e-4)

    def test_torch_compile_for_training(self):
        """The suite's batch is text. The gradients of one compiled graph are those of the model as it is."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        config.temporal_dropout = 0.0
        inputs["labels"] = torch.arange(self.model_tester.batch_size, device=common.torch_device)
        torch.compiler.reset()
        model = ClipCaerForVideoClassification(config).to(common.torch_device).train()
        gradients = []
        for forward in (model, torch.compile(model, backend=BACKEND, fullgraph=True)):
            model.zero_grad()
            forward(**inputs).loss.backward()
            gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-4)

    def test_disk_offload_safetensors(self):
        """The suite divides a model between accelerator and disk; without one, we do between memory and disk."""
        if common.torch_device != "cpu":
            super().test_disk_offload_safetensors()
            return
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        for model_class, share in itertools.product(self.all_model_classes, self.model_split_percents):
            model = model_class(config).eval()
            size = sum(parameter.numel() * 4 for parameter in model.parameters())
            with tempfile.TemporaryDirectory() as folder, torch.no_grad():
                model.save_pretrained(folder)
                divided = model_class.from_pretrained(
                    folder, device_map="auto", max_memory={"cpu": int(share * size)}, offload_folder=folder
                )
                self.assertEqual(set(divided.hf_device_map.values()), {"cpu", "disk"})
                torch.testing.assert_close(divided(**inputs)[0], model(**inputs)[0], rtol=1e-5, atol=1e-5)

    def test_can_load_ignoring_mismatched_shapes(self):
        """The suite looks for a linear classifier; here the labels are the prompts and their embeddings."""
        config = self.model_tester.get_config()
        config.num_labels = 3
        model = ClipCaerForVideoClassification(config)
        per_label = {"model.prompt_learner.context_tokens", "model.descriptive_prompts.text_embeds"}
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            with self.assertRaises(RuntimeError):
                ClipCaerForVideoClassification.from_pretrained(folder, num_labels=20)
            loaded = ClipCaerForVideoClassification.from_pretrained(
                folder, num_labels=20, ignore_mismatched_sizes=True
            )
        for name, old in model.state_dict().items():
            new = loaded.state_dict()[name]
            if name in per_label:
                self.assertEqual((len(old), len(new)), (3, 20))
                self.assertLess(new.abs().max(), 2)
            else:
                torch.testing.assert_close(new, old, rtol=0, atol=0)

    def test_training_overfit(self):
        """The mixin knows how to make a batch of text alone; the batch is ours, the training and the bounds its."""
        _, batch = self.model_tester.prepare_config_and_inputs_for_common()
        batch["labels"] = torch.arange(self.model_tester.batch_size)
        with (
            mock.patch.object(self, "_get_model_modality", lambda: "text"),
            mock.patch.object(self, "_create_text_training_batch", lambda **sizes: batch),
            mock.patch.object(self, "_get_trainable_model_class", lambda: ClipCaerForVideoClassification),
            mock.patch.object(ClipCaerConfig, "vocab_size", 0, create=True),
        ):
            super().test_training_overfit()
