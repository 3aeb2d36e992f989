import pytest

from keras_vsoftmax.utils.files import atomic_path


def test_file_appears_only_when_complete(tmp_path):
    target = tmp_path / "new" / "figure.png"
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".png"
        assert not target.exists()
    assert target.read_bytes() == b"half"
    assert list(target.parent.iterdir()) == [target]


def test_error_leaves_the_old_file(tmp_path):
    target = tmp_path / "record.json"
    target.write_text("old")

    def fill_the_disk():
        with atomic_path(target) as temporary:
            temporary.write_text("ha")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill_the_disk()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "record.json"):
        pass
