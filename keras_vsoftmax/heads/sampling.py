"""A sample of the classes in the place of all of them, drawn anew at every training step."""

import math
import random
from typing import Any, NamedTuple

import keras
from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.distributed import replica, steps
from keras_vsoftmax.heads.checks import check_range, is_integer, no_softmax
from keras_vsoftmax.heads.column_blocks import compiled
from keras_vsoftmax.heads.step_seed import StepSeed
from keras_vsoftmax.utils.gradients import with_gradient


class Sample(NamedTuple):
    """The sampled classes of a step, as a head of so many classes."""

    kernel: Any  # (d, size * class_vectors), their columns
    ids: Any  # int32 (n,), the place of each row's label among them
    found: Any  # bool (n,), False where the label had no place among them
    shifts: Any  # (size,), what is added to each logit under the sum of exponentials, or None


class ClassSampler(keras.layers.Layer):
    """Draws the classes of a training step: all labels of the global batch, and others.

        size = ceil(rate * units) classes in all, P of them labels of the batch
        shift = log((units - P) / (size - P)) for the others, with `correction`

    The others are drawn uniformly, without putting back. The draw is a function of the seed and
    of the step, a training forward pass, which is a saved weight: a resumed run draws on where it
    was, and all replicas draw alike.

    Args:
        units: Integer. Number of classes.
        rate: Float in (0, 1).
        correction: Boolean.
        seed: Integer, or None for one drawn at construction.
    """

    def __init__(self, units, rate, correction=False, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.size = max(2, math.ceil(rate * units - 1e-9 * units))
        self.correction = correction
        # Python's generator is one of those that keras.utils.set_random_seed seeds.
        self.seed = random.randrange(2**31) if seed is None else seed

    def build(self, input_shape=None):
        self.step = steps.add_counter(self)

    def load_own_variables(self, store):
        if "0" in store:  # a head that was saved without sampling begins at step 0
            super().load_own_variables(store)

    def sample(self, kernel, ids):
        """The classes of the next step.

        Args:
            kernel: Float tensor (d, units * class_vectors).
            ids: int32 tensor (n,), the labels of this replica.

        Returns:
            A `Sample`.
        """
        self._check_rows(ids.shape[0])
        classes, places, taken, positive = self.draw(steps.count_one(self.step), ids)
        at = kops.take(places, ids)
        found = kops.take(taken, ids)
        return Sample(
            kernel=_columns(kernel, classes, kops.where(taken, places, self.size), self.units),
            ids=kops.where(found, at, 0),
            found=found,
            shifts=self._shifts(positive, classes, kernel.dtype) if self.correction else None,
        )

    def draw(self, step, ids):
        """The classes of one step.

        Args:
            step: Integer tensor.
            ids: int32 tensor (n,), the labels of this replica.

        Returns:
            `(classes, places, taken, positive)`: the sampled ids (size,), ascending; and for each
            class its place among them, whether it is there, and whether it is a label (units,).
        """
        every = replica.gathered(ids) if replica.count() > 1 else ids
        positive = self._marked(every)
        draws = _uniform(step, self.seed, self.units)
        _, classes = kops.top_k(kops.where(positive, 2.0, draws), self.size)
        classes = kops.sort(kops.cast(classes, "int32"))
        taken = self._marked(classes)
        places = kops.cumsum(kops.cast(taken, "int32")) - 1
        return classes, kops.cast(places, "int32"), taken, positive

    def _marked(self, ids):
        """Boolean (units,): True where a class is among the ids."""
        ones = kops.ones_like(ids, dtype="float32")
        return numerics.segment_sum(ones, ids, self.units) > 0

    def _shifts(self, positive, classes, dtype):
        labels = kops.sum(kops.cast(positive, dtype))
        others = self.size - labels
        shift = kops.log((self.units - labels) / kops.where(others > 0, others, 1.0))
        picked = kops.take(positive, classes)
        return kops.where(picked, kops.zeros_like(shift), shift)

    def _check_rows(self, rows):
        rows = None if rows is None else rows * replica.count()
        if rows is not None and rows > self.size:
            raise ValueError(
                f"A sample of {self.size} of {self.units} classes cannot hold the labels of every "
                f"batch of {rows} rows: raise class_sampling, or make the batch smaller. Received: "
                f"class_sampling={self.size / self.units:g} with {rows} rows"
            )


def sampler_of(head, rate, correction, seed):
    """The sampler of a head, or None where all classes are taken; the arguments are checked.

    Args:
        head: The head, which has its other arguments already.
        rate, correction, seed: `class_sampling`, `sampling_correction` and `sampling_seed`.
    """
    if rate is None:
        return None
    check_range("class_sampling", rate, above=0, high=1)
    if not isinstance(correction, bool):
        raise ValueError(
            "`sampling_correction` must be True or False. "
            f"Received: sampling_correction={correction!r}"
        )
    if seed is not None and not is_integer(seed):
        raise ValueError(
            f"`sampling_seed` must be an integer, or None. Received: sampling_seed={seed!r}"
        )
    if not head.is_softmax:
        raise no_softmax(head, "class_sampling", rate)
    if head.label_smoothing:
        raise ValueError(
            "`class_sampling` takes no `label_smoothing`, which is a mean over all classes. "
            f"Received: class_sampling={rate}, label_smoothing={head.label_smoothing}"
        )
    if rate == 1:
        return None
    return ClassSampler(head.units, rate, correction, seed, name=f"{head.name}_sampler")


def _columns(kernel, classes, places, units):
    """The columns of some classes; `places` is the way back, with len(classes) for the others."""
    vectors = kernel.shape[1] // units

    def forward(kernel, classes, places):
        return _looked_up(kernel, classes, vectors), None

    def backward(tensors, _, g):
        # A look-up of the place of each column writes the gradient once, where a scatter writes
        # zeros first, and TensorFlow's own gradient of this gather transposes the kernel.
        g = kops.concatenate([g, kops.zeros_like(g[:, :vectors])], axis=1)
        return _looked_up(g, tensors[2], vectors), None, None

    return with_gradient(forward, backward)(kernel, classes, places)


@compiled
def _uniform(step, seed, count):
    """Numbers from 0 to 1; compiled, since TensorFlow draws others in a step that is not."""
    return keras.random.uniform((count,), dtype="float32", seed=StepSeed(seed, step))


@compiled
def _looked_up(columns, classes, vectors):
    """The columns of some classes, of which each has so many; TensorFlow alone takes long."""
    by_class = kops.reshape(columns, (columns.shape[0], -1, vectors))
    return kops.reshape(kops.take(by_class, classes, axis=1), (columns.shape[0], -1))
