"""Motion of camera and objects while the shutter is open."""
