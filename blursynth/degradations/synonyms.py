"""Other names for kinds, from papers, other libraries and photographers.

They are used only in messages; a recipe refers to each kind by its only name.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SYNONYMS"]

_BOKEH = ("disk_blur", "polygon_blur", "defocus")
_NOISE = ("gaussian_noise", "poisson_noise", "sensor")
_SHAKE = ("random_walk_motion", "camera_shake")
_CODEC = ("jpeg", "webp")
_DEPTH = ("plane_depth", "ground_depth", "layered_depth")

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "acceleration": ("accelerated_motion",),
    "airy_disk": ("airy_blur",),
    "anisotropic_gaussian": ("gaussian_blur",),
    "aperture": ("polygon_blur", "defocus"),
    "average": ("frame_average", "linear_motion"),
    "awgn": ("gaussian_noise",),
    "bilateral": ("denoise", "depth_smoothing"),
    "bokeh": _BOKEH,
    "box": ("linear_motion", "disk_blur"),
    "box_blur": ("linear_motion", "disk_blur"),
    "brightness": ("gain", "exposure"),
    "camera_motion": _SHAKE,
    "camera_noise": ("sensor",),
    "compression": _CODEC,
    "convolution": ("measured_blur",),
    "custom_kernel": ("measured_blur",),
    "defocus_blur": _BOKEH,
    "degamma": ("decode", "gamma_decode"),
    "demosaic": ("develop",),
    "depth": _DEPTH,
    "depth_filter": ("depth_smoothing",),
    "depth_of_field": ("defocus",),
    "diffraction": ("airy_blur",),
    "directional_blur": ("linear_motion",),
    "disc_blur": ("disk_blur",),
    "dof": ("defocus",),
    "downsample": ("rescale",),
    "downscale": ("rescale",),
    "focus_blur": _BOKEH,
    "frame_averaging": ("frame_average",),
    "gamma": ("gamma_decode", "gamma_encode"),
    "gaussian": ("gaussian_blur", "gaussian_noise"),
    "generalized_gaussian": ("generalized_gaussian_blur",),
    "gopro": ("frame_average", "rolling_shutter"),
    "guided_filter": ("denoise", "depth_smoothing"),
    "gyro": ("recorded_shake",),
    "hand_shake": _SHAKE,
    "handshake": _SHAKE,
    "heteroscedastic_noise": ("sensor",),
    "inverse_gamma": ("decode", "gamma_decode"),
    "iso_noise": ("sensor",),
    "isotropic_gaussian": ("gaussian_blur",),
    "isp": ("develop",),
    "jello": ("rolling_shutter",),
    "jpeg_artifacts": ("jpeg",),
    "jpeg_compression": ("jpeg",),
    "jpg": ("jpeg",),
    "kernel": ("measured_blur",),
    "lens_blur": _BOKEH,
    "linear_to_srgb": ("encode",),
    "linearize": ("decode",),
    "low_pass": ("sinc_blur", "gaussian_blur"),
    "mean_blur": ("linear_motion", "disk_blur"),
    "moving_objects": ("object_motion",),
    "no_op": ("identity",),
    "noise": _NOISE,
    "noise_reduction": ("denoise",),
    "none": ("identity",),
    "nothing": ("identity",),
    "out_of_focus": _BOKEH,
    "parallax": ("depth_parallax",),
    "photon_noise": ("poisson_noise", "sensor"),
    "pillbox": ("disk_blur",),
    "poisson": ("poisson_noise",),
    "poisson_gaussian_noise": ("sensor",),
    "psf": ("measured_blur",),
    "radial_blur": ("zoom", "camera_shake"),
    "raw_noise": ("sensor",),
    "read_noise": ("sensor", "gaussian_noise"),
    "resize": ("rescale",),
    "ringing": ("sinc_blur",),
    "shake": _SHAKE,
    "shot_noise": ("poisson_noise", "sensor"),
    "sinc": ("sinc_blur",),
    "srgb": ("decode", "encode"),
    "srgb_to_linear": ("decode",),
    "tone_curve": ("encode", "sigmoid_encode", "measured_encode"),
    "trajectory": ("random_walk_motion", "recorded_motion"),
    "unsharp_mask": ("sharpen",),
    "usm": ("sharpen",),
    "white_noise": ("gaussian_noise",),
    "zoom_blur": ("zoom",),
}
"""Synonyms, spelled like kinds, and the kinds they stand for."""
