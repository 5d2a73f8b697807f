"""Cost of a network, counted from its graph: multiply-adds and bytes."""
