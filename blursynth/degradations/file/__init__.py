"""What files do to pictures: resampling and compression."""
