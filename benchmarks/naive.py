"""The naive path: the method as one would write it first, in plain PyTorch, Pillow and transformers, all in fp32.

Each stream decodes every frame itself and is encoded in a call of its own; both views of the text are encoded in every
step, at all positions of the text tower; nothing is kept and nothing is shared. It computes what the package computes,
with the weights of a model of ours.
"""

import math
import random
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image, ImageOps
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset


MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
FACE_MARGIN, ROTATION_DEGREES = 20, 4


class NaiveClips(Dataset):
    """Rows of a dataset of clips to float pixels of both streams."""

    def __init__(self, rows, num_frames: int, image_size: int, train: bool):
        self.rows, self.num_frames, self.image_size, self.train = rows, num_frames, image_size, train

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        row = self.rows[index]
        places = self.choose_frames(self.count_frames(row))
        flip, degrees = (random.random() < 0.5, random.uniform(-1, 1) * ROTATION_DEGREES) if self.train else (False, 0)
        context = [self.fit_context(frame, row["body_boxes"][0]) for frame in self.read_frames(row, places)]
        faces = [row["face_boxes"][place] for place in places]
        face = [self.fit_face(frame, box) for frame, box in zip(self.read_frames(row, places), faces, strict=True)]
        streams = {"pixel_values": context, "face_pixel_values": face}
        pixels = {
            name: torch.stack([to_pixels(augment(frame, flip, degrees)) for frame in frames])
            for name, frames in streams.items()
        }
        return {**pixels, "labels": row["label"]}

    def choose_frames(self, total: int) -> list[int]:
        """A random frame of each of `num_frames` segments in training, else its middle one."""
        shares = [random.random() if self.train else 0.5 for _ in range(self.num_frames)]
        return [min(int((place + share) * total / self.num_frames), total - 1) for place, share in enumerate(shares)]

    def count_frames(self, row: dict) -> int:
        """Frames of the whole clip."""
        return len(row["frame_names"])

    def read_frames(self, row: dict, places: list[int]) -> list[Image.Image]:
        """The frames at `places`."""
        return [Image.open(Path(row["frame_dir"], row["frame_names"][place])).convert("RGB") for place in places]

    def fit_context(self, frame: Image.Image, box: list[float]) -> Image.Image:
        """The body on a black square."""
        crop = frame.crop([int(side) for side in box])
        scale = self.image_size / max(crop.size)
        size = [round(side * scale) for side in crop.size]
        square = Image.new("RGB", (self.image_size, self.image_size))
        square.paste(crop.resize(size, Image.BICUBIC), [(self.image_size - side) // 2 for side in size])
        return square

    def fit_face(self, frame: Image.Image, box: list[float]) -> Image.Image:
        """The face with some margin, squeezed to a square."""
        left, top, right, bottom = box
        grown = (left - FACE_MARGIN, top - FACE_MARGIN, right + FACE_MARGIN, bottom + FACE_MARGIN)
        limits = (0, 0, *frame.size)
        left, top = (max(int(side), limit) for side, limit in zip(grown[:2], limits[:2], strict=True))
        right, bottom = (min(int(side), limit) for side, limit in zip(grown[2:], limits[2:], strict=True))
        return frame.crop((left, top, right, bottom)).resize((self.image_size, self.image_size), Image.BICUBIC)


class NaiveVideos(NaiveClips):
    """The same from video files: all of a video is decoded for each stream."""

    def count_frames(self, row: dict) -> int:
        """Frames that the container states."""
        with av.open(row["video"]) as container:
            return container.streams.video[0].frames

    def read_frames(self, row: dict, places: list[int]) -> list[Image.Image]:
        """The frames at `places`."""
        with av.open(row["video"]) as container:
            frames = [frame.to_image() for frame in container.decode(video=0)]
        return [frames[place] for place in places]


def augment(frame: Image.Image, flip: bool, degrees: float) -> Image.Image:
    """Mirror and turn a square."""
    frame = ImageOps.mirror(frame) if flip else frame
    return frame.rotate(degrees, Image.BILINEAR) if degrees else frame


def to_pixels(frame: Image.Image) -> torch.Tensor:
    """(3, height, width), normalised."""
    pixels = (np.asarray(frame, dtype=np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(pixels).permute(2, 0, 1)


class NaiveClipCaer(nn.Module):
    """Classifies as `model` does, a `ClipCaerForVideoClassification` of both streams with one sentence a label and
    view, whose descriptive view classifies."""

    def __init__(self, model):
        super().__init__()
        self.config, self.parts, self.clip = model.config, model.model, model.model.clip

    def forward(self, pixel_values: torch.Tensor, face_pixel_values: torch.Tensor):
        """Logits (batch_size, num_labels), and both views of the text, (num_labels, projection_dim) each."""
        return self.answer(self.encode_frames(pixel_values), self.encode_frames(face_pixel_values))

    def answer(self, context_frames: torch.Tensor, face_frames: torch.Tensor):
        """The same from frame embeddings (batch_size, num_frames, projection_dim)."""
        context = self.parts.context_temporal_encoder(context_frames).pooler_output
        face = self.parts.face_temporal_encoder(self.parts.face_adapter(face_frames)).pooler_output
        video = F.normalize(self.parts.fusion(torch.cat([face, context], dim=-1)), dim=-1)
        soft, descriptive = self.encode_soft_prompts(), self.encode_descriptive_prompts()
        return self.classify(video, descriptive), soft, descriptive

    def encode_frames(self, pixels: torch.Tensor) -> torch.Tensor:
        """(batch_size, num_frames, projection_dim)."""
        return self.clip.get_image_features(pixels.flatten(0, 1)).pooler_output.unflatten(0, pixels.shape[:2])

    def encode_soft_prompts(self) -> torch.Tensor:
        """Context tokens between begin token and text, through all positions of the text tower."""
        tower, context = self.clip.text_model, self.parts.prompt_learner.context_tokens
        ids, ends = self.pad_prompts([sentences[0] for sentences in self.config.label_token_ids])
        tokens = tower.embeddings.token_embedding(ids)
        text = tokens[:, 1 : tokens.shape[1] - context.shape[1]]
        prompts = torch.cat([tokens[:, :1], context, text], dim=1)
        future = torch.full((ids.shape[1], ids.shape[1]), -math.inf, device=ids.device).triu(1)
        hidden = tower.encoder(tower.embeddings(inputs_embeds=prompts), attention_mask=future[None, None])
        last = tower.final_layer_norm(hidden.last_hidden_state)
        ends = ends + context.shape[1]
        return F.normalize(self.clip.text_projection(last[torch.arange(len(last)), ends]), dim=-1)

    def encode_descriptive_prompts(self) -> torch.Tensor:
        """The fixed sentences, through all positions of the text tower."""
        ids, _ = self.pad_prompts([sentences[0] for sentences in self.config.descriptive_token_ids])
        return F.normalize(self.clip.get_text_features(ids).pooler_output, dim=-1)

    def pad_prompts(self, prompts: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids (num_labels, all positions), and the places of the end tokens."""
        length = self.clip.config.text_config.max_position_embeddings
        ids = [prompt + [0] * (length - len(prompt)) for prompt in prompts]
        ends = [len(prompt) - 1 for prompt in prompts]
        return torch.tensor(ids, device=self.clip.device), torch.tensor(ends, device=self.clip.device)

    def classify(self, video: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
        """Cosines with the prototypes after a turn towards the video, over the temperature."""
        video, weight = video[:, None], self.config.slerp_weight
        angle = torch.acos((video * prototypes).sum(-1, keepdim=True).clamp(-1 + 1e-6, 1 - 1e-6))
        moved = torch.sin((1 - weight) * angle) * prototypes + torch.sin(weight * angle) * video
        return (video * moved / torch.sin(angle)).sum(-1) / self.config.temperature


def compute_loss(outputs, labels: torch.Tensor, mi_loss_weight: float = 0.5, dc_loss_weight: float = 0.1):
    """Cross-entropy, mutual information of the views, decorrelation of the soft one."""
    logits, soft, descriptive = outputs
    own_label = torch.arange(len(soft), device=soft.device)
    similarity = soft @ descriptive.T / 0.07
    mi = (F.cross_entropy(similarity, own_label) + F.cross_entropy(similarity.T, own_label)) / 2
    cosines = soft @ soft.T
    others = ~torch.eye(len(soft), dtype=torch.bool, device=soft.device)
    return F.cross_entropy(logits, labels) + mi_loss_weight * mi + dc_loss_weight * cosines[others].square().mean()


class NaiveTrainer:
    """A plain loop of training steps over `model`; the towers stay frozen, or the vision tower trains too."""

    def __init__(self, model, loader: DataLoader, train_tower: bool):
        self.model, self.loader = NaiveClipCaer(model).train(), loader
        model.model.clip.requires_grad_(False)
        model.model.clip.vision_model.requires_grad_(train_tower)
        model.model.clip.visual_projection.requires_grad_(train_tower)
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=1e-5 if train_tower else 3e-4, weight_decay=1e-4)

    def steps(self):
        """Train step by step; yields the loss of each."""
        for batch in self.loader:
            batch = {name: values.to(self.model.clip.device) for name, values in batch.items()}
            loss = compute_loss(self.model(batch["pixel_values"], batch["face_pixel_values"]), batch["labels"])
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.weights, 1.0)
            self.optimizer.step()
            yield loss.item()


@torch.no_grad()
def evaluate(model, loader: DataLoader) -> torch.Tensor:
    """Logits (num_clips, num_labels) of every clip."""
    naive, logits = NaiveClipCaer(model).eval(), []
    for batch in loader:
        pixels = (batch[name].to(naive.clip.device) for name in ("pixel_values", "face_pixel_values"))
        logits.append(naive(*pixels)[0].cpu())
    return torch.cat(logits)
