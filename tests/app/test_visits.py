import csv
import shutil
from pathlib import Path

import pytest

from helpers import videos
from helpers.tiny import tiny_model
from modeling_clipcaer import ClipCaerVideoProcessor
from modeling_clipcaer.app.arguments import AppArguments
from modeling_clipcaer.app.corrections import list_segments, read_segment, refuse_overlaps
from modeling_clipcaer.app.visits import LEFT, NOTHING, STOPPED, Studio, Wish, read_sentences
from modeling_clipcaer.common.files import file_sha256
from modeling_clipcaer.corrections.readers import read_corrections
from modeling_clipcaer.corrections.segments import REDRAWN, check_segments, find_recordings
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.exports.timeline_json import load_timeline
from modeling_clipcaer.models.checkpoints import save_checkpoint
from modeling_clipcaer.raer_labels import RAER_LABELS
from modeling_clipcaer.recordings.settings import TimelineSettings
from modeling_clipcaer.recordings.timeline import UNCERTAIN, Timeline, TimelineSegment


WISH = Wish(2.0, 1.0, None)
SENTENCES = "Calm: a student who looks at a page\nCalm: a still student\nLively: a student who laughs"


def ignore(share):
    pass


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    processor = ClipCaerVideoProcessor(num_frames=4, image_size=32, face_margin=4)
    save_checkpoint(tiny_model(num_frames=4), processor, folder)
    return str(folder)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    return videos.write_video(tmp_path_factory.mktemp("lesson") / "lesson.mp4", videos.noise(60))


def make_studio(folder, **args):
    folder.mkdir()
    settings = TimelineSettings(face_detector="haar", tower_dtype="float32")
    return Studio(AppArguments(device="cpu", **args), settings, folder)


@pytest.fixture
def studio(model, tmp_path):
    return make_studio(tmp_path / "visits", model=model)


@pytest.fixture
def drop(lesson, tmp_path):
    """A new copy of the recording where Gradio keeps what is dropped: in a folder that tells its content."""

    def drop(file=lesson):
        folder = tmp_path / "uploads" / file_sha256(file)
        folder.mkdir(parents=True, exist_ok=True)
        copy = shutil.copy(file, tmp_path / "new")
        return str(copy.replace(folder / file.name))

    return drop


def test_a_changed_threshold_reads_nothing_again_and_a_changed_window_does(studio, drop, tmp_path):
    visit = studio.find("page")
    visit.take(drop())
    visit.analyse(WISH, 0.0, ignore)
    whole = visit.timeline
    assert {row.end - row.start for row in whole.windows} == {2.0}
    assert {row.label for row in whole.windows} != {UNCERTAIN}
    visit.recording.unlink()
    visit.analyse(WISH, 1.0, ignore)
    assert {row.label for row in visit.timeline.windows} == {UNCERTAIN}
    visit.set_threshold(0.0)
    assert visit.timeline == whole
    with pytest.raises(InputError, match="lesson"):
        visit.analyse(Wish(3.0, 1.0, None), 0.0, ignore)
    assert visit.timeline == whole


def test_labels_and_sentences_of_ones_own_answer_by_plain_clip(tiny_clip, drop, tmp_path):
    studio = make_studio(tmp_path / "visits", model=tiny_clip, labels="demo_labels")
    assert studio.sentences.startswith("Neutrality: ")
    assert read_sentences(studio.sentences).keys() == set(studio.config.id2label.values())
    visit = studio.find("page")
    visit.take(drop())
    visit.analyse(Wish(2.0, 1.0, SENTENCES), 0.0, ignore)
    timeline = visit.timeline
    assert timeline.labels == ["Calm", "Lively"] and timeline.settings["zero_shot"]
    with pytest.raises(InputError, match="trained checkpoint"):
        visit.explain(2, False)
    with pytest.raises(InputError, match=r"^the labels are Calm: expected at least two"):
        visit.analyse(Wish(2.0, 1.0, "Calm: a still student"), 0.0, ignore)
    with pytest.raises(InputError, match="'no colon': expected a line such as"):
        visit.analyse(Wish(2.0, 1.0, "no colon"), 0.0, ignore)
    assert visit.timeline == timeline
    assert [path.name for path in studio.folder.iterdir()] == [visit.folder.name]


def test_a_label_may_have_several_sentences():
    assert read_sentences(SENTENCES) == {
        "Calm": {"soft": "Calm", "descriptive": ["a student who looks at a page", "a still student"]},
        "Lively": {"soft": "Lively", "descriptive": ["a student who laughs"]},
    }


