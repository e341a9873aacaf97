"""What was found out about answers, as files: explanation.json, a figure a sample, and one page for the browser."""

import base64
import io
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from markupsafe import Markup
from PIL import Image

from modeling_clipcaer.common.files import write_json
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.pages import page_templates
from modeling_clipcaer.common.palette import colour_labels
from modeling_clipcaer.common.versions import list_versions
from modeling_clipcaer.explanations.explanation import DIGITS, Explanation
from modeling_clipcaer.explanations.figures import draw_explanation
from modeling_clipcaer.explanations.texts import Text, map_points
from modeling_clipcaer.json_files import read_object
from modeling_clipcaer.modeling_clipcaer import ClipCaerForVideoClassification
from modeling_clipcaer.models.checkpoints import weights_revision
from modeling_clipcaer.models.measurement import tell_measurement
from modeling_clipcaer.names import public_name


if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = "explanation"  # beside a recording's and an evaluation's other files
CONTENT, PAGE, FIGURES = "explanation.json", "explanation.html", "figures"
TOLD_ELSEWHERE = {"notice", "caveat", "labels", "samples", "map"}  # of explanation.json, on its page
TEMPLATES = Path(__file__).parent / "templates"
NO_PROOF = (
    "A map is no proof of a reason. It shows which patches the score reacts to along the model's attention; the model "
    "may be right for other reasons, and a map may look right by chance. Contributions are exact, but of cases that "
    "the model was not made for: a stream that is off, a frame that its neighbour stands in for."
)
SCHEMA_VERSION = 1
# Sides of the drawn map, and its margin, in its own units.
WIDTH, HEIGHT, MARGIN = 760, 420, 18
QUALITY = 70  # of a page's pictures
# Frames that are told in words: by how much the answer's probability has to fall, and how many at most.
TELLING, MOST_TOLD = 0.005, 3
PACKAGES = ("clipcaer", "torch", "transformers", "numpy", "av")


def describe_model(
    checkpoint: str, model: ClipCaerForVideoClassification, measured: dict[str, Any] | None
) -> dict[str, Any]:
    """What a reader must know of the model: its name, its weights, how well it was `measured`, the versions."""
    config = model.config
    return {
        "model": public_name(checkpoint),
        "model_revision": weights_revision(checkpoint) or getattr(config, "_commit_hash", None),
        "measured": tell_measurement(measured),
        "calibrated": config.calibration_temperature is not None,
        **({"label_colours": config.label_colours} if config.label_colours else {}),
        "versions": list_versions(PACKAGES),
    }


def lay_out_map(
    explanations: list[Explanation],
    others: list[tuple[str, str]],
    other_embeds: torch.Tensor | None,
    texts: list[Text],
    text_embeds: torch.Tensor,
    labels: list[str],
) -> dict[str, Any]:
    """The map of videos and texts, as JSON can hold it.

    Args:
        explanations: their videos.
        others: name and label of each further video.
        other_embeds: their embeddings (num_others, projection_dim); `None` without any.
        texts, text_embeds: of [`~texts.encode_texts`].
        labels: their names.
    """
    embeds = [explanation.video_embed[None] for explanation in explanations]
    embeds += [] if other_embeds is None else [other_embeds]
    points, variance = map_points(torch.cat([*embeds, text_embeds.cpu()]))
    about = [
        {"kind": "explained", "label": found.sample.label or found.answer, "name": found.sample.name}
        for found in explanations
    ]
    about += [{"kind": "video", "label": label, "name": name} for name, label in others]
    about += [{"kind": text.view, "label": labels[text.label], "name": text.sentence} for text in texts]
    return {
        "method": "principal components of the unit embeddings of all points",
        "variance": [round(share, DIGITS) for share in variance],
        "points": [
            entry | {"x": round(x, DIGITS), "y": round(y, DIGITS)}
            for entry, (x, y) in zip(about, points.tolist(), strict=True)
        ],
    }


def write_explanations(
    explanations: list[Explanation], layout: dict[str, Any], about: dict[str, Any], labels: list[str], folder: Path
) -> None:
    """Write explanation.json, explanation.html and figures/1.png, ... into `folder`.

    Args:
        explanations: at least one.
        layout: of [`lay_out_map`].
        about: how it was made: model, data, versions; see [`describe_model`].
        labels: their names, in the order of the model's numbers.
    """
    (folder / FIGURES).mkdir(parents=True)
    for number, explanation in enumerate(explanations, start=1):
        draw_explanation(explanation, folder / FIGURES / f"{number}.png")
    content = {
        "schema_version": SCHEMA_VERSION,
        **about,
        "notice": RESPONSIBLE_USE,
        "caveat": NO_PROOF,
        "labels": labels,
        "samples": [explanation.to_dict(labels) for explanation in explanations],
        "map": layout,
    }
    write_json(content, folder / CONTENT)
    (folder / PAGE).write_text(render_page(folder), encoding="utf-8")


