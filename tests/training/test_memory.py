"""A training step with a frozen ViT-B/32 fits into the memory of a small machine."""

import os
import subprocess
import sys

import pytest

from helpers.places import ROOT


LIMIT_GB = 3.0
STEP = """
import resource

import torch

from modeling_clipcaer import ClipCaerConfig
from modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer import ClipCaerTrainingArguments
from modeling_clipcaer.losses.functions import dc_loss, mi_loss
from modeling_clipcaer.training.parameter_groups import freeze_parameters, group_learning_rates

model = ClipCaerForVideoClassification(ClipCaerConfig()).train()
freeze_parameters(model, group_learning_rates(ClipCaerTrainingArguments("unused")))
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(trained)
pixels = {name: torch.randn(8, 16, 3, 224, 224) for name in ("pixel_values", "face_pixel_values")}
outputs = model(**pixels, labels=torch.arange(8) % 5)
soft, descriptive = outputs.soft_text_embeds, outputs.descriptive_text_embeds
(outputs.loss + mi_loss(soft, descriptive) + dc_loss(soft)).backward()
optimizer.step()
assert all(parameter.grad is not None for parameter in trained)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_step_of_8_clips_of_16_frames_stays_under_3_gb():
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    result = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    gigabytes = int(result.stdout) * 1024 / 1e9  # Linux counts in KiB
    print(f"peak resident memory of a step: {gigabytes:.2f} GB")
    assert gigabytes < LIMIT_GB
