"""People to train on, and others who are enrolled and identified, with strangers among them."""

import dataclasses
import math
import os

import numpy as np

from keras_vsoftmax.experiments.data.face_images import FaceTree
from keras_vsoftmax.experiments.data.face_sets import FaceSet
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.identification import Gallery, false_accept_interval
from keras_vsoftmax.utils.thresholds import allowed
from keras_vsoftmax.verification import embed_images


@dataclasses.dataclass(frozen=True, eq=False)
class FaceGallerySet(FaceSet):
    """People to train on, and a tree of others to identify after the last epoch.

    Where `tests` has pairs, they are verified as well, with the same model.

    Of the others, those with more than `enroll` images are known: the first ones are enrolled,
    the rest are queries. The others are strangers. Every second stranger calibrates the
    threshold, the others are queries.

    Args:
        others: `FaceTree` of people who are not trained on.
        enroll: int, how many images of a person are enrolled.
        far: float, the false-accept rate that the threshold is chosen for.
        flip: see `embed_images`.

    Raises:
        ExperimentError: a person is on both sides, or there are too few known or strangers.
    """

    others: FaceTree
    enroll: int
    far: float
    flip: bool = True

    def __post_init__(self):
        super().__post_init__()
        both = set(self.tree.people) & set(self.others.people)
        if both:
            raise ExperimentError(
                f"{len(both)} people are trained on and identified: {', '.join(sorted(both)[:5])}"
            )
        parts = self.parts()
        calibrating = int(parts["calibrate"].sum())
        strangers = int(parts["strangers"].sum())
        known = len(np.unique(self.others.labels[parts["enroll"]]))
        if known < 2 or not allowed(self.far, calibrating) or not strangers:
            raise ExperimentError(
                f"{self.others.root}: needs 2 people with more than {self.enroll} images, and of "
                f"people with {self.enroll} at most {math.ceil(1 / self.far)} images to calibrate "
                f"on, and some more as queries. Received: {known} people to enrol, {calibrating} "
                f"images to calibrate on, {strangers} queries of strangers"
            )

    def __str__(self):
        counts = {name: int(part.sum()) for name, part in self.parts().items()}
        known = len(np.unique(self.others.labels[self.parts()["enroll"]]))
        return (
            f"{super().__str__()}\nIdentify: {known:,} people enrolled by {counts['enroll']:,} "
            f"images, {counts['known']:,} queries of them; {counts['strangers']:,} of strangers, "
            f"{counts['calibrate']:,} of others for the threshold; nobody is trained on"
        )

    def parts(self):
        """Bool arrays over the images of `others`: `enroll`, `known`, `calibrate`, `strangers`."""
        labels = self.others.labels
        sizes = np.bincount(labels)
        place = np.arange(len(labels)) - np.searchsorted(labels, labels)  # within a person
        known = sizes[labels] > self.enroll
        # Strangers alternate in the order of their names.
        second = np.cumsum(sizes <= self.enroll)[labels] % 2 == 0
        return {
            "enroll": known & (place < self.enroll),
            "known": known & (place >= self.enroll),
            "calibrate": ~known & ~second,
            "strangers": ~known & second,
        }

    def identity(self):
        counts = {name: int(part.sum()) for name, part in self.parts().items()}
        return {
            **super().identity(),
            "identify": {**counts, "per_person": self.enroll, "far": self.far, "flip": self.flip},
        }

    def measure(self, model, batch_size, folder):
        """Closed-set and open-set figures, and what the calibrated threshold does to strangers.

        With the figures of `FaceSet` where there are pairs.
        """
        paths = [os.path.join(self.others.root, image) for image in self.others.images]
        embeddings = embed_images(model, paths, batch_size, self.flip, decoded=self.decoded)
        labels, parts = self.others.labels, self.parts()
        gallery = Gallery()
        gallery.enroll(embeddings[parts["enroll"]], labels[parts["enroll"]])
        gallery.calibrate(embeddings[parts["calibrate"]], far=self.far)
        queries = parts["known"] | parts["strangers"]
        found = gallery.evaluate(embeddings[queries], labels[queries])

        def best(part):
            return gallery.search(embeddings[parts[part]])[1][:, 0], labels[parts[part]]

        low, high = false_accept_interval(*best("calibrate"), *best("strangers"), self.far)
        return {
            **(super().measure(model, batch_size, folder) if self.tests else {}),
            "identification": {
                **found.to_dict(),
                "false_accept_rate": found.false_accept_rate,
                "false_accept_low": low,
                "false_accept_high": high,
                "identified_rate": found.identified_rate,
                "known": found.known,
                "unknown": found.unknown,
            },
        }
