"""Calls of a run as functions that act on the current one: `epochal.log_image(...)`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from epochal.run import Run
from epochal.tracking import current_run

P = ParamSpec("P")
R = TypeVar("R")


def of_current(call: Callable[Concatenate[Run, P], R]) -> Callable[P, R]:
    """Makes a function of a call, with its arguments and types, that takes the current run.

    Raises:
        NoActiveRun: When it is called and there is none.
    """

    @functools.wraps(call)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        # By its name: a silent run has calls of its own.
        bound: Callable[P, R] = getattr(current_run(), call.__name__)
        return bound(*args, **kwargs)

    return called


alert_when = of_current(Run.alert_when)
follow_tensorboard = of_current(Run.follow_tensorboard)
log_altair_chart = of_current(Run.log_altair_chart)
log_artifact_ref = of_current(Run.log_artifact_ref)
log_audio = of_current(Run.log_audio)
log_bokeh_chart = of_current(Run.log_bokeh_chart)
log_code_ref = of_current(Run.log_code_ref)
log_confusion_matrix = of_current(Run.log_confusion_matrix)
log_curve = of_current(Run.log_curve)
log_data_ref = of_current(Run.log_data_ref)
log_dataframe = of_current(Run.log_dataframe)
log_dataset = of_current(Run.log_dataset)
log_dir_ref = of_current(Run.log_dir_ref)
log_env = of_current(Run.log_env)
log_failed = of_current(Run.log_failed)
log_file_ref = of_current(Run.log_file_ref)
log_histogram = of_current(Run.log_histogram)
log_html = of_current(Run.log_html)
log_image = of_current(Run.log_image)
log_image_with_boxes = of_current(Run.log_image_with_boxes)
log_inputs = of_current(Run.log_inputs)
log_markdown = of_current(Run.log_markdown)
log_meta = of_current(Run.log_meta)
log_model_ref = of_current(Run.log_model_ref)
log_mpl_image = of_current(Run.log_mpl_image)
log_mpl_plotly_chart = of_current(Run.log_mpl_plotly_chart)
log_np_histogram = of_current(Run.log_np_histogram)
log_plotly_chart = of_current(Run.log_plotly_chart)
log_pr_curve = of_current(Run.log_pr_curve)
log_progress = of_current(Run.log_progress)
log_roc_auc_curve = of_current(Run.log_roc_auc_curve)
log_sklearn_pr_curve = of_current(Run.log_sklearn_pr_curve)
log_sklearn_roc_auc_curve = of_current(Run.log_sklearn_roc_auc_curve)
log_span = of_current(Run.log_span)
log_status = of_current(Run.log_status)
log_stopped = of_current(Run.log_stopped)
log_succeeded = of_current(Run.log_succeeded)
log_table = of_current(Run.log_table)
log_tags = of_current(Run.log_tags)
log_tensorboard = of_current(Run.log_tensorboard)
log_tensorboard_ref = of_current(Run.log_tensorboard_ref)
log_text = of_current(Run.log_text)
log_trace = of_current(Run.log_trace)
log_vega_chart = of_current(Run.log_vega_chart)
log_video = of_current(Run.log_video)
set_description = of_current(Run.set_description)
set_name = of_current(Run.set_name)
set_readme = of_current(Run.set_readme)
span = of_current(Run.span)
use_model = of_current(Run.use_model)
