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
        if keras.backend.backend() == "torch":
            kept = _apart(kept, output)

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


def value_and_pullback(function, *tensors):
    """The value of a function, and what takes a gradient of the value to those of its arguments.

    It may stand in a loop, and in the backward pass of another function. What it gives cannot be
    differentiated again.

    Args:
        function: Function of the tensors that returns a float tensor.
        *tensors: Float tensors.

    Returns:
        `(value, pullback)`; `pullback(gradient)` is a tuple of gradients, one for each tensor, 0
        where the value does not depend on it. It is called once.

    Example:

    >>> from keras import ops
    >>> value, pullback = value_and_pullback(lambda x: x * x, ops.convert_to_tensor(3.0))
    >>> float(value), float(pullback(ops.ones_like(value))[0])
    (9.0, 6.0)
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.vjp(function, *tensors)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
        zero = tf.UnconnectedGradients.ZERO
        return value, lambda g: tuple(
            tape.gradient(value, tensors, output_gradients=g, unconnected_gradients=zero)
        )
    import torch

    with torch.enable_grad():
        tensors = [tensor.detach().requires_grad_() for tensor in tensors]
        value = function(*tensors)

    def pullback(g):
        gradients = torch.autograd.grad(value, tensors, g, allow_unused=True)
        return tuple(torch.zeros_like(t) if g is None else g for t, g in zip(tensors, gradients))

    return value.detach(), pullback


def after(tensor, *first):
    """The tensor, given out when others are there.

    A graph of TensorFlow computes what it can as early as it can, large gradients among them
    that nothing needs before the forward pass is over, and what comes twice only once, which it
    then holds. The other backends have an order.

    Args:
        tensor: Tensor.
        *first: Tensors.

    Returns:
        `tensor`.
    """
    if keras.backend.backend() != "tensorflow":
        return tensor
    import tensorflow as tf

    with tf.control_dependencies(first):
        return tf.identity(tensor)


def _apart(kept, output):
    """What the forward pass keeps, without the very object that it gives out.

    Torch hangs the gradient on the output. A gradient that keeps the output is a cycle, which
    holds the step's memory until Python's collector comes, and that counts objects and not bytes.
    """
    if kept is output:
        return output.detach()
    if isinstance(kept, dict):
        return {key: _apart(each, output) for key, each in kept.items()}
    if isinstance(kept, (tuple, list)):
        parts = [_apart(each, output) for each in kept]
        return type(kept)(*parts) if hasattr(kept, "_fields") else type(kept)(parts)
    return kept


def _torch_records():
    if keras.backend.backend() != "torch":
        return False
    import torch

    return torch.is_grad_enabled()
