"""What was found out about answers, as files: explanation.json, a figure a sample, and one page for the browser."""

import base64
from pathlib import Path
from typing import Any

import torch

from modeling_clipcaer.common.files import write_json
from modeling_clipcaer.common.notice import RESPONSIBLE_USE
from modeling_clipcaer.common.pages import page_templates
from modeling_clipcaer.common.palette import colour_labels
from modeling_clipcaer.explanations.explanation import DIGITS, Explanation
from modeling_clipcaer.explanations.figures import draw_explanation
from modeling_clipcaer.explanations.texts import Text, map_points


NO_PROOF = (
    "A map is no proof of a reason. It shows which patches the score reacts to along the model's attention; the model "
    "may be right for other reasons, and a map may look right by chance. Contributions are exact, but of cases that "
    "the model was not made for: a stream that is off, a frame that its neighbour stands in for."
)
SCHEMA_VERSION = 1
# Sides of the drawn map, and its margin, in its own units.
WIDTH, HEIGHT, MARGIN = 760, 420, 18


def lay_out_map(
    explanations: list[Explanation],
    others: list[tuple[str, str]],
    other_embeds: torch.Tensor,
    texts: list[Text],
    text_embeds: torch.Tensor,
    labels: list[str],
) -> dict[str, Any]:
    """The map of videos and texts, as JSON can hold it.

    Args:
        explanations: their videos.
        others: name and label of each further video, of whose embeddings `other_embeds` (num_others, projection_dim)
            are.
        texts, text_embeds: of [`~texts.encode_texts`].
        labels: their names.
    """
    embeds = [explanation.video_embed[None] for explanation in explanations]
    points, variance = map_points(torch.cat([*embeds, other_embeds, text_embeds.cpu()]))
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
        about: how it was made: model, data, versions.
        labels: their names, in the order of the model's numbers.
    """
    (folder / "figures").mkdir()
    figures = []
    for number, explanation in enumerate(explanations, start=1):
        path = folder / "figures" / f"{number}.png"
        draw_explanation(explanation, path)
        figures.append(base64.b64encode(path.read_bytes()).decode("ascii"))
    (folder / "explanation.html").write_text(
        render_page(explanations, figures, layout, about, labels), encoding="utf-8"
    )
    content = {
        "schema_version": SCHEMA_VERSION,
        **about,
        "notice": RESPONSIBLE_USE,
        "caveat": NO_PROOF,
        "labels": labels,
        "samples": [explanation.to_dict(labels) for explanation in explanations],
        "map": layout,
    }
    write_json(content, folder / "explanation.json")


def render_page(
    explanations: list[Explanation],
    figures: list[str],
    layout: dict[str, Any],
    about: dict[str, Any],
    labels: list[str],
) -> str:
    """The page: self-contained, without scripts or the network; `figures` are PNG files in base64."""
    templates = page_templates(Path(__file__).parent / "templates")
    templates.filters["percent"] = lambda share: f"{100 * share:.1f} %"
    templates.filters["points"] = lambda share: f"{100 * share:+.1f}"
    return templates.get_template("explanation.html.j2").render(
        samples=[
            {
                "number": number,
                "figure": figure,
                "shown": bool(explanation.sample.shown),
                **explanation.to_dict(labels),
            }
            for number, (explanation, figure) in enumerate(zip(explanations, figures, strict=True), start=1)
        ],
        places={label: place for place, label in enumerate(labels)},
        labels=labels,
        colours=colour_labels(labels, about.get("label_colours")),
        points=_place_points(layout["points"]),
        variance=sum(layout["variance"]),
        size={"width": WIDTH, "height": HEIGHT},
        about=about,
        notice=RESPONSIBLE_USE,
        no_proof=NO_PROOF,
    )


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
