"""Files of weights: our checkpoints, and the weights that others published."""
