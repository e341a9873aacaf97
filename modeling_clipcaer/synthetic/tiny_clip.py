"""A tiny CLIP, trained on drawings of students and captions of single frames."""

import json
import os
import platform
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTokenizer,
    get_cosine_schedule_with_warmup,
)

from modeling_clipcaer.common.files import complete_folder
from modeling_clipcaer.common.terminal import tell
from modeling_clipcaer.names import public_name
from modeling_clipcaer.pixels import crop_box, crop_face, letterbox, resize_to_square
from modeling_clipcaer.processing_clipcaer import CLIP_MEAN, CLIP_STD
from modeling_clipcaer.synthetic.drawing import Stage, draw_moment
from modeling_clipcaer.synthetic.words import describe_context, describe_face, join_context_caption, join_face_caption
from modeling_clipcaer.synthetic.world import CONTEXT_STORIES, FACE_STORIES, make_person, plan_clip


IMAGE_SIZE = 64
FACE_MARGIN = 4
CONTEXT_LENGTH = 40
PROJECTION_DIM = 128
SEED_STREAM = 77  # drawn data sets use streams 0 and 1 of their seed
FRAMES_PER_CLIP = 3
VIEWS = ("face", "context")
JOIN_CAPTION = {"face": join_face_caption, "context": join_context_caption}

CARD = """# A tiny CLIP of drawings

A `transformers.CLIPModel` of {parameters:,} parameters for 64 px images, trained from nothing on computer-drawn
students and captions of what a single drawing shows. It has seen no photograph, no person and no label. It is **not**
a pretrained CLIP and knows nothing outside these drawings. It exists so that tests and the demo take the true path (a
frozen tower, prompts that mean something) offline and in minutes. Licence: that of this project.

Made by

```
{command}
```

in {minutes:.1f} minutes ({machine}, CPU cores: {cores}, torch {torch} on {threads} of them) from {num_frames:,} drawn
frames. Another machine or number of threads changes the weights slightly.

On drawings of persons and scenes not used in training, percent of images whose own text is the nearest of all texts
of that kind:

| text | % |
|---|---:|
{rows}

Pixels are those of `ClipCaerVideoProcessor(image_size=64, face_margin=4, context="body")`, with CLIP's mean and std.
"""


def pretrain(
    output: Path,
    words_given: Sequence[str],
    *,
    seed: int,
    steps: int,
    num_clips: int,
    batch_size: int,
    learning_rate: float,
    num_workers: int,
) -> None:
    """From drawings to the folder of a trained CLIP."""
    start = time.time()
    held_out = num_clips // 20 + 1
    pixels, words = draw_examples(seed, num_clips + held_out, num_workers)
    tell(f"drew {len(words['face'])} frames in {time.time() - start:.0f} s")
    torch.manual_seed(seed)
    tokenizer = train_tokenizer([caption for view in VIEWS for caption in sorted(set(join_all(words, view)))])
    model = build_model(tokenizer)
    split = num_clips * FRAMES_PER_CLIP
    train(model, tokenizer, *select(pixels, words, 0, split), seed, steps, batch_size, learning_rate)
    figures = measure(model, tokenizer, *select(pixels, words, split, None))
    card = write_card(model, figures, split, time.time() - start, words_given)
    save(model, tokenizer, card, output)
    tell(card)


def draw_examples(
    seed: int, num_clips: int, num_workers: int
) -> tuple[dict[str, torch.Tensor], dict[str, list[dict]]]:
    """Pixels (num_frames, 3, size, size) and words by attribute, of each view."""
    with ProcessPoolExecutor(num_workers) as pool:
        clips = list(pool.map(draw_clip, [seed] * num_clips, range(num_clips), chunksize=32))
    frames = [frame for clip in clips for frame in clip]
    pixels = {view: torch.from_numpy(np.stack([frame[f"{view}_pixels"] for frame in frames])) for view in VIEWS}
    return pixels, {view: [frame[f"{view}_words"] for frame in frames] for view in VIEWS}