def render_page(folder: Path) -> str:
    """The page on what a folder of [`write_explanations`] holds: self-contained, without scripts or the network."""
    content = read_object(folder / CONTENT)
    return (
        _templates()
        .get_template("explanation.html.j2")
        .render(
            **_describe_content(content),
            samples=[
                _describe_sample(sample, number, folder) for number, sample in enumerate(content["samples"], start=1)
            ],
            about={name: value for name, value in content.items() if name not in TOLD_ELSEWHERE},
            notice=RESPONSIBLE_USE,
        )
    )


def render_section(
    folder: Path,
    link: str,
    room: int,
    lead: str,
    name: str,
    level: int = 2,
    title: Callable[[dict[str, Any]], str] = itemgetter("name"),
) -> str:
    """What a folder of [`write_explanations`] holds as a section of another page, which includes `explanation.css.j2`:
    closed details for each answer, and the map.

    Args:
        link: the address of the folder's own page, seen from the other page.
        room: bytes that the section may take. The map, and answers, that have no place in them are left to the link.
        lead: what the answers are, in a sentence.
        name: of the section, unique on the page.
        level: of its heading.
        title: what an answer is called, of its entry in explanation.json.

    Returns:
        Markup.
    """
    content, template = read_object(folder / CONTENT), _templates().get_template("section.html.j2")
    total, samples = len(content["samples"]), list[dict[str, Any]]()
    told = {**_describe_content(content), "link": link, "lead": lead, "name": name, "h": level, "title": title}
    page = template.render(told, map=None, samples=[], left_out=total)
    for number in range(total + 1):
        if number:
            samples.append(_describe_sample(content["samples"][number - 1], number, folder))
        longer = template.render(told, samples=samples, left_out=total - number)
        if len(longer.encode()) > room:
            break
        page = longer
    return Markup(page)


def shows_people(folder: Path) -> bool:
    """Whether a folder of [`write_explanations`] holds pictures of people, and so a page with its section."""
    return any(sample["shown"] for sample in read_object(folder / CONTENT)["samples"])


def _templates() -> "Environment":
    templates = page_templates(TEMPLATES)
    templates.filters["points"] = lambda share: f"{round(100 * share, 1) + 0.0:+.1f}"  # no -0.0
    return templates


def _describe_content(content: dict[str, Any]) -> dict[str, Any]:
    """What the templates show of all answers together."""
    labels, layout = content["labels"], content["map"]
    return {
        "labels": labels,
        "colours": colour_labels(labels, content.get("label_colours")),
        "map": {
            "points": _place_points(layout["points"]),
            "variance": sum(layout["variance"]),
            **{"width": WIDTH, "height": HEIGHT},
        },
        "no_proof": NO_PROOF,
    }


def _describe_sample(sample: dict[str, Any], number: int, folder: Path) -> dict[str, Any]:
    """What the templates show of one answer. Its figure takes a tenth of its bytes as WebP."""
    with Image.open(folder / FIGURES / f"{number}.png") as figure, io.BytesIO() as file:
        figure.convert("RGB").save(file, "WEBP", quality=QUALITY)
        picture = base64.b64encode(file.getvalue()).decode("ascii")
    frames = [
        {"stream": stream, "number": place, "points": points}
        for stream, values in sample["frames"].items()
        for place, points in enumerate(values, start=1)
        if points >= TELLING
    ]
    telling = sorted(frames, key=lambda frame: -frame["points"])[:MOST_TOLD]
    return sample | {"number": number, "picture": picture, "telling": telling}


def _place_points(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The map's points with their places on the drawing, those last that are to lie on top."""
    spans = [[point[axis] for point in points] for axis in ("x", "y")]
    (left, right), (low, high) = ((min(span), max(span)) for span in spans)
    # Keep: one scale for both axes. Distances are what the map is for.
    scale = min((WIDTH - 2 * MARGIN) / ((right - left) or 1), (HEIGHT - 2 * MARGIN) / ((high - low) or 1))
    numbers = iter(range(1, len(points) + 1))
    placed = [
        point
        | {
            "x": round(WIDTH / 2 + (point["x"] - (left + right) / 2) * scale, 1),
            "y": round(HEIGHT / 2 - (point["y"] - (low + high) / 2) * scale, 1),
            "number": next(numbers) if point["kind"] == "explained" else None,
        }
        for point in points
    ]
    return sorted(placed, key=lambda point: ("video", "descriptive", "soft", "explained").index(point["kind"]))
