"""The labels of RAER and the sentences that describe them: words only."""

RAER_LABELS = ("Neutrality", "Enjoyment", "Confusion", "Fatigue", "Distraction")
