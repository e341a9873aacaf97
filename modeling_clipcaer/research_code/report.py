"""What is told of a conversion: a table of every tensor, the settings, the model card."""

import re
from collections import Counter

from modeling_clipcaer.common.markdown_text import markdown_code, markdown_text
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.configuration_clipcaer import ClipCaerConfig
from modeling_clipcaer.research_code.checkpoint import OriginalCheckpoint
from modeling_clipcaer.research_code.keys import DESCRIPTIVE_ROWS, TOKEN_PREFIX, TOKEN_SUFFIX
from modeling_clipcaer.research_code.model import find_places


LICENCE_NOTICE = (
    "These weights were not made by this project. They carry the terms of the checkpoint they were converted from and "
    "of the data it was trained on. RAER and the weights released for it are for non-commercial research only and may "
    "not be redistributed: do not upload or share this folder."
)

CARD = """---
library_name: transformers
pipeline_tag: video-classification
license: other
license_name: non-commercial-research-no-redistribution
tags:
- clipcaer
- emotion-recognition
- learning-analytics
---

# ClipCaer: {labels}

Converted from {name} (SHA-256 `{digest}`), a checkpoint of the public research code of CLIP-CAER. Its configuration
and its processor's settings select that code's behaviour where ClipCaer's own defaults differ.

## Licence

{licence}

## Flags of the research code for this model

```
{settings}
```

## Intended and prohibited use

{responsible_use}
"""


def render_converted_card(config: ClipCaerConfig, name: str, digest: str) -> str:
    """README.md of a converted checkpoint."""
    return CARD.format(
        labels=", ".join(map(markdown_text, config.id2label.values())),
        name=markdown_code(name),
        digest=digest,
        licence=LICENCE_NOTICE,
        settings=render_flags(config),
        responsible_use=RESPONSIBLE_USE,
    )


def render_table(checkpoint: OriginalCheckpoint) -> str:
    """Where everything in the file went, a line for each kind of tensor, with how many there are of it."""
    counts: Counter[str] = Counter()
    places: dict[str, str] = {}
    for key, place in find_places(checkpoint.state).items():
        kind = _any_layer(key)
        counts[kind] += 1
        name = _any_layer(place.names[0])
        places[kind] = name if len(place.names) == 1 else name.replace("q_proj", "{q,k,v}_proj")
    for key in (TOKEN_PREFIX, TOKEN_SUFFIX):
        counts[key], places[key] = 1, "label_token_ids in config.json, by look-up in the token embedding"
    if DESCRIPTIVE_ROWS in checkpoint.state:
        counts[DESCRIPTIVE_ROWS] = 1
        places[DESCRIPTIVE_ROWS] = "descriptive_token_ids in config.json, model.descriptive_prompts.text_embeds"
    for name in checkpoint.second_names:
        kind = f"{name.removeprefix('module.').split('.')[0]}.*"
        counts[kind] += 1
        places[kind] = "second names of clip_model_.* tensors, found equal"
    for name, type_name in checkpoint.others.items():
        counts[name], places[name] = 1, f"left out: training state beside the weights ({type_name})"
    width = max(map(len, counts))
    return "\n".join(f"{kind:<{width}} {counts[kind]:>4}  {places[kind]}" for kind in places)


def _any_layer(name: str) -> str:
    return re.sub(r"(resblocks|layers)\.\d+\.", r"\1.*.", name)


def render_flags(config: ClipCaerConfig) -> str:
    """Flags with which the research code builds the same model; the last three leave no trace in its tensors."""
    flags = {
        "--contexts-number": config.num_context_tokens,
        "--class-specific-contexts": config.class_specific_context,
        "--temporal-layers": config.temporal_layers,
        "--num-segments": config.num_frames,
        "--class-token-position": config.class_token_position,
        "--slerp-weight": config.slerp_weight,
        "--temperature": config.temperature,
    }
    return " ".join(f"{flag} {value}" for flag, value in flags.items())
