"""deblur_models: trains "clear -> blur -> clear" on the blur of :mod:`blursynth`, evaluates it and puts it to use.

Pictures are tensors ``[B, 3, H, W]`` of encoded (DISPLAY) values, 0..1, everywhere outside a network.
"""
