"""Requests as MLflow's server reads them: JSON bodies or query strings, checked field by field.

MLflow's clients send protobuf messages as JSON: whole numbers may come as text, and NaN and the
infinities do. The words of a refusal are MLflow's own (mlflow/server/handlers.py), because users
look them up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from epochal_gateway.doors.mlflow.errors import BAD_REQUEST, MlflowError

_SEE: Final = " See the API docs for more information about request parameters."
_SPECIAL: Final = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}


class Fields:
    """The fields of one request, or of one object in it."""

    def __init__(self, values: Mapping[str, object], path: str = "", size_bytes: int = 0) -> None:
        """Take the values as they came.

        Args:
            values: by name.
            path: of the object within the request.
            size_bytes: of the whole request's body.
        """
        self._values = values
        self._path = path
        self.size_bytes = size_bytes

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self._values.get(name) is not None

    def is_text(self, name: str) -> bool:
        """Whether a field is a text."""
        return isinstance(self._values.get(name), str)

    def text(self, name: str, default: str = "", *, limit: int = 1_000_000) -> str:
        """Return a text, or the default when it is missing.

        Raises:
            MlflowError: it is no text, or longer than `limit` characters.
        """
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._invalid(name, value)
        if len(value) > limit:
            raise MlflowError(
                f"'{self.place(name)}' exceeds the maximum length of {limit} characters"
            )
        return value

    def required(self, name: str, *, limit: int = 1_000_000) -> str:
        """Return a text that must be there and not be empty.

        Raises:
            MlflowError: it is missing, empty, no text, or too long.
        """
        if self._values.get(name) in (None, ""):
            raise self.missing(name)
        return self.text(name, limit=limit)

    def whole(self, name: str, default: int = 0) -> int:
        """Return a whole number of 64 bits, or the default when it is missing.

        Raises:
            MlflowError: it is no such number.
        """
        value = self._values.get(name)
        if value is None:
            return default
        return self._whole(name, value)

    def required_whole(self, name: str) -> int:
        """Return a whole number that must be there.

        Raises:
            MlflowError: it is missing, or no whole number of 64 bits.
        """
        value = self._values.get(name)
        if value is None or value == "":
            raise self.missing(name)
        return self._whole(name, value)

    def number(self, name: str) -> float:
        """Return a number that must be there; NaN and the infinities are numbers.

        Raises:
            MlflowError: it is missing, or no number.
        """
        value = self._values.get(name)
        if type(value) is float:  # nearly always
            return value
        if value is None or value == "":
            raise self.missing(name)
        if isinstance(value, float | int) and not isinstance(value, bool):
            return float(value)
        if isinstance(value, str):
            try:
                return float(_SPECIAL.get(value, value))
            except ValueError:
                pass
        raise self._invalid(name, value)

    def flag(self, name: str) -> bool:
        """Return a truth value; missing is false.

        Raises:
            MlflowError: it is none.
        """
        value = self._values.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise MlflowError(f"Invalid boolean value: {value}, must be 'true' or 'false'.")

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; missing is empty, and one text is a list of it.

        Raises:
            MlflowError: it is no such list.
        """
        value = self._values.get(name)
        if isinstance(value, str):
            return [value]
        found = self._items(name)
        for item in found:
            if not isinstance(item, str):
                raise self._invalid(name, value)
        return [str(item) for item in found]

    def objects(self, name: str) -> list[Fields]:
        """Return a list of objects; missing is empty.

        Raises:
            MlflowError: it is no such list.
        """
        path, found = self.place(name), []
        for index, item in enumerate(self._items(name)):
            if not isinstance(item, dict):
                raise self._invalid(name, item)
            found.append(Fields(item, f"{path}[{index}]"))
        return found

    def child(self, name: str) -> Fields:
        """Return an object; missing is an empty one.

        Raises:
            MlflowError: it is no object.
        """
        value = self._values.get(name)
        if value is None:
            return Fields({}, self.place(name))
        if not isinstance(value, dict):
            raise self._invalid(name, value)
        return Fields(value, self.place(name))

    def mapping(self, name: str) -> dict[str, str]:
        """Return texts by name; missing is empty. Values that are no texts become JSON.

        Raises:
            MlflowError: it is no object.
        """
        value = self._values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._invalid(name, value)
        return {
            str(key): one if isinstance(one, str) else json.dumps(one) for key, one in value.items()
        }

    def as_json(self, name: str) -> str:
        """Return a field, whatever it is, as JSON; a missing one is `null`."""
        return json.dumps(self._values.get(name), ensure_ascii=False)

    def missing(self, name: str) -> MlflowError:
        """Return the error of a field that has to be there."""
        return MlflowError(f"Missing value for required parameter '{self.place(name)}'.{_SEE}")

    def _items(self, name: str) -> Sequence[object]:
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._invalid(name, value)
        return value

    def _whole(self, name: str, value: object) -> int:
        if type(value) is int and -(2**63) <= value < 2**63:  # nearly always
            return value
        try:
            # As protobuf's JSON has it: 5, 5.0 and "5" are one number.
            whole = int(value) if isinstance(value, int | float | str) else None
        except (ValueError, OverflowError):
            whole = None
        fraction = isinstance(value, float) and whole != value
        if whole is None or isinstance(value, bool) or fraction or not -(2**63) <= whole < 2**63:
            raise self._invalid(name, value)
        return whole

    def _invalid(self, name: str, value: object) -> MlflowError:
        shown = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)[:300]
        return MlflowError(
            f"Invalid value {shown} for parameter '{self.place(name)}' supplied.{_SEE}"
        )

    def place(self, name: str) -> str:
        """Return where a field is, as error messages name it."""
        return f"{self._path}.{name}" if self._path else name


def fields_of(body: bytes) -> Fields:
    """Return the fields of a JSON body; an empty one has none.

    Raises:
        MlflowError: it is no JSON object.
    """
    if not body:
        return Fields({})
    try:
        values = json.loads(body)
        # MLflow's oldest clients send JSON within a JSON string.
        if isinstance(values, str):
            values = json.loads(values)
    except (ValueError, RecursionError):
        raise MlflowError("the body is not valid JSON", BAD_REQUEST) from None
    if b"\\ud" in body.lower() and not _encodable(values):
        raise MlflowError("the body has half a character: an escape \\uD8.. alone", BAD_REQUEST)
    if values is None:
        return Fields({})
    if not isinstance(values, dict):
        raise MlflowError("the body must be a JSON object", BAD_REQUEST)
    return Fields(values, size_bytes=len(body))


def _encodable(values: object) -> bool:
    """Whether all texts are Unicode: JSON may spell halves of characters, which nothing stores."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def fields_of_query(items: Sequence[tuple[str, str]]) -> Fields:
    """Return the fields of a query string; a name that comes several times is a list."""
    values: dict[str, object] = {}
    for name, value in items:
        known = values.get(name)
        if known is None:
            values[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            values[name] = [known, value]
    return Fields(values)
