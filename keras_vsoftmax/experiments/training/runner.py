"""One run: a head on a backbone, trained by a recipe, and its record."""

import dataclasses
import datetime
import pathlib
import shlex
import shutil
import statistics
import sys

import keras

from keras_vsoftmax import Classifier, backbones, heads
from keras_vsoftmax.distributed import strategies
from keras_vsoftmax.distributed.backup import Backup
from keras_vsoftmax.experiments.data.augment import RandomCropMirror
from keras_vsoftmax.experiments.data.disturbed import DisturbedBatches
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.training import callbacks, environment, records
from keras_vsoftmax.experiments.training.dropout_draws import DropoutDraws
from keras_vsoftmax.experiments.training.optimizers import make_optimizer
from keras_vsoftmax.experiments.training.recipes import head_knobs
from keras_vsoftmax.models.deep_supervision import DeeplySupervised


@dataclasses.dataclass(frozen=True)
class Run:
    """What is trained, and the folder in which everything about it lies.

    Args:
        recipe: a `Recipe`, with the length that the run is to have.
        head: identifier of the head.
        seed: of weights, shuffling, augmentation and noise.
        out: folder of all runs.
        variant: word that keeps runs on part of the data, or on other data, apart.
        knobs: arguments of the head beside those that the length of the run decides.
    """

    recipe: object
    head: str
    seed: int
    out: pathlib.Path
    variant: str = ""
    knobs: dict = dataclasses.field(default_factory=dict)

    @property
    def folder(self):
        name = "-".join(filter(None, (self.recipe.name, self.variant)))
        network = f"{self.recipe.backbone}-x{self.recipe.width:g}"
        if self.recipe.disturb_label:
            network += f"-disturb{self.recipe.disturb_label:g}"
        return self.out / name / network / f"{self.head}-seed{self.seed}"

    @property
    def last_model(self):
        """The model after the last epoch, the one whose error is reported."""
        return self.folder / "last.keras"


def train(run, data, strategy=None, resume=False, watch=None):
    """Train, save and measure; write the record last.

    The run's folder gets `record.json`, `best.keras` and `last.keras` (without augmentation and
    optimiser), `tensorboard/`, and while it lasts `backup/` and `progress.json`. Which epoch is
    best is seen on the test set: the reported error is that of the last. Data without a test after
    each epoch leave no `best.keras`. Of several workers the first writes there, and the others
    beneath it, without a record.

    Args:
        run: a `Run`.
        data: a `DataSet`.
        strategy: of `tf.distribute`, or `None`.
        resume: go on where a stopped run was; return the record of a complete one.
        watch: function of the model and the run's folder that gives more callbacks.

    Returns:
        The record, a dict.

    Raises:
        ExperimentError: if `resume` meets a run of other settings, or what was trained cannot be
            measured.
        FloatingPointError: if the training diverges.
    """
    recipe, folder, chief = run.recipe, run.folder, strategies.is_chief(strategy)
    if not chief:
        folder = folder / f"worker-{strategy.cluster_resolver.task_id}"
    knobs = {**head_knobs(run.head, recipe), **run.knobs}
    identity = {
        "recipe": dataclasses.asdict(recipe),
        "head": run.head,
        "knobs": knobs,
        "seed": run.seed,
        "data": data.identity(),
    }
    record_path = run.folder / records.NAME
    if not resume:
        _clear(folder)
        data.clear(folder)
    elif record_path.exists():
        record = records.read(record_path)
        callbacks.check_identity(record_path, {key: record.get(key) for key in identity}, identity)
        print(f"{run.folder}: complete")
        return record

    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.utils.set_random_seed(run.seed)
    environment.deterministic()
    keras.config.set_dtype_policy(recipe.precision)
    try:
        with strategies.scope(strategy):
            model, trained, sources = _build(run, data, knobs, synchronized=strategy is not None)
        batches = data.batches(recipe.batch_size, run.seed)
        if recipe.disturb_label:
            batches = DisturbedBatches(batches, recipe.disturb_label, data.classes, run.seed)
        progress = callbacks.Progress(
            folder / "progress.json", identity, model, folder / "best.keras", resume
        )
        epochs = recipe.iterations // len(batches)
        print(f"{folder}: {epochs} epochs of {len(batches)} steps", flush=True)
        trained.fit(
            batches.fit_input(),
            epochs=epochs,
            shuffle=False,  # the batches are shuffled; Keras would reorder them unrepeatably
            **data.validation(recipe.batch_size),
            callbacks=[
                callbacks.BeginEpoch(batches, DropoutDraws(trained, run.seed), *sources),
                *_tensorboard(folder),
                *(watch(model, folder) if watch else ()),
                progress,
                # The last one, so that what it backs up is complete.
                Backup(run.folder / "backup", strategy, keep=True),
            ],
        )
        if len(progress.rows) != epochs:
            raise ExperimentError(
                f"{folder}: has the errors of {len(progress.rows)} epochs of {epochs}; "
                "train it anew, without --resume"
            )
        callbacks.save_model(trained, model, folder / run.last_model.name)
        try:
            measured = data.measure(model, recipe.batch_size, folder)
        except ValueError as error:  # embeddings that are not finite
            raise ExperimentError(f"{folder}: cannot be measured ({error})") from error
    finally:
        keras.config.set_dtype_policy(policy)

    record = {
        **identity,
        "variant": run.variant,
        **_summary(progress.rows, len(batches)),
        **measured,
        "parameters": model.count_params(),
        "replicas": strategy.num_replicas_in_sync if strategy else 1,
        "device": environment.device(),
        "versions": environment.versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "command": shlex.join(sys.argv),
    }
    if chief:
        records.write(record, record_path)
        # Those of the other workers stay: the first may be stopped before it has come to this.
        shutil.rmtree(folder / "backup")
        (folder / "progress.json").unlink()
    return record


