"""The measures of the project, in one place for training, evaluation and `evaluate.load`.

References with labels, logits or probabilities of the same clips come in; fractions go out.
Start with `recalls.py`; `uar_war/`, in the clone at `metrics/uar_war/`, is these for `evaluate.load`.
"""

from modeling_clipcaer.metrics.abstention import accuracy_by_coverage
from modeling_clipcaer.metrics.calibration import (
    calibrate_temperature,
    expected_calibration_error,
    mean_log_loss,
    reliability_bins,
)
from modeling_clipcaer.metrics.paired import (
    Difference,
    clips_for_interval,
    clips_to_see,
    mcnemar_test,
    paired_differences,
)
from modeling_clipcaer.metrics.predictions import predict_labels, predict_probabilities
from modeling_clipcaer.metrics.recalls import (
    absent_labels,
    bootstrap_confidence_intervals,
    compute_uar_war,
    confusion_matrix,
    macro_f1,
    per_class_scores,
    unweighted_average_recall,
    weighted_average_recall,
)


__all__ = [
    "Difference",
    "absent_labels",
    "accuracy_by_coverage",
    "bootstrap_confidence_intervals",
    "calibrate_temperature",
    "clips_for_interval",
    "clips_to_see",
    "compute_uar_war",
    "confusion_matrix",
    "expected_calibration_error",
    "macro_f1",
    "mcnemar_test",
    "mean_log_loss",
    "paired_differences",
    "per_class_scores",
    "predict_labels",
    "predict_probabilities",
    "reliability_bins",
    "unweighted_average_recall",
    "weighted_average_recall",
]
