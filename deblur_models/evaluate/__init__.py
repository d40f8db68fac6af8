"""How well pictures are restored: scores, their uncertainty, speed, and the report."""
