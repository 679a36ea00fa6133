"""What a run logs besides numbers: images, sounds, films, texts, tables, charts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path

from epochal.records.images import boxes_of, encode_image
from epochal.records.made import Made, package
from epochal.records.sounds import RATE, encode_audio, encode_video
from epochal.records.tables import encode_table
from epochal.records.texts import encode_chart, encode_text


class TakesRecords(ABC):
    """A run, as the calls for typed records see it."""

    @abstractmethod
    def log_record(self, name: str, made: Made, step: int | None = None) -> None:
        """Logs a record that is encoded; the other calls encode one and come here.

        It is on disk when this returns, and sent with others by a thread of its own.

        >>> from epochal.records.texts import encode_json
        >>> run.log_record("what/ever", encode_json("custom", {"a": 1}), step=3)

        Args:
            name: Such as "val/samples".
            made: By an encoder of `epochal.records`.
            step: Training step; without it, the calls of this kind and name are counted from 0.

        Raises:
            InvalidArgument: The name or step cannot be stored.
            RunClosed: The run is finished.
            DataIncomplete: In strict mode, when records had to be dropped.
        """


class MediaCalls(TakesRecords):
    """Calls that log media, texts, tables and charts. All may raise what `log_record` may."""

    def log_image(
        self, name: str, image: object, step: int | None = None, caption: str = ""
    ) -> None:
        """Logs an image: a path, bytes, a PIL image, a matplotlib figure, an array, a tensor.

        Arrays are HxW, HxWxC or CxHxW with 1 to 4 channels: floats 0 to 1, whole numbers 0 to 255.

        >>> import numpy as np
        >>> run.log_image("val/sample", np.zeros((8, 8, 3)), step=1, caption="all black")

        Raises:
            InvalidArgument: It is none of these.
        """
        self.log_record(name, encode_image(image, caption), step)

    def log_image_with_boxes(
        self,
        name: str,
        image: object,
        boxes: Iterable[object],
        labels: Iterable[str] = (),
        scores: Iterable[float] = (),
        step: int | None = None,
        caption: str = "",
    ) -> None:
        """Logs an image with what was found in it; boxes are kept beside it, not drawn into it.

        >>> import numpy as np
        >>> run.log_image_with_boxes(
        ...     "found", np.zeros((8, 8)), [(1, 1, 4, 5)], labels=["cat"], scores=[0.9]
        ... )

        Args:
            name: Such as "val/found".
            image: See `log_image`.
            boxes: Left, top, right, bottom in pixels, each.
            labels: What is in them.
            scores: How sure the model is, 0 to 1.
            step: Training step.
            caption: To show with it.

        Raises:
            InvalidArgument: A box has not four sides.
        """
        found = boxes_of(boxes, labels, scores)
        self.log_record(name, encode_image(image, caption, found), step)

    def log_mpl_image(
        self, name: str, figure: object, step: int | None = None, caption: str = ""
    ) -> None:
        """Logs a matplotlib figure as an image; it is not closed.

        >>> from matplotlib.figure import Figure
        >>> run.log_mpl_image("plot", Figure(figsize=(1, 1)))

        Raises:
            InvalidArgument: It is no figure.
        """
        self.log_image(name, figure, step, caption)

    def log_audio(
        self,
        name: str,
        sound: object,
        rate: int = RATE,
        step: int | None = None,
        caption: str = "",
    ) -> None:
        """Logs a sound: a path, or samples (N or N x channels), which become 16-bit WAV.

        >>> import numpy as np
        >>> run.log_audio("tone", np.sin(np.arange(800) / 3), rate=8000)

        Raises:
            InvalidArgument: It is none of these.
        """
        self.log_record(name, encode_audio(sound, rate, caption), step)

    def log_video(
        self,
        name: str,
        video: object,
        rate: float = 4.0,
        step: int | None = None,
        caption: str = "",
    ) -> None:
        """Logs a film: a path, taken as it is, or frames, which become an animated PNG.

        >>> import numpy as np
        >>> run.log_video("episode", np.zeros((3, 8, 8, 3)), rate=10)

        Raises:
            InvalidArgument: It is none of these, or frames differ in size.
        """
        self.log_record(name, encode_video(video, rate, caption), step)

    def log_text(self, name: str, text: str | Path, step: int | None = None) -> None:
        """Logs a text.

        >>> run.log_text("answer", "42", step=7)
        """
        self.log_record(name, encode_text("text", text), step)

    def log_html(self, name: str, html: str | Path, step: int | None = None) -> None:
        """Logs a page of HTML.

        >>> run.log_html("report", "<h1>fine</h1>")
        """
        self.log_record(name, encode_text("html", html), step)

    def log_markdown(self, name: str, markdown: str | Path, step: int | None = None) -> None:
        """Logs a text in Markdown.

        >>> run.log_markdown("notes", "# Fine")
        """
        self.log_record(name, encode_text("markdown", markdown), step)

    def log_table(
        self, name: str, table: object, step: int | None = None, caption: str = ""
    ) -> None:
        """Logs a table: a frame of pandas or polars, a table of Arrow, rows, or columns by name.

        It becomes Parquet where pyarrow (for polars: polars) is installed, else CSV; the record
        says which.

        >>> run.log_table("errors", [{"id": 1, "loss": 0.5}, {"id": 2, "loss": 0.25}])

        Raises:
            InvalidArgument: It is none of these, or columns differ in length.
        """
        self.log_record(name, encode_table(table, caption), step)

    def log_dataframe(
        self, name: str, frame: object, step: int | None = None, caption: str = ""
    ) -> None:
        """Logs a data frame. See `log_table`.

        >>> import pandas
        >>> run.log_dataframe("errors", pandas.DataFrame({"id": [1, 2]}))
        """
        self.log_table(name, frame, step, caption)

    def log_plotly_chart(self, name: str, figure: object, step: int | None = None) -> None:
        """Logs a figure of Plotly, its `to_dict()` or JSON.

        >>> run.log_plotly_chart("curve", {"data": [{"x": [1, 2], "y": [3, 4]}]})

        Raises:
            InvalidArgument: It is none of these.
        """
        self.log_record(name, encode_chart("plotly", figure), step)

    def log_mpl_plotly_chart(self, name: str, figure: object, step: int | None = None) -> None:
        """Logs a matplotlib figure as a chart of Plotly, which zooms.

        Raises:
            FailedPrecondition: plotly is not installed.
        """
        tools = package("plotly.tools", "a chart of Plotly")
        self.log_plotly_chart(name, tools.mpl_to_plotly(figure), step)

    def log_vega_chart(self, name: str, chart: object, step: int | None = None) -> None:
        """Logs a specification of Vega or Vega-Lite, or a chart of Altair.

        >>> run.log_vega_chart("bars", {"mark": "bar", "data": {"values": []}})

        Raises:
            InvalidArgument: It is none of these.
        """
        self.log_record(name, encode_chart("vega", chart), step)

    def log_altair_chart(self, name: str, chart: object, step: int | None = None) -> None:
        """Logs a chart of Altair. See `log_vega_chart`.

        >>> run.log_altair_chart("bars", {"mark": "bar", "data": {"values": []}})
        """
        self.log_vega_chart(name, chart, step)

    def log_bokeh_chart(self, name: str, chart: object, step: int | None = None) -> None:
        """Logs a figure of Bokeh as what its `embed_item` draws, or that JSON.

        >>> run.log_bokeh_chart("lines", '{"doc": {}}')

        Raises:
            InvalidArgument: It is no figure of Bokeh.
            FailedPrecondition: bokeh is not installed.
        """
        self.log_record(name, encode_chart("bokeh", chart), step)
