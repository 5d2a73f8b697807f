"""The command line: ``trt-mogface``, one module a verb."""
