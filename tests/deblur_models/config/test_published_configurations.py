"""Configurations that name a paper hold its numbers: a table of field, value and source, held against the files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from deblur_models.config.configuration import Schedule, configuration_names, load_configuration

OURS = {"distilled", "photographs", "small"}
"""Configurations that name no paper."""

DEBLURGAN = "KupynOrest/DeblurGAN"
DEBLURGAN_PAPER = "DeblurGAN, CVPR 2018"
V2 = "VITA-Group/DeblurGANv2 at 756db7f"
ALBU = "albumentations 1.0.0"
NAFNET = "megvii-research/NAFNet options/train/GoPro/NAFNet-width32.yml"
HINET = "megvii-model/HINet options/train/GoPro/HINet.yml"
RESTORMER = "swz30/Restormer Motion_Deblurring/Options/Deblurring_Restormer.yml"
SRN = "jiangsutx/SRN-Deblur"
BLURRING = "Deblurring by Realistic Blurring, CVPR 2020, section 4"

PUBLISHED: tuple[tuple[str, str, Any, str], ...] = (
    ("deblurgan", "network.kind", "deblurgan", DEBLURGAN_PAPER),
    ("deblurgan", "loss.0.kind", "perceptual", f"{DEBLURGAN_PAPER}, section 3.1"),
    ("deblurgan", "loss.0.weight", 100.0, f"{DEBLURGAN_PAPER}, eq. 2; options/train_options.py lambda_A"),
    ("deblurgan", "loss.0.layer", "conv3_3", f"{DEBLURGAN_PAPER}, section 3.1; models/losses.py"),
    ("deblurgan", "loss.0.paper_compat", True, f"{DEBLURGAN} models/losses.py: VGG19 gets -1..1"),
    ("deblurgan", "adversarial.loss.kind", "wgan_gp", DEBLURGAN_PAPER),
    ("deblurgan", "adversarial.loss.weight", 1.0, f"{DEBLURGAN} models/conditional_gan_model.py backward_G"),
    ("deblurgan", "adversarial.loss.penalty_weight", 10.0, f"{DEBLURGAN} models/losses.py LAMBDA"),
    ("deblurgan", "adversarial.loss.paper_compat", True, f"{DEBLURGAN} models/losses.py gradients.norm(2, dim=1)"),
    ("deblurgan", "adversarial.discriminator.layers", 3, f"{DEBLURGAN} options/base_options.py n_layers_D"),
    ("deblurgan", "adversarial.discriminator.width", 64, f"{DEBLURGAN} options/base_options.py ndf"),
    ("deblurgan", "adversarial.steps", 5, f"{DEBLURGAN_PAPER}, section 5; criticUpdates"),
    ("deblurgan", "adversarial.learning_rate", 1e-4, f"{DEBLURGAN_PAPER}, section 5"),
    ("deblurgan", "stage.0.steps", 300_000, f"{DEBLURGAN_PAPER}, section 5: 150 + 150 epochs of 1000 pictures"),
    ("deblurgan", "stage.0.patch_px", 256, f"{DEBLURGAN_PAPER}, section 5"),
    ("deblurgan", "stage.0.batch", 1, f"{DEBLURGAN_PAPER}, section 5"),
    ("deblurgan", "optimizer.kind", "adam", f"{DEBLURGAN_PAPER}, section 5"),
    ("deblurgan", "optimizer.learning_rate", 1e-4, f"{DEBLURGAN_PAPER}, section 5"),
    ("deblurgan", "optimizer.betas", [0.5, 0.999], f"{DEBLURGAN} options/train_options.py beta1"),
    ("deblurgan", "optimizer.clip_norm", 0.0, f"{DEBLURGAN} models/conditional_gan_model.py has none"),
    ("deblurgan", "schedule.kind", "linear", f"{DEBLURGAN_PAPER}, section 5"),
    ("deblurgan", "schedule.hold", 0.5, f"{DEBLURGAN_PAPER}, section 5: the first 150 of 300 epochs"),
    ("deblurgan", "schedule.final_factor", 0.0, f"{DEBLURGAN_PAPER}, section 5"),
    ("deblurgan", "run.ema_decay", 0.0, f"{DEBLURGAN} has no running average"),
    ("deblurgan", "run.augment", "mirror", f"{DEBLURGAN} data/aligned_dataset.py: one in two left to right"),
    ("deblurgan-v2-mobile", "network.encoder", "mobilenetv2_100", f"{V2} models/fpn_mobilenet.py"),
    ("deblurgan-v2-mobile", "network.width", 64, f"{V2} models/fpn_mobilenet.py num_filters"),
    ("deblurgan-v2-mobile", "loss.0.kind", "l2", f"{V2} models/losses.py PerceptualLoss.get_loss"),
    ("deblurgan-v2-mobile", "loss.0.weight", 0.5, f"{V2} models/losses.py PerceptualLoss.get_loss"),
    ("deblurgan-v2-mobile", "loss.0.imagenet_std", True, f"{V2} models/losses.py PerceptualLoss.get_loss"),
    ("deblurgan-v2-mobile", "loss.1.kind", "perceptual", f"{V2} models/losses.py PerceptualLoss.get_loss"),
    ("deblurgan-v2-mobile", "loss.1.weight", 0.006, f"{V2} models/losses.py PerceptualLoss.get_loss"),
    ("deblurgan-v2-mobile", "loss.1.layer", "conv3_3", f"{V2} models/losses.py conv_3_3_layer"),
    ("deblurgan-v2-mobile", "loss.1.paper_compat", False, f"{V2} models/losses.py transforms.Normalize"),
    ("deblurgan-v2-mobile", "loss.2", None, "there are two"),
    ("deblurgan-v2-mobile", "adversarial.loss.kind", "ragan_ls", f"{V2} README.md"),
    ("deblurgan-v2-mobile", "adversarial.loss.weight", 0.001, f"{V2} config/config.yaml adv_lambda"),
    ("deblurgan-v2-mobile", "adversarial.loss.pool_pictures", 50, f"{V2} models/losses.py ImagePool(50)"),
    ("deblurgan-v2-mobile", "adversarial.discriminator.kind", "double_patchgan", f"{V2} README.md"),
    ("deblurgan-v2-mobile", "adversarial.discriminator.local_layers", 3, f"{V2} config/config.yaml d_layers"),
    ("deblurgan-v2-mobile", "adversarial.discriminator.global_layers", 5, f"{V2} models/networks.py get_fullD"),
    ("deblurgan-v2-mobile", "adversarial.steps", 1, f"{V2} train.py _run_epoch"),
    ("deblurgan-v2-mobile", "adversarial.learning_rate", 1e-4, f"{V2} config/config.yaml lr"),
    ("deblurgan-v2-mobile", "adversarial.from_step", 0, f"{V2} train.py _run_epoch"),
    ("deblurgan-v2-mobile", "stage.0.steps", 200_000, f"{V2} config/config.yaml: 200 epochs of 1000 batches"),
    ("deblurgan-v2-mobile", "stage.0.patch_px", 256, f"{V2} config/config.yaml size"),
    ("deblurgan-v2-mobile", "stage.0.batch", 1, f"{V2} config/config.yaml batch_size"),
    ("deblurgan-v2-mobile", "optimizer.kind", "adam", f"{V2} config/config.yaml"),
    ("deblurgan-v2-mobile", "optimizer.learning_rate", 1e-4, f"{V2} config/config.yaml lr"),
    ("deblurgan-v2-mobile", "optimizer.betas", [0.9, 0.999], f"{V2} train.py _get_optim: torch's own"),
    ("deblurgan-v2-mobile", "schedule.kind", "linear", f"{V2} config/config.yaml"),
    ("deblurgan-v2-mobile", "run.frozen_encoder_steps", 3000, f"{V2} config/config.yaml warmup_num: 3 epochs"),
    ("deblurgan-v2-mobile", "run.ema_decay", 0.0, f"{V2} has no running average"),
    ("deblurgan-v2-mobile", "run.augment", False, f"{V2} aug.py: flips are among the changes of geometry"),
    ("deblurgan-v2-mobile", "augmentation.geometric", 0.5, f"{V2} aug.py get_transforms: OneOf; {ALBU} core/composition.py p"),
    ("deblurgan-v2-mobile", "augmentation.angle_deg", 45.0, f"{V2} aug.py ShiftScaleRotate; {ALBU} rotate_limit"),
    ("deblurgan-v2-mobile", "augmentation.scale", 0.1, f"{V2} aug.py ShiftScaleRotate; {ALBU} scale_limit"),
    ("deblurgan-v2-mobile", "augmentation.distortion", 0.05, f"{V2} aug.py OpticalDistortion; {ALBU} distort_limit"),
    ("deblurgan-v2-mobile", "augmentation.displacement_px", 50.0, f"{V2} aug.py ElasticTransform; {ALBU} alpha_affine"),
    ("deblurgan-v2-mobile", "augmentation.picture_px", [1280, 720], "GoPro, CVPR 2017, section 2"),
    ("deblurgan-v2-mobile", "augmentation.corruption", 0.5, f"{V2} aug.py get_corrupt_function: OneOf; {ALBU} p"),
    ("deblurgan-v2-mobile", "augmentation.holes", 3, f"{V2} config/config.yaml cutout num_holes"),
    ("deblurgan-v2-mobile", "augmentation.hole_px", 25, f"{V2} config/config.yaml cutout max_h_size, max_w_size"),
    ("deblurgan-v2-mobile", "augmentation.jpeg_quality", [70, 90], f"{V2} config/config.yaml jpeg"),
    ("deblurgan-v2-mobile", "augmentation.kernel_px", 7, f"{V2} config/config.yaml motion_blur, median_blur; {ALBU} blur_limit"),
    ("deblurgan-v2-mobile", "augmentation.gamma", [0.8, 1.2], f"{V2} config/config.yaml gamma; {ALBU} gamma_limit"),
    ("deblurgan-v2-mobile", "augmentation.color_shift", 20.0, f"{V2} config/config.yaml rgb_shift; {ALBU} RGBShift"),
    ("deblurgan-v2-mobile", "augmentation.hue_shift", 20.0, f"{V2} config/config.yaml hsv_shift; {ALBU} hue_shift_limit"),
    ("deblurgan-v2-mobile", "augmentation.saturation_shift", 30.0, f"{V2} config/config.yaml hsv_shift; {ALBU} sat_shift_limit"),
    ("deblurgan-v2-mobile", "augmentation.value_shift", 20.0, f"{V2} config/config.yaml hsv_shift; {ALBU} val_shift_limit"),
    ("deblurgan-v2-mobile", "augmentation.sharpen_alpha", [0.2, 0.5], f"{V2} config/config.yaml sharpen; {ALBU} Sharpen"),
    ("deblurgan-v2-mobile", "augmentation.sharpen_lightness", [0.5, 1.0], f"{V2} config/config.yaml sharpen; {ALBU} Sharpen"),
    ("nafnet-32", "network.width", 32, NAFNET),
    ("nafnet-32", "network.encoder_blocks", [1, 1, 1, 28], NAFNET),
    ("nafnet-32", "network.middle_blocks", 1, NAFNET),
    ("nafnet-32", "network.decoder_blocks", [1, 1, 1, 1], NAFNET),
    ("nafnet-32", "network.local_px", 384, "megvii-research/NAFNet basicsr/models/archs/NAFNet_arch.py NAFNetLocal"),
    ("nafnet-32", "loss.0.kind", "psnr", NAFNET),
    ("nafnet-32", "loss.0.weight", 1.0, NAFNET),
    ("nafnet-32", "stage.0.steps", 200_000, f"{NAFNET} total_iter"),
    ("nafnet-32", "stage.0.patch_px", 256, f"{NAFNET} gt_size"),
    ("nafnet-32", "stage.0.batch", 32, f"{NAFNET} num_gpu 8 x batch_size_per_gpu 4"),
    ("nafnet-32", "optimizer.kind", "adamw", NAFNET),
    ("nafnet-32", "optimizer.learning_rate", 1e-3, NAFNET),
    ("nafnet-32", "optimizer.betas", [0.9, 0.9], NAFNET),
    ("nafnet-32", "optimizer.weight_decay", 1e-3, NAFNET),
    ("nafnet-32", "optimizer.clip_norm", 0.01, "megvii-research/NAFNet basicsr/models/image_restoration_model.py"),
    ("nafnet-32", "schedule.kind", "cosine", NAFNET),
    ("nafnet-32", "schedule.warmup_steps", 0, f"{NAFNET} warmup_iter -1"),
    ("nafnet-32", "schedule.final_factor", 1e-4, f"{NAFNET} eta_min 1e-7 of 1e-3"),
    ("nafnet-32", "run.ema_decay", 0.0, "megvii-research/NAFNet has no running average"),
    ("nafnet-32", "run.augment", True, f"{NAFNET} use_flip, use_rot"),
    ("nafnet-32-real", "data.photographs.share", 2.0, f"{DEBLURGAN_PAPER}, section 5: synthetic to real is 2:1"),
    ("nafnet-32-real", "data.real.share", 1.0, f"{DEBLURGAN_PAPER}, section 5: synthetic to real is 2:1"),
    ("nafnet-32-real", "optimizer.clip_norm", 0.01, "megvii-research/NAFNet basicsr/models/image_restoration_model.py"),
    ("hinet", "network.width", 64, f"{HINET} wf"),
    ("hinet", "network.levels", 5, "megvii-model/HINet basicsr/models/archs/hinet_arch.py depth"),
    ("hinet", "network.normalized_levels", [3, 4], f"{HINET} hin_position_left, hin_position_right"),
    ("hinet", "network.local_px", 0, f"{HINET} has none"),
    ("hinet", "loss.0.kind", "psnr", HINET),
    ("hinet", "loss.0.weight", 0.5, HINET),
    ("hinet", "loss.1", None, f"{HINET} pixel_opt alone"),
    ("hinet", "stage.0.steps", 400_000, f"{HINET} total_iter"),
    ("hinet", "stage.0.patch_px", 256, f"{HINET} gt_size"),
    ("hinet", "stage.0.batch", 64, f"{HINET} num_gpu 8 x batch_size_per_gpu 8"),
    ("hinet", "stage.1", None, f"{HINET} one"),
    ("hinet", "optimizer.kind", "adam", HINET),
    ("hinet", "optimizer.learning_rate", 2e-4, HINET),
    ("hinet", "optimizer.betas", [0.9, 0.99], HINET),
    ("hinet", "optimizer.weight_decay", 0.0, HINET),
    ("hinet", "optimizer.clip_norm", 0.01, "megvii-model/HINet basicsr/models/image_restoration_model.py"),
    ("hinet", "schedule.kind", "cosine", HINET),
    ("hinet", "schedule.hold", 0.0, HINET),
    ("hinet", "schedule.warmup_steps", 0, f"{HINET} warmup_iter -1"),
    ("hinet", "schedule.final_factor", 5e-4, f"{HINET} eta_min 1e-7 of 2e-4"),
    ("hinet", "run.ema_decay", 0.0, "megvii-model/HINet has no running average"),
    ("hinet", "run.augment", True, f"{HINET} use_flip, use_rot"),
    ("hinet", "run.precision", "float32", f"{HINET} has no mixed precision"),
    ("restormer", "network.width", 48, f"{RESTORMER} dim"),
    ("restormer", "network.blocks", [4, 6, 6, 8], f"{RESTORMER} num_blocks"),
    ("restormer", "network.heads", [1, 2, 4, 8], RESTORMER),
    ("restormer", "network.refinement_blocks", 4, RESTORMER),
    ("restormer", "network.ffn_expansion", 2.66, RESTORMER),
    ("restormer", "network.layer_norm", "with_bias", RESTORMER),
    ("restormer", "loss.0.kind", "l1", RESTORMER),
    ("restormer", "loss.0.weight", 1.0, RESTORMER),
    ("restormer", "loss.1", None, f"{RESTORMER} pixel_opt alone"),
    ("restormer", "stage.0.steps", 92_000, f"{RESTORMER} iters"),
    ("restormer", "stage.0.batch", 64, f"{RESTORMER} num_gpu 8 x mini_batch_sizes 8"),
    ("restormer", "stage.0.patch_px", 128, f"{RESTORMER} gt_sizes"),
    ("restormer", "stage.1.steps", 64_000, f"{RESTORMER} iters"),
    ("restormer", "stage.1.batch", 40, f"{RESTORMER} num_gpu 8 x mini_batch_sizes 5"),
    ("restormer", "stage.1.patch_px", 160, f"{RESTORMER} gt_sizes"),
    ("restormer", "stage.2.steps", 48_000, f"{RESTORMER} iters"),
    ("restormer", "stage.2.batch", 32, f"{RESTORMER} num_gpu 8 x mini_batch_sizes 4"),
    ("restormer", "stage.2.patch_px", 192, f"{RESTORMER} gt_sizes"),
    ("restormer", "stage.3.steps", 36_000, f"{RESTORMER} iters"),
    ("restormer", "stage.3.batch", 16, f"{RESTORMER} num_gpu 8 x mini_batch_sizes 2"),
    ("restormer", "stage.3.patch_px", 256, f"{RESTORMER} gt_sizes"),
    ("restormer", "stage.4.steps", 36_000, f"{RESTORMER} iters"),
    ("restormer", "stage.4.batch", 8, f"{RESTORMER} num_gpu 8 x mini_batch_sizes 1"),
    ("restormer", "stage.4.patch_px", 320, f"{RESTORMER} gt_sizes"),
    ("restormer", "stage.5.steps", 24_000, f"{RESTORMER} iters"),
    ("restormer", "stage.5.batch", 8, f"{RESTORMER} num_gpu 8 x mini_batch_sizes 1"),
    ("restormer", "stage.5.patch_px", 384, f"{RESTORMER} gt_sizes"),
    ("restormer", "stage.6", None, f"{RESTORMER} six"),
    ("restormer", "optimizer.kind", "adamw", RESTORMER),
    ("restormer", "optimizer.learning_rate", 3e-4, RESTORMER),
    ("restormer", "optimizer.betas", [0.9, 0.999], RESTORMER),
    ("restormer", "optimizer.weight_decay", 1e-4, RESTORMER),
    ("restormer", "optimizer.clip_norm", 0.01, "swz30/Restormer basicsr/models/image_restoration_model.py"),
    ("restormer", "schedule.kind", "cosine", f"{RESTORMER} CosineAnnealingRestartCyclicLR"),
    ("restormer", "schedule.hold", 92 / 300, f"{RESTORMER} periods"),
    ("restormer", "schedule.warmup_steps", 0, f"{RESTORMER} warmup_iter -1"),
    ("restormer", "schedule.final_factor", 1e-6 / 3e-4, f"{RESTORMER} eta_mins"),
    ("restormer", "run.ema_decay", 0.0, f"{RESTORMER} has no ema_decay"),
    ("restormer", "run.augment", True, f"{RESTORMER} geometric_augs: the eight of data_augmentation"),
    ("restormer", "run.precision", "float32", f"{RESTORMER} has no mixed precision"),
    ("srn", "network.channels", 1, f"{SRN} models/model.py chns"),
    ("srn", "network.width", 32, f"{SRN} models/model.py generator"),
    ("srn", "network.blocks", 3, f"{SRN} models/model.py generator"),
    ("srn", "network.levels", 3, f"{SRN} models/model.py n_levels"),
    ("srn", "network.lstm", True, f"{SRN} README.md: exactly the structure of the paper"),
    ("srn", "loss.0.kind", "l2", f"{SRN} models/model.py build_model"),
    ("srn", "loss.0.weight", 1.0, f"{SRN} models/model.py build_model"),
    ("srn", "loss.1", None, f"{SRN} models/model.py build_model"),
    ("srn", "stage.0.steps", 524_000, f"{SRN} run_model.py epoch 4000 x (2103 lines of datalist_gopro.txt // 16)"),
    ("srn", "stage.0.patch_px", 256, f"{SRN} models/model.py crop_size"),
    ("srn", "stage.0.batch", 16, f"{SRN} run_model.py batch_size"),
    ("srn", "optimizer.kind", "adam", f"{SRN} models/model.py get_optimizer"),
    ("srn", "optimizer.learning_rate", 1e-4, f"{SRN} run_model.py lr"),
    ("srn", "optimizer.betas", [0.9, 0.999], f"{SRN} models/model.py: TensorFlow's own"),
    ("srn", "optimizer.clip_norm", 0.0, f"{SRN} models/model.py is_gradient_clip False"),
    ("srn", "schedule.kind", "polynomial", f"{SRN} models/model.py polynomial_decay"),
    ("srn", "schedule.power", 0.3, f"{SRN} models/model.py power"),
    ("srn", "schedule.hold", 0.0, f"{SRN} models/model.py polynomial_decay"),
    ("srn", "schedule.final_factor", 0.0, f"{SRN} models/model.py end_learning_rate"),
    ("srn", "run.ema_decay", 0.0, f"{SRN} has no running average"),
    ("srn", "run.augment", False, f"{SRN} models/model.py preprocessing: a random crop alone"),
    ("bgan", "adversarial.loss.weight", 0.005, BLURRING),
    ("bgan", "stage.0.patch_px", 128, BLURRING),
    ("bgan", "stage.0.batch", 4, BLURRING),
    ("bgan", "optimizer.learning_rate", 1e-4, BLURRING),
    ("bgan", "schedule.final_factor", 1e-2, f"{BLURRING}: to 1e-6"),
    ("dbgan", "adversarial.loss.weight", 0.01, BLURRING),
    ("dbgan", "stage.0.patch_px", 128, BLURRING),
    ("dbgan", "stage.0.batch", 4, BLURRING),
    ("dbgan", "optimizer.learning_rate", 1e-4, BLURRING),
    ("dbgan", "schedule.final_factor", 1e-2, f"{BLURRING}: to 1e-6"),
)  # fmt: skip


def found(tables: Any, field: str) -> Any:
    """The value of a dotted name; None where an array ends before it."""
    for part in field.split("."):
        if isinstance(tables, list):
            tables = tables[int(part)] if int(part) < len(tables) else None
        else:
            assert isinstance(tables, Mapping)
            tables = tables[part]
    return tables


@pytest.mark.parametrize("name", configuration_names())
def test_a_configuration_has_the_values_of_its_paper(name: str) -> None:
    tables = load_configuration(name).to_dict()
    published = [(field, value, source) for file, field, value, source in PUBLISHED if file == name]
    assert bool(published) != (name in OURS), "a configuration names a paper and stands in the table, or is ours"
    wrong = [(f, found(tables, f), v, source) for f, v, source in published if found(tables, f) != v]
    assert wrong == [], "field, value in the file, published value, source"
    text = files("deblur_models.config").joinpath(f"{name}.toml").read_text("utf-8")
    assert "as published" not in text.lower(), "what is published stands with its source, what differs as different"
    assert name in OURS or "differences:" in text.lower() or "extends" in text


def test_deblurgan_v2_s_learning_rate_is_that_of_its_code() -> None:
    """At the start of every epoch; in schedulers.py and train.py a second schedule begins when the backbone thaws."""
    schedule = load_configuration("deblurgan-v2-mobile").schedule
    epochs, start, warmup, least = 200, 50, 3, 1e-3
    for epoch in range(epochs):
        count = epoch if epoch < warmup else epoch - warmup
        published = 1.0 if count < start else 1 - (1 - least) / epochs * (count - start)
        assert schedule.at(1000 * epoch, 1000 * epochs) == pytest.approx(published, abs=1e-4)
    assert published == pytest.approx(0.27, abs=0.002)


def test_the_schedule_of_srn_can_be_written() -> None:
    """TensorFlow's polynomial decay: (rate - end) (1 - step / steps)^power + end, with end 0 and power .3."""
    schedule = Schedule(kind="polynomial", power=0.3, final_factor=0.0)
    for step in (0, 1, 250, 500, 999):
        assert schedule.at(step, 1000) == pytest.approx((1 - step / 1000) ** 0.3)
    assert Schedule(kind="polynomial", power=1, hold=0.5, final_factor=0.2).at(750, 1000) == pytest.approx(
        Schedule(kind="linear", hold=0.5, final_factor=0.2).at(750, 1000)
    )
    assert np.isclose(Schedule(kind="polynomial", power=2, final_factor=0.1).at(500, 1000), 0.1 + 0.9 * 0.25)
