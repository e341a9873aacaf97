"""A ClipCaer of a few thousand weights."""

import torch

from modeling_clipcaer import ClipCaerConfig, ClipCaerForVideoClassification


BOS, EOS = 97, 98
CLIP = {
    "projection_dim": 24,
    "text_config": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 99,
        "max_position_embeddings": 32,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    },
    "vision_config": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    },
}
TOKEN_IDS = [[[BOS, 5, EOS]], [[BOS, 6, 7, EOS]], [[BOS, 8, EOS]], [[BOS, 9, 10, 11, EOS]], [[BOS, 12, EOS]]]


def tiny_config(**fields) -> ClipCaerConfig:
    """A tiny configuration; `fields` override it."""
    defaults = {
        "clip_config": CLIP,
        "num_frames": 4,
        "temporal_heads": 2,
        "temporal_head_dim": 8,
        "temporal_mlp_dim": 32,
        "num_context_tokens": 3,
        "label_token_ids": TOKEN_IDS,
    }
    return ClipCaerConfig(**{**defaults, **fields})


def tiny_model(**fields) -> ClipCaerForVideoClassification:
    """A tiny model in evaluation mode."""
    return ClipCaerForVideoClassification(tiny_config(**fields)).eval()


def tiny_pixels(batch_size: int = 2, num_frames: int = 4) -> dict[str, torch.Tensor]:
    """Random pixels of both streams."""
    shape = (batch_size, num_frames, 3, 32, 32)
    return {"pixel_values": torch.randn(shape), "face_pixel_values": torch.randn(shape)}


def lively_model(**fields) -> ClipCaerForVideoClassification:
    """A tiny model, the same one every time, whose tower looks at some patches more than at others."""
    torch.manual_seed(0)
    model = tiny_model(**fields)
    with torch.no_grad():
        for weight in model.model.clip.vision_model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model
