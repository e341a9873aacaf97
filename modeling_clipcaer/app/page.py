"""What is seen of the app: one page, made with Gradio."""

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeling_clipcaer.app.corrections import list_segments
from modeling_clipcaer.app.visits import Studio, Wish, locate
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable, public_name
from modeling_clipcaer.recordings.timeline import UNCERTAIN


if TYPE_CHECKING:
    import gradio

OWN, ZERO_SHOT = "the checkpoint", "a plain CLIP model, by labels of my own (zero-shot)"
COLUMNS = ("person", "start, s", "end, s", "label")
ABOUT = (
    "A recording of learners becomes a timeline of who shows which label when, read from each face and its context."
)
PEOPLE = "A box and the label at each face, which is blurred. The recording is read again."
EXPLAINED = "What answers rest on: the surest of each label, then the least certain. The recording is read again."
TABLE = (
    "Select a row and choose its label below, change its times, add or delete rows. `clipcaer import` takes the table."
)
BEFORE = "Drop a recording, or record one, and its timeline appears here."
READY = "Press “Make the timeline”."
EMPTY = '<p class="empty">{}</p>'
CSS = """
.gradio-container { max-width: 1320px !important; margin: 0 auto !important; }
.notice { border-left: 4px solid #c2410c; padding: .7em 1em; background: var(--background-fill-secondary); }
.empty { padding: 3em 1em; text-align: center; }
iframe.made { width: 100%; height: 88vh; border: 0; border-radius: 8px; }
video.made { width: 100%; max-height: 75vh; background: #000; border-radius: 8px; }
.info-text, .or, .empty { color: var(--body-text-color) !important; opacity: .75; }
.html-container { padding: 0 !important; }
@media (max-width: 640px) { .gradio-container > .main { padding: 8px !important; } }
footer { display: none !important; }
"""


