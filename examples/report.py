"""The poster's tables with a measured column, and the convergence figures, from run records.

    python examples/report.py runs --out report

writes OUT/report.md and a figure for each group of runs that can be compared.
"""

import argparse
import pathlib

from keras_vsoftmax.experiments.report import report
from keras_vsoftmax.experiments.scripts import script
from keras_vsoftmax.experiments.training import records


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "records", nargs="+", type=pathlib.Path, help="record.json files, or folders that hold them"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default="report", help="folder to write to (default: report)"
    )
    args = parser.parse_args(argv)
    with script.one_line_errors(parser.prog):
        print(report.write(records.find(args.records), args.out))


if __name__ == "__main__":
    main()
