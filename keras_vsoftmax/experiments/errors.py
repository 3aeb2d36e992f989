"""Errors that end a script with one line."""


class ExperimentError(Exception):
    """Something the user can put right: a script prints it without a traceback and exits."""
