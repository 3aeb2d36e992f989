"""The mark by which Keras's cross-entropies find the logits behind a softmax."""

import contextlib


def mark_as_logits(output):
    """Let the guard see a cross-entropy that takes the output for probabilities.

    What Keras lacks (3.10 to 3.15): on TensorFlow its cross-entropies clip what they are told are
    probabilities to [0, 1], so that nothing would train from log-probabilities, without a word.
    Relied upon: they work on the tensor that they find in the attribute `_keras_logits` instead.
    """
    with contextlib.suppress(AttributeError):  # where JAX traces
        output._keras_logits = output
