"""Words for what can be seen in one frame of the drawn world: attributes, never labels."""

from modeling_clipcaer.synthetic.world import Moment, Person, Setting


def describe_face(moment: Moment) -> dict[str, str]:
    """Words for what the face crop shows, by attribute."""
    x, y = moment.gaze
    gaze = "to the left" if x < -0.45 else "to the right" if x > 0.45 else "down" if y > 0.4 else "ahead"
    lids = "closed" if moment.openness < 0.2 else "half closed" if moment.openness < 0.6 else "open"
    mouth = "a wide open mouth" if moment.gape > 0.5 else "a smile" if moment.smile > 0.5 else "a relaxed mouth"
    return {
        "eyes": "closed eyes" if lids == "closed" else f"{lids} eyes looking {gaze}",
        "mouth": mouth,
        "brow": "a furrowed brow" if moment.frown > 0.55 else "a relaxed brow",
    }


def describe_context(person: Person, setting: Setting, moment: Moment) -> dict[str, str]:
    """Words for what the whole picture shows, by attribute."""
    if moment.prop:
        posture = "resting the head on one hand"
    else:
        posture = "slumped over the desk" if moment.slouch > 0.7 else "sitting upright"
    if moment.phone:
        hands = "holding a phone"
    else:
        hands = "scratching the head" if moment.scratch else f"working with a {setting.desk_object}"
    return {
        "posture": posture,
        "hands": hands,
        "company": "next to another student" if setting.company else "alone",
        "place": f"in a {person.place}",
    }


def join_face_caption(words: dict[str, str]) -> str:
    """The caption of a face, from its words."""
    return "a face with " + " and ".join(words.values())


def join_context_caption(words: dict[str, str]) -> str:
    """The caption of a context, from its words."""
    return "a student " + " ".join(words.values())
