"""Which flags of `predict` have an effect on what is predicted."""

from modeling_clipcaer.common.flag_effects import Rule


# A run has, beside the flags, the model's `config`, and `reads_frames` for inputs that are folders.
PREDICTION_RULES = (
    Rule(
        ("face_detector", "face_detector_weights"),
        lambda run: run.config.face_stream,
        "the model looks at no faces",
    ),
    Rule(
        ("face_detector", "face_detector_weights"),
        lambda run: run.bounding_box_face is None,
        "`bounding_box_face` has the boxes",
    ),
    Rule(
        ("context", "bounding_box_body"),
        lambda run: run.config.context_stream,
        "the model looks at faces alone",
    ),
    Rule(("bounding_box_body",), lambda run: run.context == "body", "the context is the whole frame"),
    Rule(("fps",), lambda run: run.reads_frames, "no input is a folder of frames"),
)
