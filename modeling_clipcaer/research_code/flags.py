"""The public research code's flags, as `clipcaer train` takes them: read as ours, or taken with a note."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from modeling_clipcaer.common.flags import spell_flag, split_flags
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.losses.functions import REFERENCE_SMOOTHING_DISTRIBUTION


# The same flag under another name: read as ours. Names are with underscores.
RENAMED_FLAGS = {
    "class_specific_contexts": "class_specific_context",
    "dc_ramp": "dc_ramp_epochs",
    "dc_warmup": "dc_warmup_epochs",
    "gamma": "lr_gamma",
    "grad_clip": "max_grad_norm",
    "lambda_dc": "dc_loss_weight",
    "lambda_mi": "mi_loss_weight",
    "ldam_max_m": "ldam_max_margin",
    "ldam_s": "ldam_scale",
    "mi_ramp": "mi_ramp_epochs",
    "mi_warmup": "mi_warmup_epochs",
    "milestones": "lr_milestones",
    "num_segments": "num_frames",
    "use_weighted_sampler": "weighted_sampler",
    "workers": "dataloader_num_workers",
}
# Taken without an effect, and why.
IDLE_FLAGS = {
    "aug_file": "it has none there either",
    "cut_body": "it has none there either; the context is the body crop: --context",
    "data_aug": "it has none there either; see --flip-prob and --rotation-degrees",
    "image_size": "it is that of the CLIP model",
    "input_type": "it has none there either; see --streams",
    "ldl_temperature": "it belongs to --use-ldl",
    "ldl_warmup": "it belongs to --use-ldl",
    "load_and_tune_prompt_learner": "it has none there either; --lr-prompt-learner 0 freezes the prompts",
    "moco_k": "it belongs to --use-moco",
    "moco_m": "it belongs to --use-moco",
    "moco_t": "it belongs to --use-moco",
    "resume_set": "it has none there either",
    "set": "it has none there either",
    "text_type": "the sentences are this project's, or those of --labels-file",
}
# Read as other flags of ours, or refused, as their values say.
TRANSLATED_FLAGS = (
    *("crop_body", "duration", "eval_checkpoint", "gpu", "label_smoothing", "loss_type", "mode", "momentum"),
    *("optimizer", "print_freq", "resume", "resume_path", "smooth_param", "use_amp", "use_ldl", "use_moco"),
)
_NOT_HERE = {
    "use_ldl": "there the targets are softmax(cosines of the labels' soft prompts / 0.1); no loss here has such "
    "targets, the nearest is --label-smoothing-factor",
    "use_moco": "there a queue of earlier clips gives a contrastive loss; there is none here",
}
_ON = ("True", "true", "1")
_OFF = ("False", "false")
_OPTIMIZERS = {"SGD": "sgd", "AdamW": "adamw_torch"}
_LOSSES = {"ce": "cross_entropy", "ldl": "cross_entropy", "ldam": "ldam"}


def read_research_flags(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command-line `words` with those of the research code as ours, and a note on each that is no mere rename.

    `--gpu` takes effect at once, for this process: call this before anything asks for a device.

    Raises:
        InputError: a flag asks for what is not here; the line says what differs, or which command does it.
    """
    margins = _has(words, "ldam_max_m", "ldam_s")
    words = _rename(words)
    given, others = split_flags((*IDLE_FLAGS, *TRANSLATED_FLAGS, "dataset", "root_dir"), words)
    notes = [_idle(name, given, reason) for name, reason in IDLE_FLAGS.items() if name in given]
    _refuse(given)
    ours = [
        *_read_data(given, notes),
        *_read_optimizer(given, others, notes),
        *_read_loss(given, margins, notes),
        *_read_device(given, notes),
    ]
    if "print_freq" in given:
        ours += ["--logging-strategy", "steps", "--logging-steps", given["print_freq"]]
        notes.append(f"--print-freq {given['print_freq']}: read as {' '.join(ours[-4:])}")
    if notes and not any(word.split("=")[0] == "--config" for word in others):
        notes.append("what the command leaves open has our defaults, not theirs: docs/from_research_code.md")
    return ours + others, notes


def _idle(name: str, given: dict[str, str], reason: str) -> str:
    return f"{spell_flag(f'--{name}')} {given[name]}: taken without an effect: {reason}"


def _rename(words: Sequence[str]) -> list[str]:
    renamed = []
    for word in words:
        flag, equals, value = word.partition("=")
        ours = RENAMED_FLAGS.get(flag[2:].replace("-", "_")) if flag.startswith("--") else None
        renamed.append(f"--{ours}{equals}{value}" if ours else word)
    return renamed


def _refuse(given: dict[str, str]) -> None:
    if given.get("mode", "train") not in ("train", "eval"):
        raise InputError(f"--mode must be train or eval, got {given['mode']}")
    if given.get("mode") == "eval" or (given.get("eval_checkpoint") and "mode" not in given):
        checkpoint = given.get("eval_checkpoint", "FILE.pth")
        raise InputError(
            "--mode eval: this command trains. Convert the checkpoint, then measure it: "
            f"clipcaer convert --checkpoint {checkpoint} --output MODEL "
            "--trust-checkpoint; clipcaer evaluate --model MODEL --dataset DATASET --split test "
            "--output REPORT, with a DATASET of clipcaer build raer"
        )
    for name, difference in _NOT_HERE.items():
        if given.get(name, "False") in _ON:
            raise InputError(f"{spell_flag(f'--{name}')} is not here: {difference}")
    if given.get("duration", "1") != "1":
        raise InputError(
            f"--duration {given['duration']}: a segment gives one frame here; write a higher --num-frames"
        )
    for name in ("resume", "resume_path"):
        if given.get(name, "False") not in ("False", "false", ""):
            raise InputError(
                f"{spell_flag(f'--{name}')} {given[name]}: a run of the research code cannot be gone on with here; "
                "one of this command is by --resume-from-checkpoint last with its --output"
            )


