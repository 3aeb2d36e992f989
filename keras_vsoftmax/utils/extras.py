"""Optional dependencies: imported where they are used, with an error that names the extra."""

import importlib


def require(module, extra, feature):
    """Imports an optional module.

    Args:
        module: Name of the module.
        extra: The extra of this package that installs it.
        feature: What needs it, for the error.

    Returns:
        The module.

    Raises:
        ImportError: If it is not installed, saying what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{feature} needs {module}, which is not installed ({error}). Install it with: "
            f'pip install "keras_vsoftmax[{extra}]"'
        ) from error
