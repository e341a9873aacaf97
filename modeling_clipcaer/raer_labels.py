"""The labels of RAER and the sentences that describe them: words only.

The order is that of RAER's annotation (stored there 1-based, here 0-based). All sentences were written for this
project. They name what a camera can see, in the terms of facial action units (Ekman and Friesen, 1978) and of posture
and gaze, because a CLIP text tower knows such words better than names of feelings.
"""

RAER_LABELS = ("Neutrality", "Enjoyment", "Confusion", "Fatigue", "Distraction")

# One text per label behind the learned context tokens: face and behaviour in one short phrase.
RAER_LABEL_PROMPTS = (
    "a student with a relaxed, expressionless face who sits calmly and looks at the book, the screen or the teacher.",
    "a student with raised cheeks and a smile who sits upright and follows the lesson with interest.",
    "a student with lowered, drawn brows and pressed lips who leans towards the page and stops to puzzle over it.",
    "a student with drooping eyelids and a slack or yawning mouth who slumps and props up a heavy head.",
    "a student whose gaze has left the work, turned to a phone, a neighbour or the window.",
)

# Fixed sentences per label; their unit embeddings are averaged. The first of each speaks of the face, the second of
# the body and the scene, the third of how it goes on over time.
RAER_DESCRIPTIVE_PROMPTS = (
    (
        "a student's face at rest, with smooth forehead, eyes open and steady, lips closed and mouth corners level.",
        "a student sitting still at a desk, reading, listening or writing with an even posture.",
        "a student who keeps the same calm look and works on without a break.",
    ),
    (
        "a student's face with cheeks raised, wrinkles at the outer eyes and mouth corners pulled up in a smile.",
        "a student sitting upright and open, nodding, laughing or turning eagerly to the task.",
        "a student whose eyes light up and who stays with the task in good spirits.",
    ),
    (
        "a student's face with brows lowered and drawn together, eyes narrowed and lips pressed or pushed out.",
        "a student bent close over the page or the screen, with a hand at the chin or scratching the head.",
        "a student who looks back and forth over the same place, tilts the head and hesitates.",
    ),
    (
        "a student's face with heavy upper eyelids, eyes nearly shut, jaw dropped in a yawn and muscles slack.",
        "a student slumped over the desk, with the head resting on an arm or sinking towards the table.",
        "a student whose eyes close longer and longer and whose head nods down and jerks up again.",
    ),
    (
        "a student's face turned aside, with the eyes looking away from the work.",
        "a student holding a phone, chatting with a neighbour or fiddling with things on the desk.",
        "a student whose gaze wanders around the room and does not come back to the task.",
    ),
)
