#!/usr/bin/env bash
# The whole way on drawn data: draw scenes, build a dataset, train on the tiny CLIP, test, predict the timeline of a recording.
# Usage: bash recipes/demo.sh [OUTPUT_FOLDER]      about 2.5 minutes on 2 CPU cores, nothing is downloaded
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-outputs/demo}
if [ -e "$out" ]; then
    echo "error: $out exists; remove it, or name another folder: bash recipes/demo.sh FOLDER" >&2
    exit 2
fi
step() { printf '\n== %s\n' "$1"; }

step "1/6 draw student scenes in RAER's layout"
python data_scripts/make_synthetic_raer.py --output "$out/drawn" --seed 1
step "2/6 build the dataset"
python data_scripts/build_raer.py --root "$out/drawn" --output "$out/dataset" --val-share 0.15
step "3/6 measure the CLIP model without training"
python recipes/zero_shot.py --clip_model tests/fixtures/tiny_clip --labels_file recipes/demo_labels.yaml \
    --num_frames 8 --num_context_tokens 4 --face_margin 4 --dataset "$out/dataset" --output_dir "$out/zero_shot"
step "4/6 train, select on the validation split, test once"
accelerate launch --config_file accelerate_config.yaml recipes/train.py --config recipes/demo.yaml \
    --dataset "$out/dataset" --output_dir "$out/model"
step "5/6 evaluate the checkpoint"
python recipes/evaluate.py --model "$out/model" --dataset "$out/dataset" --split test --tower_dtype float32 \
    --output_dir "$out/evaluation"
step "6/6 the timeline of a recording: ten clips of one student, cut together"
python data_scripts/clip_to_video.py --dataset "$out/dataset" --split test --clip 0 4 6 1 3 5 7 8 2 9 --fps 4 \
    --output "$out/video/lesson.mp4"
python recipes/predict.py "$out/video/lesson.mp4" --model "$out/model" --output_dir "$out/prediction" \
    --bounding_box_face "$out/video/lesson.face.json" --context frame --window 3 --stride 1 --tower_dtype float32 \
    --overlay --report
python recipes/demo_summary.py "$out"
