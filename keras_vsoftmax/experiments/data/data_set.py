"""What every kind of data is to the runner."""

import abc


class DataSet(abc.ABC):
    """What a run trains on and is measured with.

    The runner knows no more of its data than this, and the report shows them by the figures that
    `measure` has put into the record. A new kind of data is a subclass, and a `Section` of the
    report for a figure that none shows yet.

    Attributes:
        samples: int, how many images there are to train on.
        classes: int, how many classes they are of.
        shape: (height, width, channels) of an image.
        leaves: patterns of the files that `measure` writes.
    """

    samples: int
    classes: int
    shape: tuple
    leaves = ()

    @abc.abstractmethod
    def identity(self):
        """What the record says about the data, as JSON has it.

        Two runs are compared where it is equal but for `source`, the place the data came from, and
        a run is resumed where all of it is.

        Returns:
            dict, with `source` and `train_images` in it.
        """

    @abc.abstractmethod
    def batches(self, batch_size, seed):
        """What is trained on, a function of the seed and the epoch alone.

        Returns:
            A `keras.utils.PyDataset` of `(images, labels)`, its length the steps of an epoch, with
            `begin_epoch(epoch)`, which draws anew, and `fit_input()`, which gives what `fit` takes
            with `shuffle=False`.
        """

    def validation(self, batch_size):
        """Arguments of `fit` that make it test after each epoch; none where nothing is tested."""
        return {}

    @abc.abstractmethod
    def measure(self, model, batch_size, folder):
        """Measure a trained model.

        Args:
            model: a `Classifier`.
            batch_size: int.
            folder: of the run, for the files of `leaves`.

        Returns:
            dict, as JSON has it, for the record: the figures beside the errors of the epochs, under
            the key by which a section of the report knows them.
        """

    def clear(self, folder):
        """Remove what `measure` has left in the folder of an earlier run."""
        for pattern in self.leaves:
            for path in folder.glob(pattern):
                path.unlink()
