"""File degradations: resampling and compression."""