def _read_data(given: dict[str, str], notes: list[str]) -> list[str]:
    idle = {
        "mode": "this command trains",
        "eval_checkpoint": "it belongs to --mode eval",
        "duration": "a segment gives one frame",
        "resume": "the run begins anew",
        "resume_path": "the run begins anew",
    }
    notes += [_idle(name, given, reason) for name, reason in idle.items() if name in given]
    ours = ["--root-dir", given["root_dir"]] if "root_dir" in given else []
    if "root_dir" in given and not Path(given.get("dataset", ".")).exists():
        notes.append(_idle("dataset", given, "--root-dir says which clips"))
    elif "dataset" in given:
        ours += ["--dataset", given["dataset"]]
    if "crop_body" in given:
        ours += ["--context", "body" if given["crop_body"] in _ON else "frame"]
        notes.append(f"--crop-body {given['crop_body']}: read as {' '.join(ours[-2:])}")
    return ours


def _choose(flag: str, value: str, ours: Mapping[str, str]) -> str:
    if value not in ours:
        raise InputError(f"{spell_flag(f'--{flag}')} must be one of {', '.join(ours)}, got {value}")
    return ours[value]


def _read_optimizer(given: dict[str, str], others: list[str], notes: list[str]) -> list[str]:
    ours = []
    name = given.get("optimizer")
    if name is not None:
        ours = ["--optim", _choose("optimizer", name, _OPTIMIZERS)]
        notes.append(f"--optimizer {name}: read as {' '.join(ours)}")
    elif "momentum" in given and not _has(others, "optim", "config"):
        ours = ["--optim", "sgd"]
        notes.append("--momentum without --optimizer: read with --optim sgd, which is the default there")
    if "momentum" in given and name == "AdamW":
        notes.append(_idle("momentum", given, "it is that of SGD"))
    elif "momentum" in given:
        ours += [f"--optim-args=momentum={given['momentum']}"]
        notes.append(f"--momentum {given['momentum']}: read as {ours[-1]}")
    return ours


def _read_loss(given: dict[str, str], margins: bool, notes: list[str]) -> list[str]:
    ours = []
    loss = given.get("loss_type")
    if loss is not None:
        ours = ["--classification-loss", _choose("loss_type", loss, _LOSSES)]
        difference = ", as there without --use-ldl" if loss == "ldl" else ""
        notes.append(f"--loss-type {loss}: read as {' '.join(ours)}{difference}")
    if loss == "ldam" or margins:
        notes.append(
            "--ldam-max-m M --ldam-s S: read as --ldam-max-margin M --ldam-scale S, on cosines; there they are on "
            "cosines / temperature T, which would be --ldam-max-margin M*T --ldam-scale S/T"
        )
    smoothing = given.get("label_smoothing")
    if smoothing in _ON[:2]:  # the original has a switch, and the figure in --smooth-param
        smoothing = given.get("smooth_param", "0.1")
    elif "smooth_param" in given:
        reason = "--label-smoothing is off" if smoothing in (None, *_OFF) else "--label-smoothing gives the figure"
        notes.append(_idle("smooth_param", given, reason))
    smoothing = "0" if smoothing in _OFF else smoothing
    if smoothing is not None and loss == "ldam":
        notes.append(f"--label-smoothing {smoothing}: taken without an effect, as there: the loss is ldam")
    elif smoothing is not None:
        read = ["--label-smoothing-factor", smoothing]
        if smoothing.strip("0.") != "":
            read += ["--label-smoothing-distribution", *map(str, REFERENCE_SMOOTHING_DISTRIBUTION)]
        ours += read
        notes.append(f"--label-smoothing {given['label_smoothing']}: read as {' '.join(read)}")
    return ours


def _read_device(given: dict[str, str], notes: list[str]) -> list[str]:
    ours: list[str] = []
    if "gpu" in given:
        ours, told = _choose_gpu(given["gpu"])
        notes.append(f"--gpu {given['gpu']}: {told}")
    if given.get("use_amp") in _ON:
        on_gpu = torch.cuda.device_count() > 0 and "--use-cpu" not in ours
        ours += ["--fp16"] if on_gpu else []
        told = "read as --fp16" if on_gpu else "taken without an effect, as there: it is for a CUDA GPU"
        notes.append(f"--use-amp: {told}")
    return ours


def _choose_gpu(gpu: str) -> tuple[list[str], str]:
    """Our flags for the device `gpu` of the research code, and what became of it."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return [], "taken without an effect: the launcher gives each process its device"
    if gpu == "cpu":
        return ["--use-cpu"], "read as --use-cpu"
    if gpu == "mps":
        if torch.backends.mps.is_available():
            return [], "the run is on Apple's GPU"
        return ["--use-cpu"], "there is none of Apple's GPUs; the run is on the CPU, as there"
    if not gpu.isdigit():
        raise InputError(f"--gpu must be the number of a GPU, mps or cpu, got {gpu}")
    # Keep: not is_available(), which starts CUDA, and then it is too late to choose.
    count = torch.cuda.device_count()
    if count == 0:
        return ["--use-cpu"], "there is no CUDA GPU; the run is on the CPU, as there"
    if int(gpu) >= count:
        raise InputError(f"--gpu {gpu}: there are {count} GPUs, numbered from 0")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[int(gpu)] if visible else gpu
    return [], "the run is on this GPU alone"


def _has(words: Sequence[str], *names: str) -> bool:
    return any(word.split("=")[0].lstrip("-").replace("-", "_") in names for word in words if word.startswith("--"))
