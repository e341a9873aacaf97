"""The measures of the project, in one place for training, evaluation and `evaluate.load`.

In come references with labels, logits or probabilities of the same clips; out go fractions. Start reading at
`recalls.py`; `uar_war/`, in the clone at `metrics/uar_war/`, is these for `evaluate.load`.
"""

from modeling_clipcaer.metrics.recalls import (
    absent_labels,
    assign_folds,
    bootstrap_confidence_intervals,
    calibrate_temperature,
    compute_uar_war,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    macro_f1,
    mean_log_loss,
    per_class_scores,
    predict_labels,
    predict_probabilities,
    reliability_bins,
    unweighted_average_recall,
    weighted_average_recall,
)


__all__ = [
    "absent_labels",
    "assign_folds",
    "bootstrap_confidence_intervals",
    "calibrate_temperature",
    "compute_uar_war",
    "confusion_matrix",
    "expected_calibration_error",
    "fit_temperature",
    "macro_f1",
    "mean_log_loss",
    "per_class_scores",
    "predict_labels",
    "predict_probabilities",
    "reliability_bins",
    "unweighted_average_recall",
    "weighted_average_recall",
]
