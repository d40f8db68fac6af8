"""Other names for kinds, from papers, other libraries and photographers.

They are used only in messages; a recipe refers to each kind by its only name.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["SYNONYMS"]

_SYNONYMS_OF = {
    "accelerated_motion": "acceleration",
    "airy_blur": "airy_disk diffraction",
    "decode": "linearize srgb_to_linear",
    "decode encode": "srgb",
    "decode gamma_decode": "degamma inverse_gamma",
    "defocus": "depth_of_field dof",
    "denoise": "noise_reduction",
    "denoise depth_smoothing": "bilateral guided_filter",
    "depth_parallax": "parallax",
    "depth_smoothing": "depth_filter",
    "develop": "demosaic isp",
    "disk_blur": "disc_blur pillbox",
    "disk_blur polygon_blur defocus": "bokeh defocus_blur focus_blur lens_blur out_of_focus",
    "encode": "linear_to_srgb",
    "encode sigmoid_encode measured_encode": "tone_curve",
    "frame_average": "frame_averaging",
    "frame_average linear_motion": "average",
    "frame_average rolling_shutter": "gopro",
    "gain exposure": "brightness",
    "gamma_decode gamma_encode": "gamma",
    "gaussian_blur": "anisotropic_gaussian isotropic_gaussian",
    "gaussian_blur gaussian_noise": "gaussian",
    "gaussian_noise": "awgn white_noise",
    "gaussian_noise poisson_noise sensor": "noise",
    "generalized_gaussian_blur": "generalized_gaussian",
    "identity": "no_op none nothing",
    "jpeg": "jpeg_artifacts jpeg_compression jpg",
    "jpeg webp": "compression",
    "linear_motion": "directional_blur",
    "linear_motion disk_blur": "box box_blur mean_blur",
    "measured_blur": "convolution custom_kernel kernel psf",
    "object_motion": "moving_objects",
    "plane_depth ground_depth layered_depth": "depth",
    "poisson_noise": "poisson",
    "poisson_noise sensor": "photon_noise shot_noise",
    "polygon_blur defocus": "aperture",
    "random_walk_motion camera_shake": "camera_motion hand_shake handshake shake",
    "random_walk_motion recorded_motion": "trajectory",
    "recorded_shake": "gyro",
    "rescale": "downsample downscale resize",
    "rolling_shutter": "jello",
    "sensor": "camera_noise heteroscedastic_noise iso_noise poisson_gaussian_noise raw_noise",
    "sensor gaussian_noise": "read_noise",
    "sharpen": "unsharp_mask usm",
    "sinc_blur": "ringing sinc",
    "sinc_blur gaussian_blur": "low_pass",
    "zoom": "zoom_blur",
    "zoom camera_shake": "radial_blur",
}

SYNONYMS: Mapping[str, tuple[str, ...]] = dict(
    sorted((synonym, tuple(kinds.split())) for kinds, synonyms in _SYNONYMS_OF.items() for synonym in synonyms.split())
)
"""Synonyms, spelled like kinds, and the kinds they stand for."""
