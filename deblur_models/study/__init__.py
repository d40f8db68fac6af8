"""Studies with people: ``make`` (the page for raters, and the key), ``pictures`` (crops), ``answers`` (their files),
``results`` (what they mean), ``statistics`` (plain functions of arrays), ``report`` (the page of results)."""

from deblur_models.study.answers import Rater, answer_files, read_rater, read_raters
from deblur_models.study.design import REFERENCE, StudyKey, read_key
from deblur_models.study.make import MadeStudy, make_study
from deblur_models.study.pictures import Versions, of_folders, of_report
from deblur_models.study.report import write_results
from deblur_models.study.results import summarize
from deblur_models.study.statistics import (
    BradleyTerry,
    Subjects,
    bradley_terry,
    fit_subjects,
    krippendorff_alpha,
    mean_interval,
    raters_needed,
    screen_bt500,
)

__all__ = [
    "REFERENCE",
    "BradleyTerry",
    "MadeStudy",
    "Rater",
    "StudyKey",
    "Subjects",
    "Versions",
    "answer_files",
    "bradley_terry",
    "fit_subjects",
    "krippendorff_alpha",
    "make_study",
    "mean_interval",
    "of_folders",
    "of_report",
    "raters_needed",
    "read_key",
    "read_rater",
    "read_raters",
    "screen_bt500",
    "summarize",
    "write_results",
]
