"""What a press on the app's page does: its visit is asked, and parts of the page change."""

import html
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from modeling_clipcaer.app.corrections import Rows, list_segments
from modeling_clipcaer.app.visits import Studio, Visit, Wish, locate
from modeling_clipcaer.errors import InputError
from modeling_clipcaer.names import printable
from modeling_clipcaer.recordings.timeline import UNCERTAIN


if TYPE_CHECKING:
    import gradio

OWN, ZERO_SHOT = "the checkpoint", "a plain CLIP model, by labels of my own (zero-shot)"
BEFORE = "Drop a recording, or record one, and its timeline appears here."
READY = "Press “Make the timeline”."


class Events:
    """The events of one page.

    Args:
        studio: what the page's visits share.
        parts: of the page, by name.
    """

    def __init__(self, studio: Studio, parts: SimpleNamespace):
        self.studio, self.parts = studio, parts

    def connect(self, page: "gradio.Blocks") -> None:
        """Tie what can be pressed to what it does. What reads a recording waits for its turn."""
        import gradio as gr

        parts, asks = self.parts, self._ask
        made = [parts.told, parts.people, parts.table, parts.row, parts.label, parts.saved]
        asked = [parts.window, parts.stride, parts.threshold, parts.kind, parts.sentences]
        private: dict[str, Any] = {"api_visibility": "private"}
        reads = {"concurrency_limit": self.studio.args.at_once, "concurrency_id": "reading", **private}
        parts.video.change(asks(self.take), parts.video, [*made, parts.explained], **private)
        parts.start.click(asks(self.analyse), asked, [*made, parts.explained], show_progress_on=parts.told, **reads)
        parts.stop.click(asks(self.stop), queue=False, **private)
        parts.threshold.release(asks(self.change_threshold), parts.threshold, made, **private)
        parts.draw.click(asks(self.draw_people), None, parts.people, **reads)
        parts.explain.click(asks(self.explain), [parts.count, parts.over_frames], parts.explained, **reads)
        parts.label.input(name_row, [parts.row, parts.label, parts.table], parts.table, **private)
        parts.save.click(asks(self.save), parts.table, parts.saved, **private)

        def select(chosen: gr.SelectData, rows: Rows):
            number = chosen.index[0]
            return number, rows[number][3]

        def leave(request: gr.Request):
            self.studio.leave(request.session_hash)
            # Gradio itself would know until the end what was shown.
            page.app.state_holder.session_data.pop(request.session_hash, None)

        parts.table.select(select, parts.table, [parts.row, parts.label], **private)
        page.unload(leave)

    def _ask(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """`handle`, of the visit whose page asks; what is wrong is told in one line."""
        import gradio as gr

        def answer(request: gr.Request, progress=gr.Progress(), *values):  # noqa: B008 - so Gradio finds it
            try:
                return handle(self.studio.find(request.session_hash), progress, *values)
            except InputError as error:
                raise gr.Error(html.escape(printable(str(error))), print_exception=False) from None

        return answer

    def take(self, visit: Visit, progress, upload: str | None) -> list[Any]:
        """A recording is dropped, recorded or taken away."""
        visit.take(upload)
        return [say(READY if upload else BEFORE), "", [], None, choose([]), "", ""]

    def analyse(self, visit: Visit, progress, window, stride, threshold, kind, sentences) -> list[Any]:
        """A timeline is asked for."""
        wish = Wish(window or 0, stride or 0, sentences if kind == ZERO_SHOT else None)
        visit.analyse(wish, threshold, lambda share: progress(share, "reading the recording"))
        return [*self.show(visit), ""]

    def show(self, visit: Visit) -> list[Any]:
        """A new timeline, and nothing of what was drawn or saved of an earlier one."""
        told, choices = frame(visit.write_page(), "Timeline"), choose([*visit.timeline.labels, UNCERTAIN])
        return [told, "", list_segments(visit.timeline), None, choices, ""]

    def change_threshold(self, visit: Visit, progress, threshold: float) -> list[Any]:
        """The threshold is moved, perhaps before there is a timeline."""
        import gradio as gr

        if visit.analysis is None:
            return [gr.skip()] * 6
        visit.set_threshold(threshold)
        return self.show(visit)

    def stop(self, visit: Visit, progress) -> None:
        """What is being read is to end."""
        visit.stopped.set()

    def draw_people(self, visit: Visit, progress) -> str:
        """People are asked for."""
        video = visit.draw_people()
        return f'<video class="made" controls src="{locate(video)}"></video>{link(video)}'

    def explain(self, visit: Visit, progress, count: int, over_frames: bool) -> str:
        """An explanation is asked for."""
        return frame(visit.explain(count, over_frames), "Explanation")

    def save(self, visit: Visit, progress, rows: Rows) -> str:
        """The corrected table is to be taken away, and the recording, which may be the camera's."""
        corrected = visit.correct(rows)
        return link(corrected) + link(corrected.with_name(visit.timeline.source))


def name_row(number: int | None, label: str, rows: list[list[Any]]) -> list[list[Any]]:
    """The table with another label in a row."""
    if number is not None and number < len(rows):
        rows[number][3] = label
    return rows


def choose(labels: list[str]) -> "gradio.Radio":
    """The labels that a row may have."""
    import gradio as gr

    return gr.Radio(labels, value=None)


def say(line: str) -> str:
    """A line where nothing is made yet."""
    return f'<p class="empty">{line}</p>'


def frame(page: Path, title: str) -> str:
    """One of our pages within the app's, of which it can read nothing."""
    return f'<iframe class="made" title="{title}" sandbox="allow-scripts" src="{locate(page)}"></iframe>{link(page)}'


def link(path: Path) -> str:
    """Where to take a file from."""
    return f'<p><a class="made" href="{locate(path)}" download>Download {html.escape(path.name)}</a></p>'
