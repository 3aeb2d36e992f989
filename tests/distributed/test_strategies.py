import json
import types

import keras
import numpy as np
import pytest

from keras_vsoftmax.distributed import strategies
from keras_vsoftmax.distributed.backup import Backup
from tests import snippets

TENSORFLOW = keras.backend.backend() == "tensorflow"
only_tensorflow = pytest.mark.skipif(not TENSORFLOW, reason="tf.distribute")


@pytest.mark.core
def test_none_is_one_device():
    assert strategies.get("none") is None
    with strategies.scope(None):
        pass


@pytest.mark.core
def test_unknown():
    with pytest.raises(ValueError, match=r"auto, none, mirrored, multiworker.*'tpu'"):
        strategies.get("tpu")


@pytest.mark.core
@pytest.mark.skipif(TENSORFLOW, reason="the other backends")
def test_another_backend():
    assert strategies.get("auto") is None
    for name in ("mirrored", "multiworker"):
        with pytest.raises(ValueError, match=f"'{name}' needs KERAS_BACKEND=tensorflow"):
            strategies.get(name)


@only_tensorflow
def test_auto_and_mirrored_follow_the_devices(monkeypatch):
    import tensorflow as tf

    def see(gpus, cpus):
        devices = {"GPU": gpus, "CPU": cpus}
        made = lambda kind: [  # noqa: E731
            tf.config.LogicalDevice(f"/device:{kind}:{i}", kind) for i in range(devices[kind])
        ]
        monkeypatch.setattr(tf.config, "list_logical_devices", made)

    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda devices: devices)
    see(gpus=0, cpus=2)
    assert strategies.get("auto") is None
    assert strategies.get("mirrored") == ["/device:CPU:0", "/device:CPU:1"]
    see(gpus=1, cpus=1)
    assert strategies.get("auto") is None
    assert strategies.get("mirrored") == ["/device:GPU:0"]
    see(gpus=2, cpus=1)
    assert strategies.get("auto") == ["/device:GPU:0", "/device:GPU:1"]
    see(gpus=0, cpus=1)
    with pytest.raises(ValueError, match="Received: no GPU and 1 CPU"):
        strategies.get("mirrored")


CLUSTER = {"worker": ["localhost:1", "localhost:2"]}


@only_tensorflow
@pytest.mark.parametrize(
    "config",
    [
        None,
        "",
        "{",
        "[]",
        json.dumps({"cluster": CLUSTER}),
        json.dumps(
            {"cluster": {"worker": "localhost:1"}, "task": {"type": "worker", "index": "0"}}
        ),
        json.dumps({"cluster": {"worker": ["localhost"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {"worker": ["a:port"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": True}}),
        json.dumps({"cluster": {"worker": [1]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": {**CLUSTER, "ps": ["a:3"]}, "task": {"type": "worker", "index": 0}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": "0"}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": CLUSTER, "task": {"type": "chief", "index": 0}}),
    ],
)
def test_tf_config_that_does_not_fit(monkeypatch, config):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match=r"TF_CONFIG must look like .* Received: "):
        strategies.get("multiworker")


@pytest.mark.core
def test_snippets_of_the_guide(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training, backup, sharded, blocked, sampled = snippets.of("docs/scaling.md")
    assert "DeviceMesh" in sharded  # eight devices are not here: test_sharding.py has their like
    names = {
        "backbone": lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]),
        "x": np.ones((8, 4), "float32"),
        "y": np.arange(8),
    }
    snippets.run([training, backup, blocked, sampled], names)
    assert not (tmp_path / "shared" / "backup").exists()  # the run is over


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
    assert Backup(tmp_path / "backup", strategy).writes == chief
