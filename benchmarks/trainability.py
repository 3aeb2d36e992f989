"""Under which conditions Virtual Softmax trains as well as softmax, or better: paired runs.

Each run trains one head on one network and one part of one data set. Its record holds test and
training error; the area under the ROC curve of all pairs of test features by cosine ("pair AUC")
and the share of test images whose nearest neighbour is of their class (recall@1), for the classes
trained on and, with --classes, for those left out. On one batch of training images, at the start,
after the first epoch, in the middle and at the end, it holds the loss above its floor, v -
logsumexp z, the share of the gradient that the other classes get, norms and cosines.

    python benchmarks/trainability.py --data-dir DATA --set mnist --images 2000 --epochs 40 \
        --cases softmax:norm virtual:norm softmax:norm+relu virtual:norm+relu \
        virtual:norm+relu:warmup=0.33 --seeds 0 1 2 3 4 --resume
    python benchmarks/trainability_table.py runs/trainability

A case is HEAD:ENDING[:KNOB=VALUE...]; ENDING as in `backbones.plain`, and the knobs are warmup
(share of the steps over which the virtual class comes in), strength (how much of it is there
afterwards), deviation (of the kernel's initialiser), embedding (its length), rate_warmup (share of
the steps).
Runs are resumable and made one after another; each is its own folder under --out.
"""

import argparse
import dataclasses
import json

import keras
import numpy as np
from keras import ops

from keras_vsoftmax.experiments.data import image_sets
from keras_vsoftmax.experiments.data.data_set import DataSet
from keras_vsoftmax.experiments.scripts import options, script
from keras_vsoftmax.experiments.training import recipes, runner
from keras_vsoftmax.keras_gaps import jax_state
from keras_vsoftmax.retrieval import pair_auc, retrieval_metrics
from keras_vsoftmax.utils.files import atomic_path

_PROBED = 512  # training images on which the gradient's shares are looked at
_COMPARED = 4_000  # test images that are compared pair by pair: eight million pairs


@dataclasses.dataclass(frozen=True)
class Case:
    """One combination of a head and what it is trained with."""

    head: str
    ending: str
    warmup: float = 0.0
    deviation: float | None = None
    embedding: int | None = None
    rate_warmup: float = 0.0
    strength: float = 1.0

    @classmethod
    def parse(cls, text):
        """A case from HEAD:ENDING[:KNOB=VALUE...]."""
        try:
            head, ending, *knobs = text.split(":")
            values = dict(knob.split("=") for knob in knobs)
            for name in values:
                values[name] = (int if name == "embedding" else float)(values[name])
            return cls(head, ending, **values)
        except (TypeError, ValueError) as error:
            raise argparse.ArgumentTypeError(
                f"must look like virtual:norm+relu:warmup=0.33 ({error}). Received: {text}"
            ) from error

    @classmethod
    def of(cls, record):
        """The case that a record is of."""
        recipe, knobs = record["recipe"], record["knobs"]
        return cls(
            record["head"],
            recipe["ending"],
            warmup=round(knobs.get("warmup_steps", 0) / recipe["iterations"], 2),
            deviation=knobs.get("kernel_initializer", {}).get("config", {}).get("stddev"),
            embedding=recipe["embedding"],
            rate_warmup=round(recipe["rate_warmup"] / recipe["iterations"], 2),
            strength=knobs.get("strength", 1.0),
        )

    @property
    def label(self):
        """The case in words, and the name of its folder."""
        plain = Case(self.head, self.ending)
        knobs = [
            f"{field.name}={getattr(self, field.name):g}"
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != getattr(plain, field.name)
        ]
        return ":".join([self.head, self.ending, *knobs])

    def head_knobs(self, iterations):
        """Arguments of the head."""
        knobs = {}
        if self.warmup:
            knobs["warmup_steps"] = round(self.warmup * iterations)
        if self.strength != 1:
            knobs["strength"] = self.strength
        if self.deviation is not None:
            config = {"mean": 0.0, "stddev": self.deviation}
            knobs["kernel_initializer"] = {"class_name": "RandomNormal", "config": config}
        return knobs


@dataclasses.dataclass(frozen=True)
class Part(image_sets.ImageSet):
    """A part of an image set: its first images, and of its classes the first ones."""

    unseen: tuple | None = None

    @classmethod
    def of(cls, images, count, classes):
        """The first `count` training images of the first `classes` classes; `None` is all."""
        classes = classes or images.classes
        train, test = images.y_train < classes, images.y_test < classes
        return cls(
            images.x_train[train][:count],
            images.y_train[train][:count],
            images.x_test[test],
            images.y_test[test],
            classes,
            images.source,
            (images.x_test[~test], images.y_test[~test]) if classes < images.classes else None,
        )

    def identity(self):
        return {**super().identity(), "classes": self.classes}

    # The test set is looked at once, at the end.
    validation = DataSet.validation

    def measure(self, model, batch_size, folder):
        size = 500
        log_probs = model.predict(self.x_test, batch_size=size, verbose=0)
        train = model.evaluate(self.x_train, self.y_train, size, verbose=0, return_dict=True)
        measured = {
            "test_error": 100 * float(np.mean(log_probs.argmax(-1) != self.y_test)),
            "train_error": 100 * (1 - float(train["accuracy"])),
            "seen": _compare(model.embed(self.x_test, size, verbose=0), self.y_test),
            "probe": json.loads((folder / "probe.json").read_text()),
        }
        if self.unseen is not None:
            images, labels = self.unseen
            measured["unseen"] = _compare(model.embed(images, size, verbose=0), labels)
        return measured


