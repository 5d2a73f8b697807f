"""Other ways from the same pictures to faces, or through the network alone."""
