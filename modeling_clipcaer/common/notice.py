"""The notice on responsible use, which every output carries."""

RESPONSIBLE_USE = (
    "Research software. The EU AI Act, Art. 5(1)(f), prohibits inferring emotions of people in education institutions "
    "except for medical or safety reasons: use it for research, with consent, and for no decision about a person."
)
