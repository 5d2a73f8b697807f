"""The command ``trt-mogface``, also as ``python -m trt_mogface``."""

import sys

from trt_mogface._optional import import_failure


def main() -> None:
    """Run the command line; a package that it cannot load is one line too."""
    try:
        from trt_mogface.cli.app import main as run
    except Exception as error:
        failure = import_failure(error)
        if failure is None:
            raise
        print(f"trt-mogface: {failure}", file=sys.stderr)
        sys.exit(2)
    run()


if __name__ == "__main__":
    main()
