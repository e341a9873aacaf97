"""A Hugging Face Space: `clipcaer app`, and nothing else. README.md says which checkpoint answers."""

import os

from modeling_clipcaer.commands.main import start


PLAIN_CLIP = ("--model", "openai/clip-vit-base-patch32", "--labels", "raer_ensemble_labels")
checkpoint = os.environ.get("CLIPCAER_MODEL")
words = ["--model", checkpoint] if checkpoint else [*PLAIN_CLIP]

if __name__ == "__main__":
    # Of each recording ten minutes, so that the others need not wait for hours.
    raise SystemExit(start("app", words=[*words, "--host", "0.0.0.0", "--port", "7860", "--duration", "600"]))
