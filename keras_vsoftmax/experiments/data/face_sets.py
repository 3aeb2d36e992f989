"""People to train on and pairs of others to verify on, as data for the runner."""

import dataclasses

import numpy as np

from keras_vsoftmax.experiments.data.data_set import DataSet
from keras_vsoftmax.experiments.data.face_images import FaceBatches, FaceTree
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.utils.files import atomic_path
from keras_vsoftmax.verification import DecodedImages, Pairs, available_pairs, verify


@dataclasses.dataclass(frozen=True, eq=False)
class FaceTest:
    """Pairs to verify on.

    Args:
        pairs: `Pairs`.
        root: the folder in which their images lie.
        missing: `"error"`, or `"skip"` for pairs without an image, see `verify`.
        flip: mean of the embeddings of an image and its mirror image, see `embed_images`.
        threshold_pairs: `Pairs` on which the threshold is chosen, as on `pairsDevTrain.txt` for
            LFW's View 1; `None` chooses one for each fold on the others.
        decoded: `DecodedImages` that tests and runs share, so that an image is decoded once for all
            of them; `None` decodes it for each.
    """

    pairs: Pairs
    root: object
    missing: str = "error"
    flip: bool = False
    threshold_pairs: Pairs | None = None
    decoded: DecodedImages | None = None

    def people(self):
        """Every person that some pair names, as a set."""
        return {person for pairs in self._lists() for person in pairs.people()}

    def _lists(self):
        return [pairs for pairs in (self.threshold_pairs, self.pairs) if pairs is not None]

    def check(self):
        """See before the training, and not after it, whether the images are there.

        Raises:
            FileNotFoundError: for a missing image, naming the pair.
            ExperimentError: no matched pair is left, or no mismatched one.
        """
        try:
            for pairs in self._lists():
                left = available_pairs(pairs, self.root, self.missing, self.decoded)
                matched = int(left.matched.sum())
                if matched in (0, len(left)):
                    raise ExperimentError(
                        f"{self.root}: there must be matched and mismatched pairs with both their "
                        f"images. Received: {matched} matched and {len(left) - matched} mismatched"
                    )
        except ValueError as error:
            raise ExperimentError(str(error)) from error

    def run(self, model, batch_size):
        """The `VerificationResult` of a model."""
        threshold = None
        for pairs in self._lists():
            result = verify(
                model,
                pairs,
                self.root,
                flip=self.flip,
                batch_size=batch_size,
                missing=self.missing,
                threshold=threshold,
                decoded=self.decoded,
            )
            threshold = result.best_threshold()
        return result


@dataclasses.dataclass(frozen=True, eq=False)
class FaceSet(DataSet):
    """People to train on, and pairs of others that are verified after the last epoch.

    No epoch is tested, since pairs choose a threshold and no epoch.

    Args:
        tree: `FaceTree` of the people to train on.
        shape: (height, width, channels) to which all images are brought.
        tests: dict from names, such as `"lfw"`, to `FaceTest`s.
        decoded: `DecodedImages`, whose images are not decoded again in every epoch; `None` where
            there is no memory for them.

    Raises:
        ExperimentError: a person is on both sides, or there are fewer than two to train on.
    """

    tree: FaceTree
    shape: tuple
    tests: dict
    decoded: DecodedImages | None = dataclasses.field(default=None, kw_only=True)
    leaves = ("scores-*.npz",)

    def __post_init__(self):
        if self.classes < 2:
            raise ExperimentError(
                f"{self.tree.root}: training needs two people. Received: {self.classes}"
            )
        for name, test in self.tests.items():
            both = set(self.tree.people) & test.people()
            if both:
                raise ExperimentError(
                    f"{len(both)} people are on both sides, in the training set and in the pairs "
                    f"of {name}: {', '.join(sorted(both)[:5])}"
                )

    def __str__(self):
        lines = [f"Train: {self.tree}"]
        for name, test in self.tests.items():
            people, folds = len(test.people()), len(np.unique(test.pairs.folds))
            lines.append(
                f"Verify on {name}: {len(test.pairs):,} pairs of {people:,} people, "
                f"{folds} fold{'s' * (folds != 1)}; none of their names is trained on"
            )
        return "\n".join(lines)

    @property
    def samples(self):
        return len(self.tree.images)

    @property
    def classes(self):
        return len(self.tree.people)

    def identity(self):
        return {
            "source": str(self.tree.root),
            "train_images": self.samples,
            "train_people": self.classes,
            "unreadable": list(self.tree.unreadable),
            "image_shape": list(self.shape),
            "tests": {
                name: {
                    "pairs": len(test.pairs),
                    "folds": np.unique(test.pairs.folds).tolist(),
                    "flip": test.flip,
                    **(
                        {}
                        if test.threshold_pairs is None
                        else {"threshold_pairs": len(test.threshold_pairs)}
                    ),
                }
                for name, test in self.tests.items()
            },
        }

    def batches(self, batch_size, seed):
        return FaceBatches(self.tree, self.shape, batch_size, seed, self.decoded)

    def measure(self, model, batch_size, folder):
        """The figures of each test; its scores go to `scores-NAME.npz` in the folder."""
        measured = {}
        for name, test in self.tests.items():
            result = test.run(model, batch_size)
            with atomic_path(scores_path(folder, name)) as temporary:
                np.savez(temporary, scores=result.scores, matched=result.matched)
            measured[name] = summary(result)
        return {"verification": measured}


def scores_path(folder, name):
    """Where a run leaves the scores of a test, for the figures."""
    return folder / f"scores-{name}.npz"


def summary(result):
    """The figures of a `VerificationResult` as JSON has them, those not supported as `None`."""
    return {
        "accuracy": _percent(result.accuracy),
        "standard_error": _percent(result.standard_error),
        "fold_accuracies": list(map(_percent, result.fold_accuracies.tolist())),
        "auc": result.auc,
        "equal_error_rate": 100 * result.equal_error_rate,
        "tar_at_far": {f"{far:g}": _percent(tar) for far, tar in result.tar_at_far.items()},
        "pairs": len(result.scores),
        "skipped": result.skipped,
    }


def _percent(rate):
    return None if np.isnan(rate) else 100 * rate
