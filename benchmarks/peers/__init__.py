"""Other projects' detectors and runtimes, compared with ours on the same images or on the network only."""
