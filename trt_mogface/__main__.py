"""``python -m trt_mogface`` is the command line."""

from trt_mogface.cli.app import main

main()
