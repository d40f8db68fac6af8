"""Plain functions of numbers: the physics of blur, to be checked with a pencil."""
