"""From light to a picture and back: decoding, development, tone curves, sharpening."""
