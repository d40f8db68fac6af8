"""Files of weights: checkpoints of this package, and published weights."""
