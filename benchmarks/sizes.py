"""The sizes of what is measured: a model of random weights in a real one's, and pictures drawn as photographs are.

Beside this package it needs torch, transformers, numpy and Pillow alone.
"""

import random
import re
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw

from modeling_clipcaer import ClipCaerConfig, ClipCaerForVideoClassification
from modeling_clipcaer.common.flags import option
from modeling_clipcaer.raer_labels import RAER_DESCRIPTIVE_PROMPTS, RAER_LABEL_PROMPTS


# Width, MLP, layers, heads and patch of the vision tower; width and heads of the text tower; both projections.
CLIP_SIZES = {
    "ViT-B/32": (768, 3072, 12, 12, 32, 512, 8, 512),
    "ViT-B/16": (768, 3072, 12, 12, 16, 512, 8, 512),
    "ViT-L/14": (1024, 4096, 24, 16, 14, 768, 12, 768),
}
TEXT_LAYERS = 12
BEGIN, END = 49406, 49407  # CLIP's, the last of its vocabulary


@dataclass
class SizeArguments:
    """What is measured."""

    clip: str = option("ViT-B/32", "Size of CLIP.", choices=list(CLIP_SIZES))
    layers: int = option(0, "Layers of both towers; 0: as many as CLIP has.")
    image_size: int = option(224, "Pixels of a side that the tower sees.")
    num_frames: int = option(16, "Frames that the model sees of a clip.")
    clip_frames: int = option(32, "Frames that a clip has on disk.")
    batch_size: int = option(8, "Clips a step.")
    frame_width: int = option(1280, "Width of the frames on disk; the height follows, 16 to 9.")
    device: str = option("cuda" if torch.cuda.is_available() else "cpu", "Where it runs.")


def build_model(sizes: SizeArguments) -> ClipCaerForVideoClassification:
    """The model, always with the same random weights, and with the descriptive view that they make."""
    torch.manual_seed(0)
    width, mlp, layers, heads, patch, text_width, text_heads, projection = CLIP_SIZES[sizes.clip]
    clip_config = {
        "projection_dim": projection,
        "text_config": {
            **{"hidden_size": text_width, "intermediate_size": 4 * text_width, "num_attention_heads": text_heads},
            "num_hidden_layers": sizes.layers or TEXT_LAYERS,
        },
        "vision_config": {
            **{"hidden_size": width, "intermediate_size": mlp, "num_attention_heads": heads},
            **{"num_hidden_layers": sizes.layers or layers, "image_size": sizes.image_size, "patch_size": patch},
        },
    }
    descriptive = [draw_tokens([sentences[0]]) for sentences in RAER_DESCRIPTIVE_PROMPTS]
    config = ClipCaerConfig(
        clip_config=clip_config,
        num_frames=sizes.num_frames,
        label_token_ids=[draw_tokens([prompt]) for prompt in RAER_LABEL_PROMPTS],
        descriptive_token_ids=descriptive,
    )
    model = ClipCaerForVideoClassification(config)
    model.model.encode_descriptive_prompts(descriptive)
    return model.eval()


def draw_tokens(sentences: list[str]) -> list[list[int]]:
    """Token ids drawn by each sentence, as many as it has words and punctuation marks, with begin and end."""

    def draw(sentence: str) -> list[int]:
        numbers = random.Random(sentence)
        return [numbers.randrange(1, BEGIN) for _ in re.findall(r"\w+|[^\w\s]", sentence)]

    return [[BEGIN, *draw(sentence), END] for sentence in sentences]


def frame_size(width: int) -> tuple[int, int]:
    """Width and height of a frame."""
    return width, width * 9 // 16


def draw_picture(width: int, rng: np.random.Generator) -> Image.Image:
    """A frame that compresses as a photograph does: light that changes slowly, shapes with edges, and sensor noise."""
    width, height = frame_size(width)
    light = Image.fromarray(rng.integers(40, 216, (4, 6, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    canvas = ImageDraw.Draw(light)
    for _ in range(60):
        left, top = rng.integers(0, (width, height))
        box = (left, top, left + rng.integers(8, width // 4), top + rng.integers(8, height // 4))
        (canvas.ellipse if rng.random() < 0.5 else canvas.rectangle)(box, fill=tuple(rng.integers(0, 256, 3).tolist()))
    noise = rng.normal(0, 4, (height, width, 1)) + rng.normal(0, 1, (height, width, 3))
    return Image.fromarray((np.asarray(light) + noise).clip(0, 255).astype(np.uint8))
