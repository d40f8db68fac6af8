"""The scene before the camera: depth, objects, light beyond white."""