def test_a_corrected_table_is_zipped_with_what_was_answered_as_import_takes_it(
    studio, drop, lesson, tmp_path, monkeypatch
):
    visit = studio.find("page")
    visit.take(drop())
    visit.analyse(WISH, 0.0, ignore)
    timeline = visit.timeline
    (row,) = list_segments(timeline)
    other = next(name for name in timeline.labels if name != row[3])
    shutil.unpack_archive(visit.correct([row]), tmp_path / "as answered")
    shutil.unpack_archive(visit.correct([[*row[:2], "3.5", row[3]], ["room", 3.5, 6, other]]), tmp_path / "taken")
    folder = tmp_path / "taken" / "lesson"
    names = ("source", "person", "start", "end", "label", "score", "num_windows")
    assert [[line[name] for name in names] for line in read_csv(folder / "segments.csv")] == [
        ["lesson.mp4", "room", "0.0", "3.5", row[3], "", "0"],
        ["lesson.mp4", "room", "3.5", "6.0", other, "", "0"],
    ]
    (line,) = read_csv(tmp_path / "as answered" / "lesson" / "segments.csv")
    (segment,) = timeline.segments
    assert float(line["score"]) == round(segment.score, 6) and line["num_windows"] == "5"
    assert load_timeline(folder / "recording.json") == timeline
    assert sorted(path.name for path in visit.folder.iterdir()) == ["lesson.mp4", "lesson.zip"]
    monkeypatch.chdir(lesson.parent)
    table = str(folder / "segments.csv")
    taken = check_segments(read_corrections(table), find_recordings([table], None), RAER_LABELS)
    assert [(segment.recording.video, segment.change) for segment in taken] == [(str(lesson), REDRAWN)] * 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (["room", 1, 2, "Boredom"], "row 1: expected a label of Neutrality, .*, uncertain, found 'Boredom'"),
        (["room", 2, 1, "Fatigue"], "row 1: expected a start before the end, within 6 s, found 2 and 1"),
        (["room", 1, 7, "Fatigue"], "row 1: .* within 6 s"),
        (["room", "", 2, "Fatigue"], "row 1: expected seconds as start and end, found ''"),
        (["person-7", 1, 2, "Fatigue"], "row 1: expected a person of room, found 'person-7'"),
    ],
)
def test_a_row_that_is_no_segment_is_named(row, message):
    with pytest.raises(InputError, match=message):
        read_segment(1, row, Timeline("lesson.mp4", 6.0, 160, 120, list(RAER_LABELS)))


def test_two_labels_of_one_person_at_one_time_are_refused():
    rows = [("room", 0.0, 3.0, "Fatigue"), ("person-1", 1.0, 2.0, "Fatigue"), ("person-1", 1.5, 4.0, "Confusion")]
    segments = [TimelineSegment("lesson.mp4", *row, 0.5, 1) for row in rows]
    with pytest.raises(InputError, match=r"^person-1 is Fatigue until 2 s, and Confusion from 1.5 s on"):
        refuse_overlaps(segments)
    refuse_overlaps(segments[:2])


def test_a_file_that_is_no_video_gets_one_line_with_its_name_and_no_folder_of_this_machine(studio, drop, tmp_path):
    notes = tmp_path / "notes.mp4"
    notes.write_text("no video at all")
    visit = studio.find("page")
    visit.take(drop(notes))
    with pytest.raises(InputError) as caught:
        visit.analyse(WISH, 0.0, ignore)
    assert str(caught.value).startswith("notes.mp4: ")
    assert str(tmp_path) not in str(caught.value) and "\n" not in str(caught.value)


def test_before_a_recording_is_dropped_everything_asks_for_one(studio):
    visit = studio.find("page")
    asked = [
        lambda: visit.analyse(WISH, 0.0, ignore),
        lambda: visit.set_threshold(0.5),
        *(visit.write_page, visit.draw_people, lambda: visit.explain(1, False), lambda: visit.correct([])),
    ]
    for ask in asked:
        with pytest.raises(InputError, match=NOTHING):
            ask()


def test_what_is_dropped_and_what_is_made_of_it_goes_with_the_page(studio, drop, tmp_path):
    visit = studio.find("page")
    visit.take(drop())
    visit.analyse(WISH, 0.0, ignore)
    made = [visit.write_page(), visit.draw_people(), visit.explain(2, True), visit.correct([])]
    assert all(path.is_file() for path in made)
    studio.leave("page")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert studio.visits == {} and list(studio.folder.iterdir()) == []
    with pytest.raises(InputError, match=LEFT):  # as what still waited for its turn
        studio.find("page")


def test_a_second_recording_takes_away_the_first_and_what_was_made_of_it(studio, drop, tmp_path):
    visit = studio.find("page")
    visit.take(drop())
    visit.analyse(WISH, 0.0, ignore)
    visit.write_page()
    visit.take(drop(videos.write_video(tmp_path / "second.mp4", videos.plain(20))))
    assert [path.name for path in visit.folder.iterdir()] == ["second.mp4"]
    assert [path.name for path in (tmp_path / "uploads").rglob("*.*")] == ["second.mp4"]
    visit.take(None)
    assert list((tmp_path / "uploads").iterdir()) == []
    with pytest.raises(InputError, match=NOTHING):
        visit.write_page()


def test_two_pages_that_drop_the_same_file_do_not_take_it_from_each_other(studio, drop):
    first, second = studio.find("first"), studio.find("second")
    first.take(drop())
    second.take(upload := drop())  # Gradio puts it in the place of the same
    studio.leave("first")
    second.analyse(WISH, 0.0, ignore)
    assert Path(upload).is_file()
    studio.leave("second")
    assert not Path(upload).exists()


def test_an_analysis_stops_where_the_visitor_says_so_or_has_left(studio, drop):
    visit = studio.find("page")
    visit.take(drop())
    visit.analyse(WISH, 0.0, ignore)
    before = visit.timeline
    with pytest.raises(InputError, match=STOPPED):
        visit.analyse(Wish(3.0, 1.0, None), 0.0, lambda share: visit.stopped.set())
    assert visit.timeline == before
    with pytest.raises(InputError, match=STOPPED):
        visit.analyse(Wish(3.0, 1.0, None), 0.0, lambda share: studio.leave("page"))
    assert list(studio.folder.iterdir()) == []
