"""Two files, networks or checkpoints, of anyone: are they the same function."""
