"""Gradients that are written out by hand, and right when they are differentiated again."""

import keras
from keras import ops


def with_gradient(forward, backward):
    """A function of tensors with a gradient of its own, which can be differentiated again.

    TensorFlow and JAX follow what the backward pass computes from, whichever pass made it. Torch
    makes what the forward pass keeps without a graph: a gradient penalty would miss all that
    depends on it. Where torch is asked for a graph of the backward pass (`create_graph=True`),
    it is made again, from the inputs.

    Args:
        forward: Function of the tensors that returns `(output, kept)`. It must be such that
            autodiff of `kept` is right: no square root of zero, for one.
        backward: Function `(tensors, kept, upstream)` that returns a tuple of gradients, one for
            each of the tensors, and None for those that have none.

    Returns:
        A function of the tensors that returns the output, a single tensor.

    Example:

    >>> from keras import ops
    >>> cube = with_gradient(lambda x: (x**3, x * x), lambda xs, kept, g: (3 * g * kept,))
    >>> float(cube(ops.convert_to_tensor(2.0)))
    8.0
    """

    @ops.custom_gradient
    def run(*tensors):
        output, kept = forward(*tensors)

        def gradient(*args, upstream=None):
            if upstream is None:  # by position, but on torch
                return backward(tensors, kept, args[-1])
            again = forward(*args)[1] if _torch_records() else kept
            return backward(args, again, upstream)

        return output, gradient

    return run


def differentiable_once(value, tensors, reason):
    """A gradient, as a tensor whose own gradient is an error.

    For a backward pass that autodiff cannot follow, where it would give zero or None.

    Args:
        value: Float tensor.
        tensors: Float tensors on which it depends.
        reason: What the error says.

    Returns:
        Float tensor, the value.

    Raises:
        NotImplementedError: When it is differentiated.
    """

    @ops.custom_gradient
    def run(value, *tensors):
        def gradient(*args, upstream=None):
            raise NotImplementedError(reason)

        return value, gradient

    return run(ops.stop_gradient(value), *tensors)


def _torch_records():
    if keras.backend.backend() != "torch":
        return False
    import torch

    return torch.is_grad_enabled()
