"""Some classes to train on, the others to search among: what an embedding is worth beyond."""

import dataclasses

import numpy as np

from keras_vsoftmax.experiments.data.image_sets import ImageSet
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.retrieval import (
    class_cosines,
    cluster_agreement,
    embed,
    pair_auc,
    retrieval_metrics,
)


@dataclasses.dataclass(frozen=True)
class UnseenSet(ImageSet):
    """Images of classes that are trained on, and of classes that are only searched.

    Args:
        x_unseen, y_unseen: images and ids of the latter, at least two images of each of two
            classes.
    """

    x_unseen: np.ndarray
    y_unseen: np.ndarray

    def identity(self):
        return {
            **super().identity(),
            "unseen_images": len(self.x_unseen),
            "unseen_classes": len(np.unique(self.y_unseen)),
        }

    def measure(self, model, batch_size, folder):
        """Retrieval among the unseen images, leave-one-out, by the cosine."""
        embeddings = embed(model, self.x_unseen, batch_size)
        found = retrieval_metrics(embeddings, self.y_unseen)
        intra, nearest_other = class_cosines(embeddings, self.y_unseen)
        return {
            **super().measure(model, batch_size, folder),
            "retrieval": {
                **found.to_dict(),
                "pair_auc": pair_auc(embeddings, self.y_unseen),
                **cluster_agreement(embeddings, self.y_unseen),
                "intra": intra,
                "nearest_other": nearest_other,
                "queries": found.queries,
                "left_out": found.left_out,
            },
        }


def leave_out(images, unseen, search_all=False):
    """Leave the last classes of an image set out of training, and search among their images.

    Args:
        images: an `ImageSet`.
        unseen: int, how many classes are left out; at least 2, and 2 are left to train on.
        search_all: whether to search among all of their images, and not the test images alone.

    Returns:
        An `UnseenSet`, whose seen classes keep their ids.

    Raises:
        ExperimentError: for a number out of range, or too few images on one of the sides.
    """
    seen = images.classes - unseen
    if unseen < 2 or seen < 2:
        raise ExperimentError(
            f"At least 2 of the {images.classes} classes must be left out, and 2 trained on. "
            f"Received: {unseen} left out"
        )
    train, test = images.y_train < seen, images.y_test < seen
    x_unseen, y_unseen = images.x_test[~test], images.y_test[~test]
    if search_all:
        x_unseen = np.concatenate([images.x_train[~train], x_unseen])
        y_unseen = np.concatenate([images.y_train[~train], y_unseen])
    _, sizes = np.unique(y_unseen, return_counts=True)
    if np.sum(sizes > 1) < 2 or not (train.any() and test.any()):
        raise ExperimentError(
            f"{images.source}: needs images of the first {seen} classes to train and to test on, "
            "and two images of two of the others to search. "
            f"Received: {train.sum()}, {test.sum()} and {sizes.sum()}"
        )
    return UnseenSet(
        images.x_train[train],
        images.y_train[train],
        images.x_test[test],
        images.y_test[test],
        seen,
        images.source,
        x_unseen,
        y_unseen,
    )
