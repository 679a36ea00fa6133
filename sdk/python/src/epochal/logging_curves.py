"""What a run logs of how a model does: histograms, curves, confusion matrices; and spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from epochal.logging_media import TakesRecords
from epochal.records import spreads
from epochal.records.made import package, wrong
from epochal.records.spans import Span, SpanKind, encode_span, opened


class CurveCalls(TakesRecords):
    """Calls that log distributions, curves and spans. All may raise what `log_record` may."""

    def log_histogram(
        self, name: str, values: Iterable[float], bins: int = 64, step: int | None = None
    ) -> None:
        """Counts values, such as weights, into bins and logs the counts; NaN and Inf are left out.

        >>> run.log_histogram("weights/layer1", [0.1, 0.2, 0.2, 0.9], bins=4, step=5)

        Raises:
            InvalidArgument: No value is finite, or there are not 1 to 1024 bins.
        """
        self.log_record(name, spreads.encode_histogram(values, bins), step)

    def log_np_histogram(
        self, name: str, counts: Iterable[float], edges: Iterable[float], step: int | None = None
    ) -> None:
        """Logs what `numpy.histogram` returned: counts, and one edge more.

        >>> import numpy as np
        >>> run.log_np_histogram("weights", *np.histogram([1, 2, 3], bins=2))

        Raises:
            InvalidArgument: There is not one edge more than counts, or edges do not rise.
        """
        self.log_record(name, spreads.encode_counts(edges, counts), step)

    def log_curve(
        self,
        name: str,
        x: Iterable[float],
        y: Iterable[float],
        step: int | None = None,
        caption: str = "",
    ) -> None:
        """Logs any curve by its points; of more than 10,000 some are kept, evenly.

        >>> run.log_curve("calibration", [0, 0.5, 1], [0, 0.4, 1])

        Raises:
            InvalidArgument: x and y differ in length or are empty.
        """
        self.log_record(name, spreads.encode_curve("custom", x, y, None, caption), step)

    def log_roc_auc_curve(
        self,
        name: str,
        fpr: Iterable[float],
        tpr: Iterable[float],
        auc: float | None = None,
        step: int | None = None,
    ) -> None:
        """Logs a ROC curve; the area under it is worked out when it is not given.

        >>> run.log_roc_auc_curve("roc", [0, 0, 1], [0, 1, 1])

        Raises:
            InvalidArgument: The rates differ in length or are empty.
        """
        false, true = [float(rate) for rate in fpr], [float(rate) for rate in tpr]
        area = spreads.area_under(false, true) if auc is None else float(auc)
        self.log_record(name, spreads.encode_curve("roc", false, true, area), step)

    def log_pr_curve(
        self,
        name: str,
        precision: Iterable[float],
        recall: Iterable[float],
        average_precision: float | None = None,
        step: int | None = None,
    ) -> None:
        """Logs a precision-recall curve; recall is x.

        >>> run.log_pr_curve("pr", precision=[0.5, 1, 1], recall=[1, 0.5, 0])

        Raises:
            InvalidArgument: The columns differ in length or are empty.
        """
        across, up = [float(value) for value in recall], [float(value) for value in precision]
        area = spreads.area_under(across, up) if average_precision is None else average_precision
        self.log_record(name, spreads.encode_curve("pr", across, up, float(area)), step)

    def log_sklearn_roc_auc_curve(
        self,
        name: str,
        y_true: Sequence[object],
        y_score: Sequence[float],
        pos_label: object = None,
        step: int | None = None,
    ) -> None:
        """Works a ROC curve out with scikit-learn, from labels and scores, and logs it.

        >>> run.log_sklearn_roc_auc_curve("roc", [0, 1, 0, 1], [0.1, 0.9, 0.4, 0.35])

        Raises:
            FailedPrecondition: scikit-learn is not installed.
            InvalidArgument: scikit-learn cannot take them.
        """
        metrics = package("sklearn.metrics", "a ROC curve")
        try:
            fpr, tpr, _ = metrics.roc_curve(y_true, y_score, pos_label=pos_label)
        except ValueError as error:
            raise wrong("y_true", "roc", f"no ROC curve: {error}") from error
        self.log_roc_auc_curve(name, fpr.tolist(), tpr.tolist(), step=step)

    def log_sklearn_pr_curve(
        self,
        name: str,
        y_true: Sequence[object],
        y_score: Sequence[float],
        pos_label: object = None,
        step: int | None = None,
    ) -> None:
        """Works a precision-recall curve out with scikit-learn and logs it.

        >>> run.log_sklearn_pr_curve("pr", [0, 1, 0, 1], [0.1, 0.9, 0.4, 0.35])

        Raises:
            FailedPrecondition: scikit-learn is not installed.
            InvalidArgument: scikit-learn cannot take them.
        """
        metrics = package("sklearn.metrics", "a precision-recall curve")
        chosen = {} if pos_label is None else {"pos_label": pos_label}
        try:
            precision, recall, _ = metrics.precision_recall_curve(y_true, y_score, **chosen)
            average = float(metrics.average_precision_score(y_true, y_score, **chosen))
        except ValueError as error:
            raise wrong("y_true", "pr", f"no precision-recall curve: {error}") from error
        self.log_pr_curve(name, precision.tolist(), recall.tolist(), average, step)

    def log_confusion_matrix(
        self,
        name: str,
        labels: Sequence[object],
        matrix: Iterable[Iterable[float]],
        step: int | None = None,
    ) -> None:
        """Logs a confusion matrix: rows are what is, columns what was predicted.

        >>> run.log_confusion_matrix("val", ["cat", "dog"], [[8, 2], [1, 9]])

        Raises:
            InvalidArgument: It is not as long and wide as there are labels.
        """
        self.log_record(name, spreads.encode_confusion(labels, matrix), step)

    def log_span(self, span: Span, step: int | None = None) -> None:
        """Logs one piece of work that has ended, with the ids of OpenTelemetry.

        >>> run.log_span(epochal.Span("ask", kind="llm", inputs="2+2?", outputs="4"))
        """
        self.log_record(span.name, encode_span(span), step)

    def log_trace(self, spans: Iterable[Span]) -> None:
        """Logs the spans of a trace.

        >>> root = epochal.Span("answer", kind="agent")
        >>> part = epochal.Span(
        ...     "search", kind="tool", trace_id=root.trace_id, parent_span_id=root.span_id
        ... )
        >>> run.log_trace([root, part])
        """
        for span in spans:
            self.log_span(span)

    def span(
        self, name: str, kind: SpanKind = "chain", inputs: object = None
    ) -> AbstractContextManager[Span]:
        """Times a block as a span, part of the span it runs in, and logs how it ended.

        >>> with run.span("answer", kind="agent", inputs="2+2?") as span:
        ...     with run.span("ask", kind="llm") as part:
        ...         part.outputs = "4"
        ...     span.outputs = part.outputs
        """
        return opened(name, kind, inputs, self.log_span)
