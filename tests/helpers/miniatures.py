"""Data sets of others in a few drawn clips each, in the layout in which they are given out."""

import csv
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image

from helpers import videos


SIZE = (64, 48)  # width, height
CAER_LABELS = ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
DFEW_LABELS = ("Happy", "Sad", "Neutral", "Angry", "Surprise", "Disgust", "Fear")
FERV39K_LABELS = DFEW_LABELS
MAFW_LABELS = (
    *("Anger", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise"),
    *("Contempt", "Anxiety", "Helplessness", "Disappointment"),
)
DAISEE_HEADER = ("ClipID", "Boredom", "Engagement", "Confusion", "Frustration ")  # the space is theirs
CREMAD_LABELS = ("Anger", "Disgust", "Fear", "Happy", "Neutral", "Sad")
RAVDESS_LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def write_clip(path: Path, count: int = 5) -> Path:
    """A video whose frame `i` is of the grey `4 * i`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return videos.write_video(path, videos.stairs(count, SIZE))


def write_frames(folder: Path, count: int = 5) -> Path:
    """A folder of such frames, unpadded from 1."""
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        Image.new("RGB", SIZE, (4 * number,) * 3).save(folder / f"{number}.jpg")
    return folder


def write_table(path: Path, rows: Iterable[Sequence]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def make_caer(root: Path, labels: Sequence[str] = CAER_LABELS) -> Path:
    """CAER/{train,validation,test}/LABEL/0001.avi: numbering starts again in every folder."""
    for split, count in (("train", 2), ("validation", 1), ("test", 1)):
        for label in labels:
            for number in range(1, count + 1):
                write_clip(root / split / label / f"{number:04d}.avi")
    return root


def make_own_videos(root: Path) -> Path:
    """Four people's recordings and clips.csv, three stretches of each, without a split."""
    lines = [("video", "start", "end", "label")]
    for person in ("ann", "bo", "cy", "dee"):
        write_clip(root / "recordings" / f"{person} 1.mp4", 30)
        for place, label in enumerate(("focused", "confused", "tired")):
            lines.append((f"recordings/{person} 1.mp4", place, place + 1, label))
    write_table(root / "clips.csv", lines)
    return root


def make_daisee(root: Path) -> Path:
    """DAiSEE: Labels/TrainLabels.csv and DataSet/Train/110001/1100011002/1100011002.avi; a clip has no label, one of
    the training clips is .mp4."""
    for split, subjects in (("Train", ("110001", "110002")), ("Validation", ("400018",)), ("Test", ("500044",))):
        lines = [DAISEE_HEADER]
        for subject in subjects:
            for level in range(4):
                clip = f"{subject}10{level:02d}"
                suffix = ".mp4" if clip == "1100021000" else ".avi"
                write_clip(root / "DataSet" / split / subject / clip / f"{clip}{suffix}")
                lines.append((f"{clip}{suffix}", 3 - level, level, 0, 1))
        write_table(root / "Labels" / f"{split}Labels.csv", lines)
    write_clip(root / "DataSet" / "Train" / "110001" / "1100011099" / "1100011099.avi")
    return root


def make_engagenet(root: Path) -> Path:
    """EngageNet: two workbooks and a CSV file of `chunk` and `label`, with an index column, beside the videos."""
    labels = ("Not-Engaged", "Barely-engaged", "Engaged", "Highly-Engaged", "SNP(Subject Not Present)")
    for split, subjects in (("Train", (1, 2)), ("Validation", (3,)), ("Test", (4,))):
        lines = [("", "chunk", "label")]
        for subject in subjects:
            for number, label in enumerate(labels):
                chunk = f"subject_{subject}_j489ubvnol_vid_0_{number}.mp4"
                write_clip(root / split / chunk)
                lines.append((len(lines) - 1, chunk, label))
        name = f"{split.lower()}_engagement_labels"
        if split == "Test":
            write_table(root / f"{name}.csv", lines)
        else:
            write_workbook(root / f"{name}.xlsx", lines)
    return root


def make_cremad(root: Path) -> Path:
    """CREMA-D: VideoFlash/1001_IEO_ANG_HI.flv and processedResults/tabulatedVotes.csv, whose lines are called by
    presentation (1 voice, 2 face, 3 both) and clip. Raters of the face say what was acted, but of 1001: Disgust has
    more votes for Anger, Fear ties with Sad, Happy has no line."""
    counts, clips = ["A", "D", "F", "H", "N", "S"], []
    for actor in (1001, 1002, 1003, 1004, 1005):
        for emotion in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"):
            clips.append(f"{actor}_IEO_{emotion}_{'XX' if emotion == 'NEU' else 'HI'}")
            write_clip(root / "VideoFlash" / f"{clips[-1]}.flv")
    lines = [("", *counts, "fileName", "numResponses", "agreement", "emoVote")]
    for presentation in (1, 2, 3):
        for number, clip in enumerate(clips, start=1):
            acted = counts.index(clip[9])
            votes = [7 if place == acted else int(place == (acted + 1) % 6) for place in range(6)]
            if presentation == 2 and clip.startswith("1001"):
                if "HAP" in clip:
                    continue
                votes = {"DIS": [6, 2, 0, 0, 0, 0], "FEA": [0, 1, 4, 0, 0, 4]}.get(clip[9:12], votes)
            lines.append((presentation * 100000 + number, *votes, clip, sum(votes), 0.5, "A"))
    write_table(root / "processedResults" / "tabulatedVotes.csv", lines)
    return root


def make_ravdess(root: Path) -> Path:
    """RAVDESS: Actor_01/02-01-06-01-02-01-01.mp4, each take with sound (01) and without (02) but those of actor 5, a
    song of actor 1, and a sound file."""
    for actor in range(1, 6):
        folder = root / f"Actor_{actor:02}"
        for modality in ("01",) if actor == 5 else ("01", "02"):
            for emotion in range(1, 9):
                write_clip(folder / f"{modality}-01-{emotion:02}-01-01-01-{actor:02}.mp4")
    write_clip(root / "Actor_01" / "02-02-03-01-01-01-01.mp4")
    (root / "Actor_01" / "03-01-06-01-02-01-01.wav").write_bytes(b"RIFF")
    return root


def write_workbook(path: Path, rows: Sequence[Sequence]) -> Path:
    """A sheet as spreadsheet programs write it: texts apart, empty cells left out."""
    texts = list(dict.fromkeys(cell for row in rows for cell in row if isinstance(cell, str) and cell))
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = []
        for column, cell in zip("ABC", row, strict=True):
            kind, value = (' t="s"', texts.index(cell)) if cell in texts else ("", cell)
            if cell != "":
                cells.append(f'<c r="{column}{number}"{kind}><v>{value}</v></c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    shared = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
    with zipfile.ZipFile(path, "w") as workbook:
        workbook.writestr("xl/sharedStrings.xml", f'<sst xmlns="{SHEET}">{shared}</sst>')
        sheet = f'<worksheet xmlns="{SHEET}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
        workbook.writestr("xl/worksheets/sheet1.xml", sheet)
    return path


def make_frame_lists(root: Path, front: str, clip_name: str, labels: Sequence[str]) -> Path:
    """Folders of frames in root/frames and the lists train.txt and test.txt, with the paths of the machine they were
    made on."""
    for split, first, clips_per_label in (("train", 1, 2), ("test", 101, 1)):
        lines = []
        for clip in range(clips_per_label * len(labels)):
            name = clip_name.format(number=first + clip, label=labels[clip % len(labels)])
            write_frames(root / "frames" / name, 4)
            lines.append(f"{front}/{name} 4 {clip % len(labels) + 1}\r\n")
        (root / f"{split}.txt").write_text("".join([*lines, "\n"]), newline="")
    return root


def make_dfew(root: Path) -> Path:
    """DFEW: clips by number."""
    return make_frame_lists(root, "/home/someone/DFEW/frames", "{number:05d}", DFEW_LABELS)


def make_ferv39k(root: Path) -> Path:
    """FERV39k: clips by scene and label, with relative paths."""
    return make_frame_lists(root, "FERV39k/2_ClipsforFaceCrop", "Action/{label}/{number:04d}", FERV39K_LABELS)


def make_mafw(root: Path) -> Path:
    """MAFW: clips by number, eleven labels, a list made on Windows."""
    return make_frame_lists(root, "D:\\MAFW\\frames", "{number:05d}", MAFW_LABELS)
