"""Which Keras and backend the tests run on, and gradients on it as NumPy arrays."""

import contextlib

import keras
import numpy as np

BACKEND = keras.backend.backend()
KERAS = tuple(int(part) for part in keras.__version__.split(".")[:2])


def float64_allowed():
    """A context in which the backend computes in float64."""
    if BACKEND == "jax":
        import jax

        return jax.enable_x64(True)
    return contextlib.nullcontext()


def value_and_gradients(function, *arrays):
    """Returns function(*tensors) as NumPy, and the gradients of its sum to each array."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(*tensors)
            total = tf.reduce_sum(value)
        gradients = tape.gradient(total, tensors, unconnected_gradients="zero")
        gradients = [tf.convert_to_tensor(g) for g in gradients]
    elif BACKEND == "jax":
        import jax

        def total_and_value(*tensors):
            value = function(*tensors)
            return value.sum(), value

        grad = jax.grad(total_and_value, argnums=tuple(range(len(arrays))), has_aux=True)
        gradients, value = grad(*[jax.numpy.asarray(array) for array in arrays])
    else:
        import torch

        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        value = function(*tensors)
        value.sum().backward()
        gradients = [torch.zeros_like(t) if t.grad is None else t.grad for t in tensors]
        value = value.detach()
    to_numpy = keras.ops.convert_to_numpy
    return to_numpy(value), [to_numpy(gradient) for gradient in gradients]


def call_head(head, kernel, features, labels, training=True):
    """The head's output with another kernel in its place, differentiable in the kernel."""
    non_trainable = [variable.value for variable in head.non_trainable_variables]
    others = [variable.value for variable in head.trainable_variables[1:]]
    output, _ = head.stateless_call(
        [kernel, *others], non_trainable, features, labels, training=training
    )
    return output


def losses_and_gradients(head, kernel, features, labels, loss=None):
    """Losses of each row in training, and the gradients of their sum to features and kernel."""
    from keras_vsoftmax import VirtualSoftmaxLoss

    loss = loss or VirtualSoftmaxLoss(reduction=None)
    if not head.built:
        head.build(features.shape)

    def function(features, kernel):
        return loss(labels, call_head(head, kernel, features, labels))

    value, (by_features, by_kernel) = value_and_gradients(function, features, kernel)
    return np.asarray(value), by_features, by_kernel


def penalty_and_gradients(function, *arrays, compiled=False):
    """The sum of squares of the gradients of sum(function), and the gradients of that sum."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        def penalty(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                total = tf.reduce_sum(function(*tensors))
            gradients = tape.gradient(total, tensors)
            return sum(tf.reduce_sum(tf.square(gradient)) for gradient in gradients)

        def value_and_grads(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                value = penalty(*tensors)
            return value, tape.gradient(value, tensors)

        if compiled:
            value_and_grads = tf.function(value_and_grads, jit_compile=True)
        value, gradients = value_and_grads(*[tf.convert_to_tensor(array) for array in arrays])
    elif BACKEND == "jax":
        import jax

        every = tuple(range(len(arrays)))

        def penalty(*tensors):
            gradients = jax.grad(lambda *given: function(*given).sum(), every)(*tensors)
            return sum((gradient**2).sum() for gradient in gradients)

        value_and_grads = jax.value_and_grad(penalty, every)
        if compiled:
            value_and_grads = jax.jit(value_and_grads)
        value, gradients = value_and_grads(*[jax.numpy.asarray(array) for array in arrays])
    else:
        import torch

        tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
        first = torch.autograd.grad(function(*tensors).sum(), tensors, create_graph=True)
        value = sum((gradient * gradient).sum() for gradient in first)
        gradients = torch.autograd.grad(value, tensors)
        value = value.detach()
    to_numpy = keras.ops.convert_to_numpy
    return float(to_numpy(value)), [to_numpy(gradient) for gradient in gradients]
