"""Files that are whole or not there at all."""

import contextlib
import os
import pathlib


@contextlib.contextmanager
def atomic_path(path):
    """Give a temporary path to write to, and rename it to `path` once the block has ended well.

    A reader, or a run that was killed, never sees half a file: an earlier file stays as it was
    until the new one is complete. Missing parent folders are made.

    Args:
        path: the file to write. The temporary file lies beside it and keeps its suffix, which
            decides the format for Keras (`.keras`, `.weights.h5`) and for Matplotlib (`.png`).

    Yields:
        A `pathlib.Path` in the same folder. If the block raises, what was written there is
        removed and the error goes on.

    Example:

    >>> import pathlib, tempfile
    >>> target = pathlib.Path(tempfile.mkdtemp()) / "record.json"
    >>> with atomic_path(target) as temporary:
    ...     _ = temporary.write_text("{}")
    >>> target.read_text()
    '{}'
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two runs that write the same file out of each other's way.
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder):
    """Make the folder, and fail now rather than after the training if nothing can be written.

    Raises:
        OSError: as the system gives it.
    """
    path = pathlib.Path(folder) / "writable"
    with atomic_path(path) as temporary:
        temporary.touch()
    path.unlink(missing_ok=True)  # another process may have done so
