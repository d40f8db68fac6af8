"""Networks put to use on pictures of any size."""
