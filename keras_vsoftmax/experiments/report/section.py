"""What a part of the report is that shows one kind of figures."""

import abc


class Section(abc.ABC):
    """Shows the groups of records whose data measured one kind of figures.

    Attributes:
        key: the part of a record that `DataSet.measure` gave it, and that is shown here.
    """

    key: str

    @abc.abstractmethod
    def tables(self, group):
        """Markdown of one group: how it was trained, and the heads that were measured."""

    def document(self, groups):
        """Markdown lines of the whole report: every group, and what was published and not run.

        Where nothing was published these are the groups' tables.

        Args:
            groups: all groups that this section shows, perhaps none.
        """
        return list(map(self.tables, groups))

    def figures(self, group, folder, index):
        """Draw a group's figures into a folder.

        Args:
            group: `{head: {seed: record}}`.
            folder: `pathlib.Path`.
            index: int, of the group in the report, for the names of the files.

        Returns:
            Markdown that shows them, empty where there are none.
        """
        return ""
