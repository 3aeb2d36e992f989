"""Who is this, or is it nobody known: galleries of classes that need not have been trained on."""

from keras_vsoftmax.identification.figures import IdentificationResult, identification_figures
from keras_vsoftmax.identification.gallery import Gallery
from keras_vsoftmax.identification.thresholds import false_accept_interval, threshold_at_far

__all__ = [
    "Gallery",
    "IdentificationResult",
    "false_accept_interval",
    "identification_figures",
    "threshold_at_far",
]