def _compare(features, labels):
    """Pair AUC and recall@1, both by the cosine, in %."""
    features, labels = features[:_COMPARED], labels[:_COMPARED]
    found = retrieval_metrics(features, labels, ks=(1,))
    return {"auc": 100 * pair_auc(features, labels), "recall": 100 * found.recall_at[1]}


class Probe(keras.callbacks.Callback):
    """Looks at one batch of training images at the start, after an epoch, half-way, at the end."""

    def __init__(self, model, images, labels, path):
        super().__init__()
        self.probed, self.images, self.labels, self.path = model, images, labels, path
        self.rows = {}

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:
            self._look("start")
        elif not self.rows:  # a resumed run
            self.rows = json.loads(self.path.read_text())

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self._look("epoch 1")
        if epoch + 1 == max(1, self.params["epochs"] // 2):
            self._look("middle")
        if epoch + 1 == self.params["epochs"]:
            self._look("end")
        with atomic_path(self.path) as temporary:
            temporary.write_text(json.dumps(self.rows))

    def _look(self, when):
        jax_state.sync(self.model)
        head, backbone = self.probed.head, self.probed.backbone
        kept = [ops.convert_to_numpy(v) for v in backbone.non_trainable_variables]
        x = ops.convert_to_numpy(backbone(self.images, training=True)).astype("float64")
        for variable, value in zip(backbone.non_trainable_variables, kept):
            variable.assign(value)
        w = ops.convert_to_numpy(head.kernel).astype("float64")
        rows = np.arange(len(x))
        z = x @ w
        lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(w, axis=0)[self.labels]
        label_logit = z[rows, self.labels]
        lse = np.logaddexp.reduce(z, axis=1)
        r = getattr(head, "current_strength", 0.0)
        with np.errstate(divide="ignore"):
            v = label_logit + r * (lengths - label_logit) + np.log(r)
        partition = np.logaddexp(lse, v)
        z[rows, self.labels] = -np.inf
        others = np.exp(z - partition[:, None]).sum(1)
        self.rows[when] = {
            "loss above floor": float(np.mean(partition - label_logit) - np.log1p(r)),
            "v - lse": float(np.mean(lengths - lse)),
            "others' share": float(np.mean(others)),
            "feature norm": float(np.linalg.norm(x, axis=1).mean()),
            "kernel norm": float(np.linalg.norm(w, axis=0).mean()),
            "label cosine": float(np.mean(label_logit / np.maximum(lengths, 1e-30))),
            "nonnegative": float(np.mean(x >= 0)),
            "mean cosine of features": _mean_cosine(x),
            "strength": float(r),
        }


def _mean_cosine(x):
    """Mean cosine over all pairs of different rows."""
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-30)
    total = np.square(x.sum(0)).sum()
    return float((total - len(x)) / (len(x) * (len(x) - 1)))


def study(args):
    """Train every case with every seed, the seeds outermost."""
    images = image_sets.load(args.set, args.data_dir)
    data = Part.of(images, args.images, args.classes)
    steps = len(data.x_train) // args.batch_size
    recipe = recipes.Recipe(
        name=args.set,
        title=args.set,
        data=args.set,
        backbone=args.backbone,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        width=args.width,
    ).shortened(args.epochs * steps)
    for seed in args.seeds:
        for case in args.cases:
            changed = dataclasses.replace(
                recipe,
                ending=case.ending,
                embedding=case.embedding,
                rate_warmup=round(case.rate_warmup * recipe.iterations),
            )
            part = f"{len(data.x_train)}-of-{data.classes}-e{args.epochs}-r{args.learning_rate:g}"
            run = runner.Run(
                changed,
                case.head,
                seed,
                args.out / part / case.label.replace(":", "-"),
                knobs=case.head_knobs(recipe.iterations),
            )
            watch = _watch(data)
            runner.train(run, data, resume=args.resume, watch=watch)
            for path in run.folder.glob("*.keras"):
                path.unlink()  # the record is what is wanted, and there are hundreds


def _watch(data):
    def make(model, folder):
        folder.mkdir(parents=True, exist_ok=True)
        batch = np.random.default_rng(0).permutation(len(data.x_train))[:_PROBED]
        return [Probe(model, data.x_train[batch], data.y_train[batch], folder / "probe.json")]

    return make


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=options.folder, default="~/tensorflow_datasets")
    parser.add_argument("--set", default="mnist", choices=("mnist", "cifar10", "cifar100"))
    parser.add_argument("--images", type=options.positive_int, help="training images (all)")
    parser.add_argument("--classes", type=options.positive_int, help="train on the first classes")
    parser.add_argument("--backbone", default="plain_small")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--epochs", type=options.positive_int, default=40)
    parser.add_argument("--batch-size", type=options.positive_int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--cases", nargs="+", type=Case.parse, metavar="CASE", required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=options.folder, default="runs/trainability")
    parser.add_argument(
        "--resume", action="store_true", help="keep complete runs, go on with others"
    )
    args = parser.parse_args(argv)
    with script.one_line_errors(parser.prog):
        study(args)


if __name__ == "__main__":
    main()