def draw_clip(seed: int, index: int) -> list[dict]:
    """A few frames of one clip, any face story in any context story, cropped as the model's processor does."""
    torch.set_num_threads(1)
    rng = np.random.default_rng([seed, SEED_STREAM, index])
    person = make_person(rng)
    scene = (str(rng.choice(FACE_STORIES)), str(rng.choice(CONTEXT_STORIES)))
    setting, moments = plan_clip(rng, person, scene, num_frames=12)
    stage = Stage(person, setting)
    frames = []
    for moment in (moments[position] for position in rng.choice(len(moments), FRAMES_PER_CLIP, replace=False)):
        picture, face_box, body_box, _ = draw_moment(stage, moment, rng)
        frame = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
        face = crop_face(frame, (np.array(face_box) + rng.normal(0, 0.7, 4)).tolist(), FACE_MARGIN)
        frames.append(
            {
                "face_pixels": resize_to_square(face, IMAGE_SIZE, "bicubic")[0].numpy(),
                "context_pixels": letterbox(crop_box(frame, body_box), IMAGE_SIZE, "bicubic")[0].numpy(),
                "face_words": describe_face(moment),
                "context_words": describe_context(person, setting, moment),
            }
        )
    return frames


def select(pixels: dict, words: dict, start: int, stop: int | None) -> tuple[dict, dict]:
    """The examples from `start` to `stop`."""
    some_pixels, some_words = ({view: data[view][start:stop] for view in VIEWS} for data in (pixels, words))
    return some_pixels, some_words


def join_all(words: dict[str, list[dict]], view: str) -> list[str]:
    """The captions of a view."""
    return [JOIN_CAPTION[view](attributes) for attributes in words[view]]


def train_tokenizer(captions: list[str]) -> CLIPTokenizer:
    """CLIP's byte-level tokenizer with merges learned on `captions`, so that each of their words is one token."""
    blank = CLIPTokenizer().backend_tokenizer
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer, learner.pre_tokenizer = blank.normalizer, blank.pre_tokenizer
    learner.train_from_iterator(
        captions, trainers.BpeTrainer(vocab_size=2048, end_of_word_suffix="</w>", show_progress=False)
    )
    merges = [tuple(merge) for merge in json.loads(learner.to_str())["model"]["merges"]]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Keep: begin and end last, as in CLIP's vocabulary; CLIP's older rule pools at the highest token id.
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge) for merge in merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=CONTEXT_LENGTH)


