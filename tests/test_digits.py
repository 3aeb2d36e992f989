"""The first command of the README, in quick mode and in this process."""

import importlib.util
import pathlib

import keras
import pytest

pytest.importorskip("sklearn")

PATH = pathlib.Path(__file__).parents[1] / "examples" / "digits.py"


def digits():
    spec = importlib.util.spec_from_file_location("example_digits", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_quick(tmp_path, capsys):
    heads = ["softmax", "virtual", "angular"]
    out = tmp_path / "out"
    code = digits().main(["--quick", "--epochs", "3", "--heads", *heads, "--out", str(out)])
    assert code == 0
    printed = capsys.readouterr().out
    rows = printed[printed.index("1437 digits to train on, 360 to test on") :].splitlines()
    for title in ("Softmax", "Virtual Softmax", "A-Softmax"):
        (row,) = [row for row in rows if row.startswith(title + "  ")]
        assert float(row.removeprefix(title).split()[0]) < 20  # test error, %
    assert row.endswith("5")  # lambda is at its floor
    assert "log-probabilities differ by 0.0e+00" in printed
    assert sorted(path.name for path in out.iterdir()) == ["digits.keras", "features.png"]
    loaded = keras.saving.load_model(out / "digits.keras")
    assert loaded.head.units == 10


def test_bad_arguments(capsys):
    with pytest.raises(SystemExit):
        digits().main(["--heads", "arc"])
    assert "invalid choice: 'arc'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        digits().main(["--epochs", "0"])
    assert "must be a positive integer. Received: 0" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    blocker = tmp_path / "file"
    blocker.write_text("")
    assert digits().main(["--quick", "--out", str(blocker / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert ": error: " in line


def test_heads_are_compared_seed_by_seed():
    rows = {
        "softmax": [{"error": 1.0}, {"error": 2.0}, {"error": 3.0}],
        "virtual": [{"error": 0.5}, {"error": 1.0}, {"error": 2.5}],
    }
    (line,) = digits().comparisons(rows)
    # -0.5, -1.0, -0.5: the mean and 4.303 times its standard error.
    assert line == (
        "Virtual Softmax minus Softmax, paired over 3 seeds: -0.67 [-1.38, +0.05] points of error"
    )
    assert not list(digits().comparisons({head: seeds[:1] for head, seeds in rows.items()}))
