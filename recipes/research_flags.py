"""What became of the public research code's flags that `recipes/train.py` does not have under the same name."""

from collections.abc import Sequence


# By name with underscores. Flags that are not here are ours too; docs/from_research_code.md has all of them.
RESEARCH_FLAGS = {
    "aug_file": "leave it out: it has no effect there",
    "class_specific_contexts": "write --class-specific-context",
    "crop_body": "write --context body; without it --context frame",
    "cut_body": "leave it out: it has no effect there; the original code always crops: --context body",
    "data_aug": "leave it out: it has no effect there; see --flip-prob and --rotation-degrees",
    "dc_ramp": "write --dc-ramp-epochs",
    "dc_warmup": "write --dc-warmup-epochs",
    "duration": "leave it out: a segment gives one frame",
    "eval_checkpoint": "use recipes/convert_original_checkpoint.py, then recipes/evaluate.py --model",
    "exper_name": "write --output-dir outputs/NAME",
    "gamma": "write --lr-gamma",
    "gpu": "leave it out: accelerate launch and CUDA_VISIBLE_DEVICES choose the device",
    "grad_clip": "write --max-grad-norm",
    "image_size": "leave it out: it is that of the CLIP model",
    "input_type": "leave it out: it has no effect there; see --streams",
    "label_smoothing": (
        "write --label-smoothing-factor, and for the same targets "
        "--label-smoothing-distribution 0.06526781 0.817977729 1.035884371 0.388144355 0.19551041668"
    ),
    "lambda_dc": "write --dc-loss-weight",
    "lambda_mi": "write --mi-loss-weight",
    "load_and_tune_prompt_learner": "leave it out: it has no effect there; --lr-prompt-learner 0 freezes the prompts",
    "mi_ramp": "write --mi-ramp-epochs",
    "mi_warmup": "write --mi-warmup-epochs",
    "milestones": "write --lr-milestones",
    "mode": "use recipes/train.py to train and recipes/evaluate.py to evaluate",
    "momentum": "write --optim-args momentum=0.9, beside --optim sgd",
    "num_segments": "write --num-frames",
    "optimizer": "write --optim sgd, or --optim adamw_torch",
    "print_freq": "write --logging-strategy steps --logging-steps",
    "resume": "write --resume-from-checkpoint last",
    "resume_path": "write --resume-from-checkpoint last, with that run's --output-dir",
    "set": "leave it out: it has no effect there",
    "smooth_param": "write --label-smoothing-factor",
    "text_type": "write --labels-file, a YAML file with your sentences",
    "use_amp": "write --fp16, or --bf16",
    "use_weighted_sampler": "write --weighted-sampler",
    "workers": "write --dataloader-num-workers",
}


def explain_research_flags(words: Sequence[str]) -> str:
    """One line on those of the command-line `words` that are flags of the research code alone; empty without any."""
    flags = [word.split("=")[0] for word in words if word.startswith("--")]
    known = {flag: RESEARCH_FLAGS.get(flag.lstrip("-").replace("-", "_")) for flag in flags}
    return "; ".join(f"{flag}: {text}" for flag, text in known.items() if text)
