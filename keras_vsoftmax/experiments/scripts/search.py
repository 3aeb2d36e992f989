"""What the example searches share: the budget, the table of the best, a fair rematch."""

import json
import pathlib
import statistics

import keras

from keras_vsoftmax import tuning
from keras_vsoftmax.distributed import strategies
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.training import callbacks, records
from keras_vsoftmax.utils.files import atomic_path

TUNERS = ("RandomSearch", "BayesianOptimization", "Hyperband", "GridSearch")


def make_tuner(name, space, trials, epochs, *, identity, directory, project_name, **settings):
    """A tuner by its name, with a budget of so many trials; Hyperband's are the epochs of one.

    Args:
        name: one of `TUNERS`.
        space: `HeadHyperModel`.
        trials: int, but for Hyperband.
        epochs: int, of a trial.
        identity: dict that says which search this is, and that a search gone on with must have.
        directory: folder of all searches.
        project_name: folder of this one.
        **settings: arguments of the tuner.

    Raises:
        ExperimentError: there is a search of another identity, and `overwrite` is not set.
    """
    path = pathlib.Path(directory) / project_name / "search.json"
    identity = {**identity, "epochs": epochs}
    if path.exists() and not settings.get("overwrite"):
        callbacks.check_identity(path, json.loads(path.read_text()), identity)
    budget = {"max_epochs": epochs} if name == "Hyperband" else {"max_trials": trials}
    tuner = getattr(tuning, name)(
        space, **budget, directory=directory, project_name=project_name, **settings
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    records.write(identity, path)
    return tuner


def conclude(tuner, make_space, train, test, seeds, path, **settings):
    """Prints the best trials and the rematch, see `table` and `rematch`."""
    print(f"\nBest trials\n\n{table(tuner)}\n", flush=True)
    errors = rematch(tuner, make_space, train, test, seeds, path, **settings)
    print(f"{verdict(errors)}\n\nThe winner, trained with seed {seeds[0]}: {path}")


def table(tuner, count=5):
    """The best trials that were completed, a line each, all their hyperparameters in it."""
    lines = ["| trial | score | best epoch | hyperparameters |", "|---|---|---|---|"]
    for trial in tuner.oracle.get_best_trials(count):
        # What a worker sends back has lost its order. Hyperband's own values begin with "tuner/".
        values = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in sorted(
                trial.hyperparameters.values.items(), key=lambda item: (item[0] != "head", item)
            )
            if not name.startswith("tuner/")
        )
        # Hyperband counts the steps of a trial from the epoch at which it took another one over.
        epoch = trial.hyperparameters.values.get("tuner/initial_epoch", 0) + trial.best_step + 1
        lines.append(f"| {trial.trial_id} | {trial.score:.4f} | {epoch} | {values} |")
    return "\n".join(lines)


def rematch(tuner, make_space, train, test, seeds, path, strategy=None, **fit):
    """Trains the winner anew on several seeds, and plain softmax beside it, and saves it.

    Plain softmax has the hyperparameters of its own best trial, where it had one, and those of
    the winner elsewhere. What is trained on is more than the search had, and what is tested on
    is nothing that the search has seen.

    Args:
        tuner: A tuner after its search.
        make_space: Function from a seed to a new `HeadHyperModel`.
        train: `(x, y)` to train on.
        test: `(x, y)` to count errors on.
        seeds: Integers.
        path: `.keras` file for the winner of the first seed.
        strategy: Of `tf.distribute`, or None.
        **fit: Arguments of `fit`.

    Returns:
        A dict from the title of a contender to its test errors in %, seed by seed.

    Raises:
        ExperimentError: Where no trial was completed.
    """
    best = tuner.get_best_hyperparameters()
    if not best:
        raise ExperimentError("No trial was completed: the search has nothing to show")
    winner, rival = best[0], _softmax(tuner, best[0])
    contenders = {winner["head"]: winner}
    if rival["head"] not in contenders:
        contenders[rival["head"]] = rival
    errors = {name: [] for name in contenders}
    for seed in seeds:
        for name, hyperparameters in contenders.items():
            space = make_space(seed)
            keras.utils.clear_session()
            with strategies.scope(strategy):
                model = space.build(hyperparameters)
            space.fit(hyperparameters, model, *train, **fit)
            _, accuracy = model.evaluate(*test, verbose=0)
            errors[name].append(100 * (1 - accuracy))
            if hyperparameters is winner and seed == seeds[0]:
                with atomic_path(path) as temporary:
                    model.save(temporary)
    return errors


def verdict(errors):
    """Markdown: the errors of each contender, with their mean and standard deviation."""
    lines = ["| head | test error in %, seed by seed | mean |", "|---|---|---|"]
    for name, values in errors.items():
        spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        shown = " ".join(f"{value:.2f}" for value in values)
        lines.append(f"| {name} | {shown} | {statistics.fmean(values):.2f}{spread} |")
    return "\n".join(lines)


def _softmax(tuner, winner):
    for hyperparameters in tuner.get_best_hyperparameters(len(tuner.oracle.trials)):
        if hyperparameters["head"] == "softmax":
            return hyperparameters
    rival = winner.copy()
    rival.values["head"] = "softmax"
    rival.ensure_active_values()
    return rival
