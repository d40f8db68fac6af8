"""What counts as one surface when depth is smoothed, and the extent of its neighborhood."""

from __future__ import annotations

__all__ = ["ALONE", "BEND", "COLOR_CUT", "FIRST_PX", "IN_BAND", "LIKELIER", "RIDGE", "SURE"]

ALONE = 4  # pixels of 25 with fewer of their own surface, themselves included, are outliers
LIKELIER = 6.0  # how much better the colors of the other surface must fit
IN_BAND = 0.02  # weight of the colors of pixels so near to a jump that it may lie elsewhere
BEND = 0.35  # share of the step by which a surface may leave the plane of its neighborhood
FIRST_PX = 4  # radius of the planes by which surfaces are continued
RIDGE = 1.0  # px^2, added to the spread of a cross, so that a line of pixels has a plane, too
SURE = 0.02  # share of the step below which a smaller residual makes a plane no better
COLOR_CUT = 0.5  # share of the step that is left where colors differ
