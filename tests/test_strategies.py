"""Strategies by name: which come, and what is refused."""

import json
import types

import keras
import pytest

from keras_vsoftmax import strategies

TENSORFLOW = keras.backend.backend() == "tensorflow"
HOSTS = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}


@pytest.mark.core
def test_one_device_needs_no_strategy():
    assert strategies.get("none") is None
    with strategies.scope(None):
        pass


@pytest.mark.core
def test_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"auto, none, mirrored, multiworker.*'tpu'"):
        strategies.get("tpu")


@pytest.mark.core
@pytest.mark.skipif(TENSORFLOW, reason="the backend that has strategies")
@pytest.mark.parametrize("name", ["mirrored", "multiworker"])
def test_other_backends_are_refused(name):
    assert strategies.get("auto") is None
    with pytest.raises(ValueError, match="KERAS_BACKEND=tensorflow"):
        strategies.get(name)


@pytest.mark.skipif(not TENSORFLOW, reason="tf.distribute")
def test_auto_mirrors_over_all_gpus_from_two_on(monkeypatch):
    import tensorflow as tf

    gpus = []
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus * (kind == "GPU"))
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda devices: devices)
    assert strategies.get("auto") is None
    gpus.append(types.SimpleNamespace(name="GPU:0"))
    assert strategies.get("auto") is None
    assert strategies.get("mirrored") == ["GPU:0"]
    gpus.append(types.SimpleNamespace(name="GPU:1"))
    assert strategies.get("auto") == ["GPU:0", "GPU:1"]


@pytest.mark.skipif(not TENSORFLOW, reason="tf.distribute")
def test_mirroring_over_one_cpu_is_refused(monkeypatch):
    import tensorflow as tf

    cpus = [types.SimpleNamespace(name="CPU:0")]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: cpus * (kind == "CPU"))
    with pytest.raises(ValueError, match="Received: no GPU and 1 CPU"):
        strategies.get("mirrored")


@pytest.mark.skipif(not TENSORFLOW, reason="tf.distribute")
@pytest.mark.parametrize(
    "config",
    [
        None,
        "{",
        "[]",
        json.dumps({"cluster": HOSTS}),
        json.dumps({"cluster": HOSTS, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": HOSTS, "task": {"type": "worker", "index": "0"}}),
        json.dumps({"cluster": HOSTS, "task": {"type": "chief", "index": 0}}),
        json.dumps({"cluster": {"worker": "host:1"}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["host"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": [1]}, "task": {"type": "worker", "index": 0}}),
        json.dumps(
            {"cluster": {**HOSTS, "ps": ["host:3"]}, "task": {"type": "worker", "index": 0}}
        ),
    ],
)
def test_bad_tf_config_is_refused(monkeypatch, config):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=r"TF_CONFIG must look like .* Received: "):
        strategies.get("multiworker")


def worker(kind, index, **jobs):
    spec = types.SimpleNamespace(jobs=list(jobs))
    resolver = types.SimpleNamespace(task_type=kind, task_id=index, cluster_spec=lambda: spec)
    return types.SimpleNamespace(cluster_resolver=resolver)


@pytest.mark.parametrize(
    ("strategy", "chief"),
    [
        (None, True),
        (types.SimpleNamespace(), True),
        (worker("worker", 0, worker=2), True),
        (worker("worker", 1, worker=2), False),
        (worker("worker", 0, worker=1, chief=1), False),
        (worker("chief", 0, worker=1, chief=1), True),
    ],
)
def test_the_chief_alone_writes(strategy, chief, tmp_path):
    assert strategies.is_chief(strategy) == chief
    backup = strategies.backup_and_restore(strategy, tmp_path / "backup")
    backup.set_model(types.SimpleNamespace(save_weights=lambda filepath, overwrite: None))
    backup.on_epoch_end(0)
    assert (tmp_path / "backup").exists() == chief
