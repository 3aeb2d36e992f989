"""Class-sharded heads under JAX against unsharded ones, and the errors on the way there."""

import types

import keras
import pytest

from keras_vsoftmax import VirtualSoftmax, heads
from keras_vsoftmax.distributed import sharding
from tests.distributed import processes, training

LIMIT = 1200
# Columns of the kernel on each device, of eight, for each mesh of (batch, model) devices.
COLUMNS = {"1 x 2": 4, "2 x 2": 4, "1 x 4": 2}
BLOCKED = [f"{name} in blocks" for name in training.BLOCKED]
SAMPLED = [f"{name} sampled" for name in training.SAMPLED]  # of eight times the classes


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pytest.importorskip("jax")
    environment = {
        "KERAS_BACKEND": "jax",
        "JAX_ENABLE_X64": "1",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
    }
    folder = tmp_path_factory.mktemp("sharding")
    module = "tests.distributed.sharding_job"
    with processes.running(module, folder, [environment], LIMIT) as jobs:
        return processes.results(jobs, LIMIT)[0]


@pytest.mark.cross_backend
@pytest.mark.slow
@pytest.mark.parametrize("mesh", COLUMNS)
@pytest.mark.parametrize("name", [*heads.NAMES, *BLOCKED, *SAMPLED])
def test_sharded_head_trains_to_the_unsharded_result(trained, name, mesh):
    assert "error" not in trained[name], trained[name]["traceback"]
    found = dict(trained[name][mesh])
    vectors = heads.get(name.split()[0], 2).class_vectors * (8 if name in SAMPLED else 1)
    assert found.pop("columns") == [COLUMNS[mesh] * vectors]
    assert max(found.values()) < 1e-12, found


@pytest.fixture
def under_jax(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    return types.SimpleNamespace(axis_names=["batch", "model"], shape=(2, 4))


def test_classes_that_do_not_divide_are_refused(under_jax):
    with pytest.raises(ValueError, match=r"12 units would, with 2 classes .* Received: units=10"):
        sharding.head_layout_map(VirtualSoftmax(10), under_jax)


def test_unknown_axis_is_refused(under_jax):
    with pytest.raises(ValueError, match=r"one of batch, model. Received: axis='classes'"):
        sharding.head_layout_map(VirtualSoftmax(8), under_jax, axis="classes")


def test_built_head_is_refused(under_jax):
    head = VirtualSoftmax(8, name="taken")
    head.built = True
    with pytest.raises(ValueError, match=r"must not be built .* 'taken'"):
        sharding.head_layout_map(head, under_jax)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has it")
def test_other_backends_are_refused():
    with pytest.raises(ValueError, match=f"KERAS_BACKEND=jax.*Received: {keras.backend.backend()}"):
        sharding.head_layout_map(VirtualSoftmax(8), None)
