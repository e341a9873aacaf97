"""What a run leaves to read.

Logits, references and settings come in; `report.json`, pages, plots and a model card go out.
Start with `evaluation.py`.
"""
