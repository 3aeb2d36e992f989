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
from keras_vsoftmax.keras_gaps.searching import searchsorted
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
    was, and all replicas draw alike. After `split` each part of the classes is drawn by itself,
    with the same formulas.

    Args:
        units: Integer. Number of classes.
        rate: Float in (0, 1).
        correction: Boolean.
        seed: Integer, or None for one drawn at construction.
    """

    def __init__(self, units, rate, correction=False, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.rate = rate
        self.parts, self._placed = 1, lambda by_part: by_part
        self.correction = correction
        # Python's generator is one of those that keras.utils.set_random_seed seeds.
        self.seed = random.randrange(2**31) if seed is None else seed

    def split(self, parts, placed=lambda by_part: by_part):
        """Has every draw take the same number of classes from each of so many equal parts.

        Where the classes are split over devices, each then looks up columns of its own, and none
        travels. A sample has `ceil(rate * units / parts)` classes of each part, which must have
        room for all labels of a batch.

        Args:
            parts: Integer that divides `units`.
            placed: Function that lays a tensor (parts, ...) out over the devices of the parts.
        """
        self.parts, self._placed = parts, placed

    @property
    def part_size(self):
        """How many classes of each part are in a sample."""
        share = self.rate * self.units / self.parts
        return max(2 if self.parts == 1 else 1, math.ceil(share - 1e-9 * self.units))

    @property
    def size(self):
        """How many classes are in a sample."""
        return self.parts * self.part_size

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
        if ids.shape[0] is not None:
            self.check_rows(ids.shape[0] * replica.count())
        classes, places, taken, positive = self.draw(steps.count_one(self.step), ids)
        # Among the sampled ids, and not in `places`, which devices would have to send whole.
        at = kops.minimum(searchsorted(classes, ids), self.size - 1)
        found = kops.equal(kops.take(classes, at), ids)
        back = kops.where(taken, places, -1)
        return Sample(
            kernel=_columns(kernel, classes, back, self.units, self.parts),
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
        draws = kops.where(positive, 2.0, _uniform(step, self.seed, self.units))
        classes = _highest(self._by_part(draws), self.part_size)
        first = _firsts(self.parts, self.units // self.parts)
        classes = kops.reshape(kops.sort(kops.cast(classes, "int32"), axis=1) + first, (-1,))
        taken = self._marked(classes)
        places = kops.cumsum(kops.cast(self._by_part(taken), "int32"), axis=1) - 1
        places = kops.cast(places, "int32") + _firsts(self.parts, self.part_size)
        return classes, kops.reshape(places, (-1,)), taken, positive

    def _by_part(self, x):
        return self._placed(kops.reshape(x, (self.parts, -1)))

    def _marked(self, ids):
        """Boolean (units,): True where a class is among the ids."""
        ones = kops.ones_like(ids, dtype="float32")
        return numerics.segment_sum(ones, ids, self.units) > 0

    def _shifts(self, positive, classes, dtype):
        labels = kops.sum(kops.cast(self._by_part(positive), dtype), axis=1, keepdims=True)
        others = self.part_size - labels
        all_others = self.units // self.parts - labels
        shift = kops.log(all_others / kops.where(others > 0, others, 1.0))
        picked = self._by_part(kops.take(positive, classes))
        return kops.reshape(kops.where(picked, kops.zeros_like(shift), shift), (-1,))

    def check_fit(self, shape, rank, batch_size, validation_split):
        """Refuse before the first step what, in steps of unknown size, shows as rows that are NaN.

        Args:
            shape: Tuple, (samples, ...) of the labels.
            rank: Integer, the dimensions that ids have; None before the first step.
            batch_size, validation_split: As for `keras.Model.fit`.
        """
        samples = min(int(shape[0] * (1 - validation_split)), batch_size or 32)  # Keras's own size
        if rank is None and shape[-1] == self.units:  # one-hot rows
            rank = max(1, len(shape) - 1)
        self.check_rows(samples * math.prod(shape[1:rank]))

    def check_rows(self, rows):
        """Raises a ValueError unless a sample can hold the labels of so many rows, all different.

        Args:
            rows: Integer, rows of the global batch.
        """
        if rows <= self.part_size:
            return
        parts = "" if self.parts == 1 else f", {self.part_size} from each of {self.parts} parts,"
        raise ValueError(
            f"A sample of {self.size} of {self.units} classes{parts} cannot hold the labels of "
            f"every batch of {rows} rows: raise class_sampling, or make the batch smaller. "
            f"Received: class_sampling={self.rate:g} with {rows} rows"
        )


def sampler_of(head, rate, correction, seed):
    """The sampler of a head, or None where all classes are taken; the arguments are checked.

    Args:
        head: The head, which has its other arguments already.
        rate, correction, seed: `class_sampling`, `sampling_correction` and `sampling_seed`.
    """
    if not isinstance(correction, bool):
        raise ValueError(
            "`sampling_correction` must be True or False. "
            f"Received: sampling_correction={correction!r}"
        )
    if seed is not None and not is_integer(seed):
        raise ValueError(
            f"`sampling_seed` must be an integer, or None. Received: sampling_seed={seed!r}"
        )
    if rate is None:
        if correction:
            raise ValueError(
                "`sampling_correction` needs `class_sampling`, the share of the classes that is "
                "drawn. Received: sampling_correction=True, class_sampling=None"
            )
        return None
    check_range("class_sampling", rate, above=0, high=1)
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


def _columns(kernel, classes, places, units, parts):
    """The columns of some classes; `places` is the way back, with -1 for the others."""
    vectors = kernel.shape[1] // units
    size = classes.shape[0] // parts
    # Each part is looked up in itself, and behind the columns of a gradient stand zeros.
    classes = kops.reshape(classes, (parts, -1)) - _firsts(parts, units // parts)
    places = kops.reshape(places, (parts, -1))
    places = kops.where(places < 0, size, places - _firsts(parts, size))

    def forward(kernel, classes, places):
        return _looked_up(kernel, classes, vectors, False), None

    def backward(tensors, _, g):
        # A look-up of the place of each column writes the gradient once, where a scatter writes
        # zeros first, and TensorFlow's own gradient of this gather transposes the kernel.
        return _looked_up(g, tensors[2], vectors, True), None, None

    return with_gradient(forward, backward)(kernel, classes, places)


def _firsts(parts, width):
    """The first of the columns of each part, int32 (parts, 1)."""
    return kops.expand_dims(width * kops.arange(parts, dtype="int32"), 1)


def _highest(draws, count):
    """The places of the highest numbers of each row."""
    if draws.shape[0] == 1:
        return kops.top_k(draws, count)[1]
    # XLA splits a sort over the devices of the rows, and gathers all of them for a top-k.
    return kops.argsort(-draws, axis=1)[:, :count]


@compiled
def _uniform(step, seed, count):
    """Numbers from 0 to 1; compiled, since TensorFlow draws others in a step that is not."""
    return keras.random.uniform((count,), dtype="float32", seed=StepSeed(seed, step))


@compiled
def _looked_up(columns, classes, vectors, zeros):
    """The columns of some classes of each part; compiled, since TensorFlow alone takes long.

    Args:
        columns: Float tensor (d, parts * width * vectors).
        classes: int32 tensor (parts, n) with values in [0, width), or `width` for zeros.
        vectors: Integer. Columns of a class.
        zeros: Boolean. Whether there is a class of zeros behind those of each part.

    Returns:
        Float tensor (d, parts * n * vectors).
    """
    dim, parts = columns.shape[0], classes.shape[0]
    by_class = kops.reshape(columns, (dim, parts, -1, vectors))
    if zeros:
        by_class = kops.concatenate([by_class, kops.zeros_like(by_class[:, :, :1])], axis=2)
    if parts == 1:
        found = kops.take(by_class[:, 0], classes[0], axis=1)
    else:
        found = kops.take_along_axis(by_class, classes[None, :, :, None], axis=2)
    return kops.reshape(found, (dim, -1))