def _clear(folder):
    """Remove what an earlier run left, so that nothing of it passes for this one's."""
    for name in (records.NAME, "progress.json", "best.keras", "last.keras"):
        (folder / name).unlink(missing_ok=True)
    for name in ("backup", "tensorboard"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)


def _build(run, data, knobs, synchronized):
    """The model, the same with augmentation in front for training, and what draws by epoch."""
    recipe = run.recipe
    shape = data.shape
    try:
        network = backbones.get(
            recipe.backbone, shape, recipe.width, recipe.l2, synchronized, **recipe.backbone_knobs
        )
    except ValueError as error:
        raise ExperimentError(f"{recipe.backbone}: cannot be built ({error})") from error

    def make_head():
        l2 = keras.regularizers.L2(recipe.l2)
        return heads.get(run.head, data.classes, kernel_regularizer=l2, **knobs)

    head = make_head()
    *depths, embedding = keras.tree.flatten(network.output)
    # Heads at hidden layers train, and are no part of the model that is kept.
    top = keras.Model(network.input, embedding) if depths else network
    model = trained = Classifier(top, head)
    sources = []
    if recipe.augment:
        augmentation = RandomCropMirror(seed=run.seed)
        sources.append(augmentation)
        image = keras.Input(shape)
        network = keras.Model(image, network(augmentation(image)))
        trained = Classifier(network, head) if not depths else None
    if depths:
        companions = [make_head() for _ in depths]
        trained = DeeplySupervised(network, head, companions, fade_steps=recipe.iterations)
    metrics = ["accuracy"]
    if recipe.top5:
        metrics.append(keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5"))
    trained.compile(make_optimizer(recipe), metrics=metrics)
    return model, trained, sources


def _tensorboard(folder):
    """The callback, where TensorFlow is the backend: under another one it would be loaded too."""
    if keras.backend.backend() != "tensorflow":
        return []
    return [keras.callbacks.TensorBoard(str(folder / "tensorboard"), write_graph=False)]


def _summary(rows, steps):
    # The first epoch also traces and compiles.
    seconds = [row["train_seconds"] for row in rows[1:] or rows]
    return {
        "epochs": rows,
        "seconds": sum(row["train_seconds"] + row.get("test_seconds", 0) for row in rows),
        "steps_per_second": steps / statistics.median(seconds),
    }