def build_page(studio: Studio) -> "gradio.Blocks":
    """The app's page, which is not yet served."""
    import gradio as gr

    settings, is_trained = studio.settings, not studio.args.labels
    # Keep: no file of Gradio's outlives an hour. What its page leaves behind when it breaks off is not a visit's.
    with gr.Blocks(title="ClipCaer", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(f'<p class="notice" role="note"><b>For research, with consent.</b> {html.escape(RESPONSIBLE_USE)}</p>')
        gr.HTML(f"<h1>ClipCaer</h1><p>{ABOUT}</p><p>{html.escape(describe(studio))}</p>")
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                video = gr.Video(
                    label="Recording",
                    sources=["upload", "webcam"],
                    webcam_options=gr.WebcamOptions(mirror=False),
                )
            with gr.Column(scale=2, min_width=320):
                window = gr.Number(settings.window, label="Window", info="Seconds of which each answer is made.")
                stride = gr.Number(settings.stride, label="Stride", info="Seconds from one answer to the next.")
                threshold = gr.Slider(
                    *(0, 1, settings.threshold),
                    step=0.01,
                    label="Threshold",
                    info="An answer less sure than this is `uncertain`. Nothing is read again for it.",
                )
                with gr.Row():
                    start = gr.Button("Make the timeline", variant="primary", scale=2)
                    stop = gr.Button("Stop", scale=1)
        with gr.Accordion("Labels and sentences of your own", open=not is_trained):
            kind = gr.Radio(
                [OWN, ZERO_SHOT], value=OWN if is_trained else ZERO_SHOT, label="Answered by", visible=is_trained
            )
            sentences = gr.Textbox(
                studio.sentences,
                label="Label: sentence",
                info="A line each; a label may have several. Nothing is trained: answers are marked zero-shot.",
                lines=6,
            )
        with gr.Tabs():
            with gr.Tab("Timeline"):
                told = gr.HTML(EMPTY.format(BEFORE))
            with gr.Tab("People"):
                gr.Markdown(PEOPLE)
                draw = gr.Button("Show people")
                people = gr.HTML()
            with gr.Tab("Explanation"):
                gr.Markdown(EXPLAINED)
                with gr.Row():
                    count = gr.Slider(1, 16, 6, step=1, label="Answers")
                    over_frames = gr.Checkbox(label="Draw maps over the frames, faces blurred")
                explain = gr.Button("Explain", interactive=is_trained)
                explained = gr.HTML()
            with gr.Tab("Correct"):
                gr.Markdown(TABLE)
                kinds = ["str", "number", "number", "str"]
                table = gr.Dataframe(
                    headers=list(COLUMNS), datatype=kinds, column_count=4, type="array", interactive=True
                )
                row = gr.State()
                label = gr.Radio([], label="Label of the selected row")
                save = gr.Button("Save the table")
                saved = gr.HTML()
        shown = [told, people, table, label, saved]

        def answering(handle: Callable[..., Any]) -> Callable[..., Any]:
            """`handle`, of the visit that asks; what is wrong is told in one line."""

            def answer(request: gr.Request, progress=gr.Progress(), *values):  # noqa: B008 - Gradio asks for it so
                try:
                    return handle(studio.find(request.session_hash), progress, *values)
                except InputError as error:
                    raise gr.Error(html.escape(printable(str(error))), print_exception=False) from None

            return answer

        def take(visit, progress, upload):
            visit.take(upload)
            return [
                EMPTY.format("Press “Make the timeline”." if upload else BEFORE),
                "",
                [],
                gr.Radio([], value=None),
                "",
                "",
            ]

        def analyse(visit, progress, window, stride, threshold, kind, sentences):
            wish = Wish(window, stride, sentences if kind == ZERO_SHOT else None)
            visit.analyse(wish, threshold, lambda share: progress(share, "reading the recording"))
            return show(visit)

        def show(visit):
            """A new timeline, and nothing of what was drawn or saved of an earlier one."""
            choices = gr.Radio([*visit.timeline.labels, UNCERTAIN], value=None)
            return [frame(visit.write_page(), "Timeline"), "", list_segments(visit.timeline), choices, ""]

        def change_threshold(visit, progress, threshold):
            if visit.timeline is None:
                return [gr.skip()] * len(shown)
            visit.set_threshold(threshold)
            return show(visit)

        def stop_reading(visit, progress):
            visit.stopped.set()

        def draw_people(visit, progress):
            return player(visit.draw_people())

        def explain_answers(visit, progress, count, over_frames):
            return frame(visit.explain(count, over_frames), "Explanation")

        def select(chosen: gr.SelectData, rows):
            number = chosen.index[0]
            return number, rows[number][3]

        def name(number, label, rows):
            if number is not None:
                rows[number][3] = label
            return rows

        def save_table(visit, progress, rows):
            return links(visit.correct(rows), visit.recording)

        reading = {"concurrency_limit": studio.args.at_once, "concurrency_id": "reading"}
        private = {"api_visibility": "private"}
        asked = [window, stride, threshold, kind, sentences]
        video.change(answering(take), video, [*shown, explained], **private)
        start.click(answering(analyse), asked, shown, show_progress_on=told, **reading, **private)
        stop.click(answering(stop_reading), queue=False, **private)
        threshold.release(answering(change_threshold), threshold, shown, **private)
        draw.click(answering(draw_people), None, people, **reading, **private)
        explain.click(answering(explain_answers), [count, over_frames], explained, **reading, **private)
        table.select(select, table, [row, label], **private)
        label.input(name, [row, label, table], table, **private)
        save.click(answering(save_table), table, saved, **private)

        def leave(request: gr.Request):
            studio.leave(request.session_hash)

        page.unload(leave)
    return page


def frame(page: Path, title: str) -> str:
    """One of our pages within the app's, of which it can read nothing."""
    return f'<iframe class="made" title="{title}" sandbox="allow-scripts" src="{locate(page)}"></iframe>{links(page)}'


def player(video: Path) -> str:
    """A video that was made."""
    return f'<video class="made" controls src="{locate(video)}"></video>{links(video)}'


def links(*paths: Path) -> str:
    """Where to take files from."""
    return "".join(
        f'<p><a class="made" href="{locate(path)}" download>Download {html.escape(path.name)}</a></p>'
        for path in paths
    )


def describe(studio: Studio) -> str:
    """Which checkpoint answers, and how far it can be trusted."""
    return f"{public_name(studio.args.model)}: {studio.told_measurement}"
