"""Passes over all classes in blocks, which never hold the (batch, units) logits.

A pass makes the logits of a block by the head's own `plain_logits`, and reduces them to a few
numbers a row, from which the hooks of the head and the partition follow by autodiff. Its backward
pass makes the logits of a block again, and writes that block of the kernel's gradient. So four
matrix products take the place of three, and the memory beside the kernel and its gradient is that
of a few blocks.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads.column_blocks import compiled, over_columns, write_columns
from keras_vsoftmax.utils.gradients import (
    differentiable_once,
    value_and_pullback,
    with_gradient,
)

_ONCE = (
    "A head with block_size has no second derivatives: gradient penalties, and what else "
    "differentiates its gradients again, need a head without blocks. "
    "Received: a second derivative with block_size"
)

# A function that changes the logits is made anew at every training pass that is not traced.
_compiled = functools.partial(compiled, passing=lambda *args: args[-1].others is not None)


class Plan(NamedTuple):
    """What a pass computes.

    Attributes:
        head: The head, for `plain_logits`, `class_vectors`, and the variables that it reads there.
        block_size: Integer. Number of classes in a block.
        means: Whether the means over classes are wanted.
        norms: Whether the norms of the class vectors are wanted.
        others: Function of a block of logits z that gives z', or None.
    """

    head: Any
    block_size: int
    means: bool = False
    norms: bool = False
    others: Callable | None = None

    @property
    def columns(self):
        """The names of what a pass gives for each row, in order."""
        names = ["log_others", "highest", "label_logit"]
        names += ["label_norm"] if self.norms else []
        names += ["mean_others"] if self.means else []
        return names + (["mean_norm"] if self.means and self.norms else [])

    def logits(self, features, block, *values):
        """z of the classes of a block, with these values of the head's variables."""
        mapping = list(zip(variables(self.head), values))
        scope = keras.StatelessScope(state_mapping=mapping) if mapping else contextlib.nullcontext()
        with scope:
            return self.head.plain_logits(features, block)

    def block(self, kernel, start, width, dtype):
        """The columns of some classes, rounded to the compute dtype and held in `dtype`."""
        vectors = self.head.class_vectors
        shape = (kernel.shape[0], width * vectors)
        block = kops.slice(kernel, (0, start * vectors), shape)
        return kops.cast(kops.cast(block, self.head.compute_dtype), dtype)

    def classes(self, kernel):
        return kernel.shape[1] // self.head.class_vectors


def variables(head):
    """The variables besides the kernel on which the logits may depend: those of floats."""
    return [
        each
        for each in (*head.trainable_variables, *head.non_trainable_variables)
        if each is not head.kernel and "float" in keras.backend.standardize_dtype(each.dtype)
    ]


def sums(plan, features, kernel, ids, values, shifts=None):
    """What the loss needs of all classes, row by row.

        log_others   log sum_{j != y} exp(z'_j)
        highest      max_{j != y} z_j, through which no gradient flows
        label_logit  z_y
        label_norm   ||W_y||
        mean_others  sum_{j != y} z'_j / units
        mean_norm    sum_c ||W_c|| / units

    with z' = others(z), or z. Which of them are there is for the plan to say.

    Args:
        plan: A `Plan`.
        features: Float tensor (n, d), already rounded to the compute dtype.
        kernel: Float tensor (d, units * class_vectors). It is rounded block by block; its
            gradient is not.
        ids: int32 tensor (n,) with values in [0, units).
        values: Values of `variables(head)`.
        shifts: Float tensor (units,) that is added to z' in `log_others`, or None.

    Returns:
        A dict of float tensors (n,), of the dtype of the features.
    """
    count = 2 + len(values)  # of what has a gradient

    def apart(tensors):
        x, kernel, *values = (kops.stop_gradient(tensor) for tensor in tensors[:count])
        ids, *shift = tensors[count:]
        return x, kernel, tuple(values), ids, shift[0] if shift else None

    def forward(*tensors):
        # An eager TensorFlow tape records what happens in here, and cannot record the loop.
        output = _forward(*apart(tensors), plan)
        return differentiable_once(output, tensors[:count], _ONCE), output

    def backward(tensors, output, g):
        stopped = (kops.stop_gradient(each) for each in (output, g))
        by_x, by_kernel, by_values = _backward(*apart(tensors), *stopped, plan)
        gradients = (
            differentiable_once(each, (*tensors[:count], g), _ONCE)
            for each in (by_x, by_kernel, *by_values)
        )
        return *gradients, *(None for _ in tensors[count:])

    constants = (ids,) if shifts is None else (ids, kops.stop_gradient(shifts))
    output = with_gradient(forward, backward)(features, kernel, *values, *constants)
    found = {name: output[:, i] for i, name in enumerate(plan.columns)}
    return {**found, "highest": kops.stop_gradient(found["highest"])}


def classes(plan, features, kernel, values):
    """The id of the largest logit, the first one among equals.

    Args:
        plan, features, kernel, values: As for `sums`.

    Returns:
        int32 tensor (n,).
    """

    def step(start, width, carry):
        highest, ids = carry
        z = plan.logits(features, plan.block(kernel, start, width, features.dtype), *values)
        top = kops.max(z, axis=-1)
        block_ids = start + kops.cast(kops.argmax(z, axis=-1), "int32")
        return _larger(top, highest), kops.where(top > highest, block_ids, ids)

    highest = kops.full_like(features[:, 0], -float("inf"))
    carry = highest, kops.zeros_like(highest, dtype="int32")
    _, ids = over_columns(plan.classes(kernel), plan.block_size, step, carry)
    return ids