def build_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """A new CLIP of tiny size."""
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = CLIPConfig(
        text_config=text | special | {"vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT_LENGTH},
        vision_config=vision | {"image_size": IMAGE_SIZE, "patch_size": 16},
        projection_dim=PROJECTION_DIM,
    )
    return CLIPModel(config)


def train(
    model: CLIPModel,
    tokenizer: CLIPTokenizer,
    pixels: dict,
    words: dict,
    seed: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
) -> None:
    """Train on pairs of pictures and captions."""
    rng = np.random.default_rng([seed, SEED_STREAM])
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.05, betas=(0.9, 0.98))
    scheduler = get_cosine_schedule_with_warmup(optimizer, steps // 20, steps)
    model.train()
    start = time.time()
    for step in range(steps):
        chosen = rng.choice(len(words["face"]), batch_size)
        captions = [
            caption for view in VIEWS for caption in write_captions(rng, view, [words[view][i] for i in chosen])
        ]
        loss = contrastive_loss(model, tokenizer, torch.cat([pixels[view][chosen] for view in VIEWS]), captions)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        # Keep: CLIP's bound; without it the scale runs away once a batch is solved.
        model.logit_scale.data.clamp_(max=np.log(100))
        if step % 50 == 0 or step == steps - 1:
            tell(f"step {step} loss {loss.item():.3f} ({time.time() - start:.0f} s)")


def write_captions(rng: np.random.Generator, view: str, words: list[dict]) -> list[str]:
    """Captions of a batch. Half of the batches leave attributes out, alike in all, so that phrases are learned too."""
    attributes = list(words[0])
    if rng.random() < 0.5:
        keep = rng.choice(len(attributes), rng.integers(1, len(attributes) + 1), replace=False)
        attributes = [attributes[index] for index in sorted(keep)]
    return [JOIN_CAPTION[view]({name: frame[name] for name in attributes}) for frame in words]


def contrastive_loss(
    model: CLIPModel, tokenizer: CLIPTokenizer, pixels: torch.Tensor, captions: list[str]
) -> torch.Tensor:
    """CLIP's symmetric loss (Radford et al., 2021); all images of one caption are its positives."""
    texts = list(dict.fromkeys(captions))
    logits = model(pixel_values=normalise(pixels), **tokenise(tokenizer, texts)).logits_per_image
    positive = torch.zeros_like(logits)
    positive[torch.arange(len(captions)), [texts.index(caption) for caption in captions]] = 1
    by_image = (positive * logits.log_softmax(dim=1)).sum(dim=1)
    by_text = (positive * logits.log_softmax(dim=0)).sum(dim=0) / positive.sum(dim=0)
    return -(by_image.mean() + by_text.mean()) / 2


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels as the model takes them, by CLIP's mean and deviation."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (pixels.float() / 255 - mean) / std


def tokenise(tokenizer: CLIPTokenizer, texts: list[str]) -> dict[str, torch.Tensor]:
    """Texts as the model takes them."""
    return dict(tokenizer(texts, padding=True, truncation=True, return_tensors="pt"))


@torch.no_grad()
def measure(model: CLIPModel, tokenizer: CLIPTokenizer, pixels: dict, words: dict) -> dict[str, float]:
    """Percent of images whose own text is the nearest: of all captions, and of the phrases of each attribute alone."""
    model.eval()
    figures = {}
    for view in VIEWS:
        images = model.get_image_features(pixel_values=normalise(pixels[view])).pooler_output

        def score(captions: list[str], images: torch.Tensor = images) -> float:
            texts = sorted(set(captions))
            features = model.get_text_features(**tokenise(tokenizer, texts)).pooler_output
            nearest = (images @ (features / features.norm(dim=-1, keepdim=True)).T).argmax(dim=1)
            hits = [texts[index] == caption for index, caption in zip(nearest.tolist(), captions, strict=True)]
            return round(100 * float(np.mean(hits)), 1)

        figures[f"{view} caption"] = score(join_all(words, view))
        for name in words[view][0]:
            figures[f"{view} {name}"] = score([JOIN_CAPTION[view]({name: frame[name]}) for frame in words[view]])
    return figures


def write_card(
    model: CLIPModel, figures: dict[str, float], num_frames: int, seconds: float, flags: Sequence[str]
) -> str:
    """The checkpoint's README.md."""
    return CARD.format(
        parameters=model.num_parameters(),
        command=" ".join(["clipcaer pretrain-tiny-clip", *map(tell_word, flags)]),
        minutes=seconds / 60,
        machine=platform.machine(),
        cores=os.cpu_count(),
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        num_frames=num_frames,
        rows="\n".join(f"| {name} | {value:.1f} |" for name, value in figures.items()),
    )


def tell_word(word: str) -> str:
    """A word of the command line, without this machine's folders."""
    flag, equals, value = word.rpartition("=")
    return flag + equals + (public_name(value) if os.sep in value else value)


def save(model: CLIPModel, tokenizer: CLIPTokenizer, card: str, output_dir: Path) -> None:
    """Write the checkpoint as those on the Hub are."""
    size = {"shortest_edge": IMAGE_SIZE}, {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    with complete_folder(output_dir) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        CLIPImageProcessorPil(size=size[0], crop_size=size[1]).save_pretrained(folder)
        (folder / "README.md").write_text(card, encoding="utf-8")
