"""Print what the demo measured, and where to look."""

import json
import sys
from pathlib import Path


def main(out: Path) -> None:
    report = json.loads((out / "evaluation" / "report.json").read_text(encoding="utf-8"))
    zero_shot = json.loads((out / "zero_shot" / "report.json").read_text(encoding="utf-8"))
    majority = report["majority_baseline"]
    print(f"\n{report['num_clips']} drawn test clips of people unseen in training    UAR %   WAR %")
    for name, figures in (
        (f"always answering {majority['label']}", majority),
        ("the tiny CLIP without training (zero-shot)", zero_shot),
        ("ClipCaer", report),
    ):
        print(f"  {name:<52} {figures['uar']:5.1f}   {figures['war']:5.1f}")
    print(
        f"""
These are figures of drawings, not of people. Look at
  {out}/evaluation/report.md             every figure, with intervals
  {out}/model/training_curves.png        how the losses went down
  {out}/model/confusion_matrix.png       what is taken for what
  {out}/model/README.md                  the checkpoint's model card
  {out}/prediction/report.html           the timeline of {out}/video/lesson.mp4, in a browser
  {out}/prediction/lesson/overlay.mp4    the same on the recording, faces blurred
  {out}/prediction/timeline.csv          the same as a table"""
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
