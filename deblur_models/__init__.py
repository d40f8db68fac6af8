"""The name of blursynth's companion for training deblurring networks. It holds no code yet."""
