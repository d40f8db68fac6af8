"""When the coverage of a surface, as compositing adds it up, is near enough to whole to count as whole."""

from __future__ import annotations

__all__ = ["COMPLETE", "GOES_ON", "MOST_SCALED", "NEARLY_WHOLE", "NOTHING_SEEN"]

NOTHING_SEEN = 1e-9  # shares of light below this are rounding; they count as none, and 1 - them as all

COMPLETE = 1 - 1e-5

# When the coverage of a surface, with the places where it is missing, is near enough to 1 to be scaled to it: not below
# the first or above the last, wholly between the two others. Noise of depth changes it by some hundredths, a slope of
# .1 px of radius per px by a tenth; two surfaces make 1.5 to 2.
NEARLY_WHOLE = (0.4, 0.85, 1.06, 1.12)
MOST_SCALED = 2.0  # times; else a trace of a slice would show as much as others lack
GOES_ON = 0.25  # of the next slice: then the surface goes on there, and what is lacking here is not lacking
