"""UAR and WAR for `evaluate.load`: those of `modeling_clipcaer.metrics`, by which training and evaluation go too."""

import datasets
import evaluate

from modeling_clipcaer.metrics import unweighted_average_recall, weighted_average_recall


_DESCRIPTION = """\
Unweighted and weighted average recall, the figures of emotion recognition on unbalanced data.
UAR is the mean recall over the labels that occur in the references; WAR is the accuracy.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions (`list` of `int`): predicted labels.
    references (`list` of `int`): true labels.
    num_labels (`int`, *optional*): labels that exist; one outside 0 … num_labels - 1 is then an error.

Returns:
    uar (`float`): between 0 and 1.
    war (`float`): between 0 and 1.

Examples:
    >>> metric = evaluate.load("metrics/uar_war")
    >>> metric.compute(references=[0, 0, 0, 1], predictions=[0, 0, 0, 0])
    {'uar': 0.5, 'war': 0.75}
"""


class UarWar(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions, references, num_labels=None):
        return {
            "uar": unweighted_average_recall(references, predictions, num_labels),
            "war": weighted_average_recall(references, predictions, num_labels),
        }
