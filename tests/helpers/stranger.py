"""Uses checkpoint folders as a person who does not have this project: run as a process of its own.

python -I stranger.py CLIP FOLDER... --output_dir OUT    writes into OUT, for each folder, answers and re-saved copies
"""

import json
import sys
from pathlib import Path


OURS = {"modeling_clipcaer", "recipes", "data_scripts", "tests"}


class Absent:
    """Finds none of the project's modules, wherever it is installed."""

    def find_spec(self, name, path=None, target=None):
        """Called for every import."""
        if name.split(".")[0] in OURS:
            raise ModuleNotFoundError(f"{name} was asked for")


def answer(clip: str, folder: str) -> dict:
    """Whatever a folder gives through the Auto classes and the builtin pipeline."""
    trusted = {"trust_remote_code": True}
    config = AutoConfig.from_pretrained(folder, **trusted)
    model = AutoModelForVideoClassification.from_pretrained(folder, **trusted).eval()
    body = AutoModel.from_pretrained(folder, **trusted).eval()
    processor = AutoVideoProcessor.from_pretrained(folder, **trusted)
    assert type(AutoProcessor.from_pretrained(folder, **trusted)) is type(processor)
    pipe = pipeline("video-classification", model=folder, **trusted)
    pixels = processor(clip)
    with torch.no_grad():
        logits, embeds = model(**pixels).logits, body(**pixels).video_embeds
    return {
        "objects": {"config": config, "model": model, "body": body, "processor": processor, "pipe": pipe},
        "logits": logits[0].tolist(),
        "video_embeds": embeds[0].tolist(),
        # More clips than labels at a time: what the model gives of the labels is not taken apart with the clips.
        "batched": pipe([clip] * (config.num_labels + 2), batch_size=config.num_labels + 1, top_k=1),
        "scores": {entry["label"]: entry["score"] for entry in pipe(clip, top_k=config.num_labels)},
    }


def save_again(objects: dict, copy: Path) -> None:
    """The folders that this process makes of one that it has loaded."""
    objects["model"].save_pretrained(copy / "model")
    objects["processor"].save_pretrained(copy / "model")
    objects["pipe"].save_pretrained(copy / "pipeline")
    objects["pipe"].video_processor.save_pretrained(copy / "pipeline")


def main() -> None:
    clip, *folders, _, output_dir = sys.argv[1:]
    for number, folder in enumerate(folders):
        found = answer(clip, folder)
        objects = found.pop("objects")
        save_again(objects, Path(output_dir, str(number)))
        found["modules"] = sorted({type(thing).__module__.split(".")[0] for thing in objects.values()})
        Path(output_dir, f"{number}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    sys.meta_path.insert(0, Absent())
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForVideoClassification, AutoProcessor, pipeline
    from transformers.models.auto.video_processing_auto import AutoVideoProcessor

    main()
