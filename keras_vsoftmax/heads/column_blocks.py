"""How each backend goes over blocks of columns, and fills a large array block by block.

A functional update of a part copies the whole array unless a compiler sees that the old one is
not needed any more. JAX's loops are always compiled. TensorFlow 2.21 copies in a graph, with
`tensor_scatter_nd_update` as with `dynamic_update_slice`, and does not where XLA compiles the
loop; Keras's torch backend clones, where torch itself would write in place.
"""

import functools

import keras
from keras import ops


def over_columns(columns, block_size, step, carry):
    """Runs `carry = step(start, width, carry)` for one block of columns after the other.

    Args:
        columns: Number of columns.
        block_size: Width of a block; the last one has what is left.
        step: Function of a start (a tensor or an integer), a width (an integer), and the carry.
        carry: Tensors.

    Returns:
        The last carry.
    """
    full, rest = divmod(columns, block_size)
    if full == 1:
        carry = step(0, block_size, carry)
    elif full:
        carry = ops.fori_loop(
            0, full, lambda i, carry: step(i * block_size, block_size, carry), carry
        )
    return step(full * block_size, rest, carry) if rest else carry


def write_columns(array, start, block):
    """The array with a block in place of its columns from `start` on; the old one is used up."""
    if keras.backend.backend() == "torch":
        array[:, start : start + block.shape[1]] = block
        return array
    return ops.slice_update(array, (0, start), block)


def compiled(function, passing=lambda *args: False):
    """Decorator: has XLA compile a function of tensors and Python values, on TensorFlow.

    What was compiled is kept for calls with the same Python values, but where `passing(*args)`
    says that they will not come again.
    """
    if keras.backend.backend() != "tensorflow":
        return function

    def compile_once():
        import tensorflow as tf

        return tf.function(function, jit_compile=True, autograph=False)

    kept = functools.cache(compile_once)

    @functools.wraps(function)
    def run(*args):
        return (compile_once if passing(*args) else kept)()(*args)

    return run
