"""The tables of the poster with a measured column, from the records of runs."""

import pathlib

from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.report.face_report import FaceSection
from keras_vsoftmax.experiments.report.identification_report import IdentificationSection
from keras_vsoftmax.experiments.report.image_report import ImageSection
from keras_vsoftmax.experiments.report.retrieval_report import RetrievalSection
from keras_vsoftmax.experiments.training.records import any_record, groups
from keras_vsoftmax.utils.files import atomic_path

# In the order of the report. What a new kind of data measures is shown by one more.
SECTIONS = (ImageSection(), RetrievalSection(), FaceSection(), IdentificationSection())


def tables(records):
    """Markdown: tables for each group of records, with the heads that were measured."""
    return "\n".join(
        section.tables(group)
        for group in groups(_shown(records))
        for section in _sections_of(any_record(group))
    )


def write(records, folder):
    """Write `report.md`, and the figures of each group, into a folder.

    Returns:
        The Markdown.
    """
    folder = pathlib.Path(folder)
    text = document(records)
    for index, group in enumerate(groups(_shown(records))):
        for section in _sections_of(any_record(group)):
            text += section.figures(group, folder, index)
    with atomic_path(folder / "report.md") as temporary:
        temporary.write_text(text)
    return text


def document(records):
    """Markdown: every table of the poster, and beside it what was measured or that it was not."""
    shown = _shown(records)
    grouped = [(group, _sections_of(any_record(group))) for group in groups(shown)]
    parts = ["# Measured beside published", ""]
    for section in SECTIONS:
        parts += section.document([group for group, found in grouped if section in found])
    if len(shown) < len(records):
        parts += ["", f"Left out, since their figures are others: {len(records) - len(shown)}.", ""]
    return "\n".join(parts)


def _shown(records):
    """The records with figures that some section shows; a study's tables are its own.

    Raises:
        ExperimentError: there is none.
    """
    shown = [record for record in records if _sections_of(record)]
    if records and not shown:
        record = records[0]
        raise ExperimentError(
            f"A record must have one of {', '.join(section.key for section in SECTIONS)}. "
            f"Received: {', '.join(record)} of {record['head']} on {record['data']['source']}"
        )
    return shown


def _sections_of(record):
    """The sections that show what was measured."""
    return [section for section in SECTIONS if section.key in record]
