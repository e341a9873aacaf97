"""What became of the public research code's flags that `recipes/train.py` does not have under the same name."""

from collections.abc import Sequence


# The same flag under another name: read as ours. Names are with underscores.
RENAMED_FLAGS = {
    "class_specific_contexts": "class_specific_context",
    "dc_ramp": "dc_ramp_epochs",
    "dc_warmup": "dc_warmup_epochs",
    "gamma": "lr_gamma",
    "grad_clip": "max_grad_norm",
    "lambda_dc": "dc_loss_weight",
    "lambda_mi": "mi_loss_weight",
    "mi_ramp": "mi_ramp_epochs",
    "mi_warmup": "mi_warmup_epochs",
    "milestones": "lr_milestones",
    "num_segments": "num_frames",
    "use_weighted_sampler": "weighted_sampler",
    "workers": "dataloader_num_workers",
}

# What is to be done about the others. Flags in neither table are ours too; docs/from_research_code.md has all of them.
RESEARCH_FLAGS = {
    "aug_file": "leave it out: it has no effect there",
    "crop_body": "write --context body; without it --context frame",
    "cut_body": "leave it out: it has no effect there; the original code always crops: --context body",
    "data_aug": "leave it out: it has no effect there; see --flip-prob and --rotation-degrees",
    "duration": "leave it out: a segment gives one frame",
    "eval_checkpoint": "use recipes/convert_original_checkpoint.py, then recipes/evaluate.py --model",
    "gpu": "leave it out: accelerate launch and CUDA_VISIBLE_DEVICES choose the device",
    "image_size": "leave it out: it is that of the CLIP model",
    "input_type": "leave it out: it has no effect there; see --streams",
    "label_smoothing": (
        "write --label-smoothing-factor, and for the same targets "
        "--label-smoothing-distribution 0.06526781 0.817977729 1.035884371 0.388144355 0.19551041668"
    ),
    "load_and_tune_prompt_learner": "leave it out: it has no effect there; --lr-prompt-learner 0 freezes the prompts",
    "mode": "use recipes/train.py to train and recipes/evaluate.py to evaluate",
    "momentum": "write --optim-args momentum=0.9, beside --optim sgd",
    "optimizer": "write --optim sgd, or --optim adamw_torch",
    "print_freq": "write --logging-strategy steps --logging-steps",
    "resume": "write --resume-from-checkpoint last",
    "resume_path": "write --resume-from-checkpoint last, with that run's --output-dir",
    "set": "leave it out: it has no effect there",
    "smooth_param": "write --label-smoothing-factor",
    "text_type": "write --labels-file, a YAML file with your sentences",
    "use_amp": "write --fp16, or --bf16",
}


def rename_research_flags(words: Sequence[str]) -> list[str]:
    """The command-line `words` with renamed flags of the research code under our names."""
    renamed = []
    for word in words:
        flag, equals, value = word.partition("=")
        ours = RENAMED_FLAGS.get(flag[2:].replace("-", "_")) if flag.startswith("--") else None
        renamed.append(f"--{ours}{equals}{value}" if ours else word)
    return renamed


def explain_research_flags(words: Sequence[str]) -> str:
    """One line on those of the command-line `words` that are flags of the research code alone; empty without any."""
    flags = [word.split("=")[0] for word in words if word.startswith("--")]
    known = {flag: RESEARCH_FLAGS.get(flag.lstrip("-").replace("-", "_")) for flag in flags}
    return "; ".join(f"{flag}: {text}" for flag, text in known.items() if text)