@_compiled
def _forward(x, kernel, values, ids, shifts, plan):
    """Returns the columns of the plan, (n, columns)."""
    units = plan.classes(kernel)
    lowest = kops.full_like(x[:, 0], -float("inf"))
    zeros = kops.zeros_like(x[:, 0])
    start_of = {"log_others": (lowest, zeros), "highest": lowest}
    carry = {name: start_of.get(name, zeros) for name in plan.columns}

    def step(start, width, carry):
        carry = dict(zip(plan.columns, carry))
        block = plan.block(kernel, start, width, x.dtype)
        z = plan.logits(x, block, *values)
        mask = numerics.label_mask(ids - start, width)
        masked = kops.where(mask, -float("inf"), z)
        highest = kops.max(masked, axis=-1)
        carry["highest"] = _larger(highest, carry["highest"])
        carry["label_logit"] = carry["label_logit"] + kops.sum(kops.where(mask, z, 0.0), axis=-1)
        if plan.others is not None:
            z = plan.others(z)
        if plan.others is not None or shifts is not None:
            masked = kops.where(mask, -float("inf"), _shifted(z, shifts, start, width))
            highest = kops.max(masked, axis=-1)
        carry["log_others"] = _added(masked, highest, *carry["log_others"])
        if plan.means:
            block_sum = kops.sum(kops.where(mask, 0.0, z), axis=-1)
            carry["mean_others"] = carry["mean_others"] + block_sum
        if plan.norms:
            norms = numerics.norm(block, axis=0)
            picked = kops.sum(kops.where(mask, norms, 0.0), axis=-1)
            carry["label_norm"] = carry["label_norm"] + picked
        if plan.norms and plan.means:
            carry["mean_norm"] = carry["mean_norm"] + kops.sum(norms)
        return tuple(carry.values())

    found = over_columns(units, plan.block_size, step, tuple(carry.values()))
    found = dict(zip(plan.columns, found))
    top, total = found["log_others"]
    found["log_others"] = top + kops.log(total)
    for name in ("mean_others", "mean_norm"):
        if name in found:
            found[name] = found[name] / units
    return kops.stack(list(found.values()), axis=-1)


def _shifted(z, shifts, start, width):
    return z if shifts is None else z + kops.slice(shifts, (start,), (width,))


def _added(masked, block_top, top, total):
    """A running sum of exponentials, relative to a running top, with a block more."""
    new_top = _larger(block_top, top)
    # A first block that holds the label alone has no top.
    centre = kops.where(new_top > -float("inf"), new_top, kops.zeros_like(new_top))
    block_total = kops.sum(kops.exp(masked - kops.expand_dims(centre, -1)), axis=-1)
    return new_top, total * kops.exp(top - centre) + block_total


@_compiled
def _backward(x, kernel, values, ids, shifts, output, g, plan):
    """Gradients of the sum of g . output to x, to the kernel, and to each of the values."""
    units = plan.classes(kernel)
    found = {name: output[:, i] for i, name in enumerate(plan.columns)}
    g = {name: g[:, i] for i, name in enumerate(plan.columns)}
    log_others, weight, by_label = (
        kops.expand_dims(each, -1)
        for each in (found["log_others"], g["log_others"], g["label_logit"])
    )
    if plan.norms:
        # The gradient to W_c is W_c times these, and divided by ||W_c||.
        factors = numerics.divide_or_zero(g["label_norm"], found["label_norm"])
        label_factor = numerics.segment_sum(factors, ids, units)

    def step(start, width, carry):
        by_x, by_kernel, by_values = carry
        block = plan.block(kernel, start, width, x.dtype)
        mask = numerics.label_mask(ids - start, width)
        z, pullback = value_and_pullback(plan.logits, x, block, *values)
        changed, pullback_others = z, None
        if plan.others is not None:
            changed, pullback_others = value_and_pullback(plan.others, z)
        by_z = weight * kops.exp(_shifted(changed, shifts, start, width) - log_others)
        if plan.means:
            by_z = by_z + kops.expand_dims(g["mean_others"] / units, -1)
        if pullback_others is not None:
            (by_z,) = pullback_others(kops.where(mask, 0.0, by_z))
        by_z = kops.where(mask, by_label, by_z)
        block_by_x, by_block, *block_by_values = pullback(by_z)
        if plan.norms:
            factor = kops.slice(label_factor, (start,), (width,))
            if plan.means:
                every = kops.sum(g["mean_norm"]) / units
                factor = factor + numerics.divide_or_zero(every, numerics.norm(block, axis=0))
            by_block = by_block + block * factor
        by_block = kops.cast(by_block, kernel.dtype)
        by_kernel = write_columns(by_kernel, start * plan.head.class_vectors, by_block)
        by_values = tuple(a + b for a, b in zip(by_values, block_by_values))
        return by_x + block_by_x, by_kernel, by_values

    by_values = tuple(kops.zeros_like(value) for value in values)
    carry = kops.zeros_like(x), kops.zeros_like(kernel), by_values
    return over_columns(units, plan.block_size, step, carry)


def _larger(a, b):
    # `keras.ops.maximum` computes in float32 under float64 on torch.
    return kops.where(a > b, a, b)
