import copy
import json

import pytest

from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.report import report
from keras_vsoftmax.experiments.training import records


def test_written_and_found(tmp_path, make_record):
    record = make_record("virtual", 1, 3.0)
    records.write(record, tmp_path / "a" / "b" / records.NAME)
    assert records.find([tmp_path]) == [record]
    assert records.find([tmp_path / "a" / "b" / records.NAME]) == [record]
    with pytest.raises(ValueError, match="JSON compliant"):
        records.write({**record, "seed": float("nan")}, tmp_path / records.NAME)
    assert not (tmp_path / records.NAME).exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no readable record"),
        ("[]", "no readable record"),
        ('{"head": 1}', "no record. Received: no data"),
    ],
)
def test_what_is_no_record(tmp_path, text, message):
    (tmp_path / records.NAME).write_text(text)
    with pytest.raises(ExperimentError, match=f"{records.NAME}: is {message}"):
        records.find([tmp_path])


def test_nothing_there(tmp_path):
    with pytest.raises(ExperimentError, match=r"there is no record\.json"):
        records.find([tmp_path])
    with pytest.raises(ExperimentError, match="No such file"):
        records.find([tmp_path / "missing.json"])


def test_groups_hold_what_may_be_compared(make_record):
    one = [make_record(head, seed, 3.0) for seed in (0, 1) for head in ("softmax", "virtual")]
    other = make_record("virtual", 0, 3.0)
    other["recipe"]["width"] = 0.5
    moved = make_record("virtual", 2, 3.0)
    moved["data"]["source"] = "elsewhere.npz"
    synthetic = copy.deepcopy(one[0])
    synthetic["data"]["source"] = "synthetic"
    found = records.groups([*one, other, moved, synthetic])
    assert [{head: sorted(runs) for head, runs in group.items()} for group in found] == [
        {"softmax": [0, 1], "virtual": [0, 1, 2]},
        {"virtual": [0]},
        {"softmax": [0]},
    ]


def test_a_record_from_before_a_field_of_the_recipe_is_compared(make_record):
    new, old = (make_record("virtual", seed, 3.0) for seed in (0, 1))
    new["recipe"]["virtual_strength"] = 1.0
    old["recipe"].pop("virtual_strength", None)
    other = copy.deepcopy(old)
    other["recipe"]["virtual_strength"] = 0.5
    ended = copy.deepcopy(old)
    new["recipe"]["ending"] = old["recipe"]["ending"] = other["recipe"]["ending"] = None
    ended["recipe"].pop("ending", None)
    found = records.groups([new, old, other, ended])
    assert [sorted(group["virtual"]) for group in found] == [[0, 1], [1], [1]]


def test_report_is_made_from_records_alone(tmp_path, make_record):
    text = json.dumps([make_record("softmax", 0, 5.0)])
    assert "5.00 (n = 1)" in report.tables(json.loads(text))


def test_two_runs_of_one_kind_are_refused(make_record):
    one, other = (make_record("virtual", 0, error) for error in (3.0, 4.0))
    other["command"] = "train twice"
    with pytest.raises(ExperimentError, match=r"two runs of virtual with seed 0.*\(train twice\)"):
        records.groups([one, other])
    # The same one, found twice, is one; a variant is of another kind.
    other["variant"] = "quick"
    assert len(records.groups([one, copy.deepcopy(one), other])) == 2
