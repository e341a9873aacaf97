"""What is seen of the app: one page, made with Gradio."""

import html
from types import SimpleNamespace
from typing import TYPE_CHECKING

from modeling_clipcaer.app.events import BEFORE, OWN, ZERO_SHOT, Events, say
from modeling_clipcaer.app.visits import Studio
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.names import public_name


if TYPE_CHECKING:
    import gradio

COLUMNS = {"person": "str", "start, s": "number", "end, s": "number", "label": "str"}
ABOUT = "A recording of learners becomes a timeline: who shows which label when, read from each face and its context."
UNSURE = "An answer less sure than this is `uncertain`. Nothing is read again for it."
SENTENCES = "A line each; a label may have several. Nothing is trained: answers are marked zero-shot."
PEOPLE = "A box and the label at each face, which is blurred. The recording is read again."
EXPLAINED = "What answers rest on: the surest of each label, then the least certain. The recording is read again."
CORRECTED = (
    "Select a row and choose its label below it; change times, add or delete rows. Save it for `clipcaer import`."
)
# Keep: in the head. Gradio's own `css` is written for parts below its container alone.
HEAD = """<style>
.gradio-container { width: 100% !important; max-width: 1320px !important; margin: 0 auto !important; }
.gradio-container .notice {
  border-left: 4px solid #c2410c; padding: .7em 1em; background: var(--background-fill-secondary);
}
.gradio-container :is(.info-text, .or, .empty) { color: var(--body-text-color); opacity: .75; }
.gradio-container .empty { padding: 3em 1em; text-align: center; }
.gradio-container .html-container { padding: 0 !important; }
.gradio-container iframe.made { width: 100%; height: 88vh; border: 0; border-radius: 8px; }
.gradio-container video.made { width: 100%; max-height: 75vh; background: #000; border-radius: 8px; }
.gradio-container footer { display: none; }
@media (max-width: 640px) { .gradio-container > .main { padding: 8px; } }
</style>"""


def build_page(studio: Studio) -> "gradio.Blocks":
    """The app's page, which is not yet served."""
    import gradio as gr

    notice = f"<b>For research, with consent.</b> {html.escape(RESPONSIBLE_USE)}"
    # Keep: deleted after an hour. Of an upload that is broken off no visit knows.
    with gr.Blocks(title="ClipCaer", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(f'<p class="notice" role="note">{notice}</p>')
        gr.HTML(f"<h1>ClipCaer</h1><p>{ABOUT}</p><p>{html.escape(describe(studio))}</p>")
        parts = SimpleNamespace(**vars(add_inputs(studio)), **vars(add_results(studio)))
        Events(studio, parts).connect(page)
    return page


def describe(studio: Studio) -> str:
    """Which checkpoint answers, and how far it can be trusted."""
    return f"{public_name(studio.args.model)}: {studio.told_measurement}"


def add_inputs(studio: Studio) -> SimpleNamespace:
    """The recording, and how it is to be answered."""
    import gradio as gr

    settings, is_trained, parts = studio.settings, studio.is_trained, SimpleNamespace()
    with gr.Row():
        with gr.Column(scale=3, min_width=320):
            sources = ["upload", "webcam"]
            parts.video = gr.Video(label="Recording", sources=sources, webcam_options=gr.WebcamOptions(mirror=False))
        with gr.Column(scale=2, min_width=320):
            parts.window = gr.Number(settings.window, label="Window", info="Seconds that each answer is made of.")
            parts.stride = gr.Number(settings.stride, label="Stride", info="Seconds from one answer to the next.")
            parts.threshold = gr.Slider(0, 1, settings.threshold, step=0.01, label="Threshold", info=UNSURE)
            with gr.Row():
                parts.start = gr.Button("Make the timeline", variant="primary", scale=2)
                parts.stop = gr.Button("Stop", scale=1)
    with gr.Accordion("Labels and sentences of your own", open=not is_trained):
        kind = OWN if is_trained else ZERO_SHOT
        parts.kind = gr.Radio([OWN, ZERO_SHOT], value=kind, label="Answered by", visible=is_trained)
        parts.sentences = gr.Textbox(studio.sentences, label="Label: sentence", info=SENTENCES, lines=6)
    return parts


def add_results(studio: Studio) -> SimpleNamespace:
    """What is made of the recording, a tab each."""
    import gradio as gr

    parts = SimpleNamespace()
    with gr.Tabs():
        with gr.Tab("Timeline"):
            parts.told = gr.HTML(say(BEFORE))
        with gr.Tab("People"):
            gr.Markdown(PEOPLE)
            parts.draw = gr.Button("Show people")
            parts.people = gr.HTML()
        with gr.Tab("Explanation"):
            gr.Markdown(EXPLAINED)
            with gr.Row():
                parts.count = gr.Slider(1, 16, 6, step=1, label="Answers")
                parts.over_frames = gr.Checkbox(label="Draw maps over the frames, faces blurred")
            parts.explain = gr.Button("Explain", interactive=studio.is_trained)
            parts.explained = gr.HTML()
        with gr.Tab("Correct"):
            gr.Markdown(CORRECTED)
            columns = {"headers": list(COLUMNS), "datatype": list(COLUMNS.values())}
            parts.table = gr.Dataframe(**columns, column_count=4, type="array", interactive=True)
            parts.row = gr.State()
            parts.label = gr.Radio([], label="Label of the selected row")
            parts.save = gr.Button("Save the table")
            parts.saved = gr.HTML()
    return parts
