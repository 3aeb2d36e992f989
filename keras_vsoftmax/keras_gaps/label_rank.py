"""The rank of the labels in a function that TensorFlow traced."""


class RankOfLabels:
    """Mixin for a `keras.Model`: its functions are traced anew where labels change their rank.

    What Keras lacks (3.10 to 3.15): its TensorFlow functions, traced with `reduce_retracing`,
    forget the rank of labels that come once as (batch,) and once as (batch, 1). Relied upon: a
    function that is set to None, `train_function` or `test_function`, is made anew.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._label_ndim = {}  # of the last labels, for each function

    def retrace_for(self, function, labels):
        """Forget the function of this name if the labels have another rank than the last ones."""
        ndim = getattr(labels, "ndim", None)
        if self._label_ndim.get(function, ndim) != ndim:
            setattr(self, function, None)
        self._label_ndim[function] = ndim
