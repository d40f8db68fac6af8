"""Evaluation of restorers: ``evaluation`` (the run), ``statistics`` (means, gains, their intervals), ``store``
(stored results), ``report`` (the page), ``speed``; ``kernels``, ``references``, ``usable_metrics`` (the inputs);
``protocols`` (public test sets), ``layouts`` (where their pictures lie); ``detection`` (by detectors)."""

from deblur_models.evaluate.detection import DetectionTask, open_detector
from deblur_models.evaluate.evaluation import Evaluation, evaluate
from deblur_models.evaluate.kernels import kernel_of_draw, kernels_of_files
from deblur_models.evaluate.protocols import PROTOCOLS, Protocol, find_protocol
from deblur_models.evaluate.references import open_references
from deblur_models.evaluate.report import write_report
from deblur_models.evaluate.severity import PairFacts, pair_facts, severity_px
from deblur_models.evaluate.speed import measure_speed, network_cost, peak_bytes
from deblur_models.evaluate.statistics import bootstrap_mean, summarize
from deblur_models.evaluate.usable_metrics import DEFAULT_METRICS, aligned_metrics, usable_metrics

__all__ = [
    "DEFAULT_METRICS",
    "PROTOCOLS",
    "DetectionTask",
    "Evaluation",
    "PairFacts",
    "Protocol",
    "aligned_metrics",
    "bootstrap_mean",
    "evaluate",
    "find_protocol",
    "kernel_of_draw",
    "kernels_of_files",
    "measure_speed",
    "network_cost",
    "open_detector",
    "open_references",
    "pair_facts",
    "peak_bytes",
    "severity_px",
    "summarize",
    "usable_metrics",
    "write_report",
]
