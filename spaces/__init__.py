"""What can be built: neurons, blocks, networks; one file a search space."""
