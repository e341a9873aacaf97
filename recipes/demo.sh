#!/usr/bin/env bash
# The same as `clipcaer demo`: draws scenes, builds a dataset, trains on the tiny CLIP, tests, predicts a recording's timeline.
# Usage: bash recipes/demo.sh [OUTPUT_FOLDER]      about 2.5 minutes on 2 CPU cores, nothing is downloaded
set -euo pipefail
cd "$(dirname "$0")/.."
exec python -m modeling_clipcaer.commands.main demo "$@"
