"""Verification of faces, watched."""

from keras_vsoftmax.callbacks.base import EmbeddingMetrics
from keras_vsoftmax.identification.figures import rate_name
from keras_vsoftmax.verification.decoded import DecodedImages
from keras_vsoftmax.verification.embeddings import (
    available_pairs,
    check_missing,
    check_score,
    image_shape,
    verify,
)
from keras_vsoftmax.verification.pairs import check_pairs


class VerificationMetrics(EmbeddingMetrics):
    """Writes `val_verification_accuracy`, `val_verification_auc`, `val_verification_eer` and
    `val_tar_at_far_RATE` into the logs.

    A rate that the pairs cannot show is not in the logs. The images are decoded once, when the
    training begins, and kept until it ends: LFW's at 112x96 take 248 MB. Where the callback must
    stand in the list, see `EmbeddingMetrics`.

    Args:
        pairs: `Pairs`, as from `read_lfw_pairs`.
        root: the folder in which their images lie.
        every: measure after every so many epochs, see `EmbeddingMetrics`.
        score, flip, batch_size, missing: see `verify`.
        verbose: see `EmbeddingMetrics`.

    Raises:
        ValueError: for another score, and for what is no `Pairs`; when the training begins, where
            the model has no image input of known size.
        FileNotFoundError: when the training begins, where an image cannot be read and `missing`
            is `"error"`.
        ImportError: Pillow or scikit-learn is not installed.

    Example:

    ```python
    watch = VerificationMetrics(read_lfw_pairs("lfw/pairs.txt"), "lfw/images", every=5)
    best = keras.callbacks.ModelCheckpoint(
        "best.keras", "val_tar_at_far_0_01", mode="max", save_best_only=True
    )
    model.fit(x, y, epochs=100, callbacks=[watch, best])
    ```
    """

    def __init__(
        self,
        pairs,
        root,
        every=1,
        *,
        score="cosine",
        flip=False,
        batch_size=128,
        missing="error",
        verbose="auto",
    ):
        super().__init__(every, verbose)
        check_score(score)
        check_missing(missing)
        check_pairs(pairs)
        self.pairs, self.root = pairs, root
        self.settings = {
            "score": score,
            "flip": flip,
            "batch_size": batch_size,
            "missing": missing,
        }
        self._decoded = None

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._decoded = DecodedImages(image_shape(self._embedder))
        available_pairs(self.pairs, self.root, self.settings["missing"], self._decoded)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self._decoded = None

    def measure(self, model, verbose):
        found = verify(
            model,
            self.pairs,
            self.root,
            verbose=verbose,
            decoded=self._decoded,
            **self.settings,
        )
        rates = {f"tar_at_far_{rate_name(far)}": tar for far, tar in found.tar_at_far.items()}
        return {
            "verification_accuracy": found.accuracy,
            "verification_auc": found.auc,
            "verification_eer": found.equal_error_rate,
            **rates,
        }
