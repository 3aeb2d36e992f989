"""Face verification as LFW and SLLFW measure it: pairs, scores, and the figures of the protocol."""

from keras_vsoftmax.verification.decoded import DecodedImages
from keras_vsoftmax.verification.embeddings import available_pairs, embed_images, verify
from keras_vsoftmax.verification.images import load_image
from keras_vsoftmax.verification.pair_draws import make_pairs
from keras_vsoftmax.verification.pair_lists import read_lfw_pairs, read_sllfw_pairs
from keras_vsoftmax.verification.pairs import Pairs
from keras_vsoftmax.verification.protocol import (
    VerificationResult,
    equal_error_rate,
    evaluate_scores,
    kfold_accuracy,
    roc,
    tar_at_far,
)
from keras_vsoftmax.verification.scores import cosine_scores, euclidean_scores

__all__ = [
    "DecodedImages",
    "Pairs",
    "VerificationResult",
    "available_pairs",
    "cosine_scores",
    "embed_images",
    "equal_error_rate",
    "euclidean_scores",
    "evaluate_scores",
    "kfold_accuracy",
    "load_image",
    "make_pairs",
    "read_lfw_pairs",
    "read_sllfw_pairs",
    "roc",
    "tar_at_far",
    "verify",
]
