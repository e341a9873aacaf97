import numpy as np
import pytest

from modeling_clipcaer.errors import InputError
from modeling_clipcaer.metrics import mean_log_loss, predict_probabilities
from modeling_clipcaer.metrics.ensembles import average_answers


def test_the_answer_is_the_mean_probability():
    first, second = np.log([[0.9, 0.1]]) + 3, np.log([[0.3, 0.7]]) - 5  # logits are known up to a constant
    np.testing.assert_allclose(np.exp(average_answers([first, second])), [[0.6, 0.4]])
    np.testing.assert_allclose(predict_probabilities(average_answers([first, second])), [[0.6, 0.4]])


def test_one_answer_stays_as_it_is_and_equal_ones_say_the_same():
    logits = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert average_answers([logits]) is logits
    np.testing.assert_allclose(
        predict_probabilities(average_answers([logits, logits + 1])), predict_probabilities(logits), rtol=1e-6
    )


def test_sure_answers_do_not_overflow_and_the_loss_is_at_most_the_members_mean():
    np.testing.assert_allclose(average_answers([[[1e4, 0.0]], [[0.0, 1e4]]]), np.log([[0.5, 0.5]]))
    draws, references = np.random.default_rng(1).normal(size=(3, 40, 4)) * 3, np.arange(40) % 4
    assert mean_log_loss(average_answers(draws), references) < np.mean([mean_log_loss(z, references) for z in draws])


def test_members_of_other_labels_or_none_are_refused():
    with pytest.raises(InputError, match="the same clips and labels"):
        average_answers([np.zeros((2, 3)), np.zeros((2, 4))])
    with pytest.raises(InputError, match="the same clips and labels"):
        average_answers([])
