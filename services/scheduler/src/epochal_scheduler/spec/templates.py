"""`{{ }}` in a sandbox: expressions only, nothing that can run long or grow large.

Jinja2's own sandbox stops escapes, not exhaustion. So: no statements (no loops), few filters and
methods, no `*` on text, bounded source, names, nesting and output.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain, islice
from typing import Any

from jinja2 import StrictUndefined, TemplateError, nodes, pass_context
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.nativetypes import NativeCodeGenerator
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import JsonValue

from epochal_scheduler.spec.suggestions import did_you_mean
from epochal_scheduler.spec.values import as_text, to_json

MAX_SOURCE_CHARS = 16 * 1024
MAX_OUTPUT_CHARS = 256 * 1024
MAX_PARTS = 400
MAX_NESTING = 30
MAX_UNKNOWN = 5

_FILTERS = (
    "abs", "capitalize", "d", "default", "first", "float", "int", "join", "last", "length",
    "lower", "max", "min", "replace", "round", "sort", "string", "sum", "title", "tojson", "trim",
    "unique", "upper",
)  # fmt: skip
_METHODS = frozenset({
    "capitalize", "endswith", "get", "items", "keys", "lower", "lstrip", "removeprefix",
    "removesuffix", "rstrip", "split", "startswith", "strip", "title", "upper", "values",
})  # fmt: skip


class TemplateIssue(ValueError):
    """A template cannot be rendered; carries the rule broken."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def _replace(text: str, old: str, new: str) -> str:
    text, old, new = str(text), str(old), str(new)
    if not old or len(text) + text.count(old) * len(new) > MAX_OUTPUT_CHARS:
        raise SecurityError("'replace' would make too long a text")
    return text.replace(old, new)


def _join(items: list[JsonValue], separator: str = "") -> str:
    texts = [as_text(item) for item in items]
    if sum(map(len, texts)) + len(separator) * len(texts) > MAX_OUTPUT_CHARS:
        raise SecurityError("'join' would make too long a text")
    return separator.join(texts)


@pass_context
def _unchanged(context: Context, value: Any) -> Any:
    """Does nothing, but at run time: it keeps Jinja from writing constants out as text."""
    return value


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's immutable sandbox, closed further."""

    code_generator_class = NativeCodeGenerator
    intercepted_binops = frozenset({"*", "**", "%", "+"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined, autoescape=False, cache_size=0, finalize=_unchanged
        )
        self.globals.clear()
        everything = self.filters
        self.filters = {name: everything[name] for name in _FILTERS}
        self.filters |= {"replace": _replace, "join": _join, "tojson": to_json}

    # Any: these override Jinja's own untyped hooks.
    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]  # a parameter may be named like a method
        return super().getattr(obj, attribute)

    def wrap_str_format(self, value: Any) -> None:
        """Leaves `str.format` to `is_safe_attribute`, which refuses it: widths make long texts."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr in _METHODS and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) for side in (left, right) if isinstance(side, str | list)]
        if operator == "+" and sum(sizes) > MAX_OUTPUT_CHARS:
            raise SecurityError("'+' would make too long a text")
        if operator != "+" and sizes:
            raise SecurityError(f"'{operator}' is for numbers only")
        if operator == "**" and not (abs(left) <= 1e6 and abs(right) <= 64):
            raise SecurityError("'**' is for small numbers only")
        if any(isinstance(side, int) and side.bit_length() > 4096 for side in (left, right)):
            raise SecurityError("numbers are too large")
        return super().call_binop(context, operator, left, right)


_SANDBOX = _Sandbox()


class Template:
    """One parsed text with `{{ }}`; knows the names it needs before it is rendered.

    Parsed and translated once, rendered as often as there are runs.
    """

    def __init__(self, source: str) -> None:
        """Parses and checks.

        Raises:
            TemplateIssue: bad syntax, a statement, or one of the bounds.
        """
        if len(source) > MAX_SOURCE_CHARS:
            message = f"a template has {len(source)} characters; at most {MAX_SOURCE_CHARS}"
            raise TemplateIssue("too_large", message)
        self._root: Any = None  # Any: Jinja's own untyped function
        self._members = dict[str, frozenset[str] | None]()
        try:
            self._tree = _SANDBOX.parse(source)
            _assert_small(self._tree)
        except TemplateError as error:
            raise TemplateIssue("template_syntax", f"bad template: {error.message}") from error
        except RecursionError as error:
            raise TemplateIssue("too_large", "a template nests too deeply") from error
        self.names = frozenset(node.name for node in self._tree.find_all(nodes.Name))

    def members(self, name: str) -> frozenset[str] | None:
        """Returns which members of `name` are used, `name.x` and `name["x"]`; None for all."""
        if name not in self._members:
            self._members[name] = self._find_members(name)
        return self._members[name]

    def needs(self, params: Mapping[str, object] | frozenset[str] | set[str]) -> set[str]:
        """Returns which of these parameters it names, by themselves or under `params`."""
        known = params if isinstance(params, set | frozenset) else params.keys()
        needed = set(self.names & known)
        if "params" in self.names:
            members = self.members("params")
            needed |= set(known) if members is None or "as_args" in members else members & known
        return needed

    def _find_members(self, name: str) -> frozenset[str] | None:
        found, uses = set[str](), 0
        for node in self._tree.find_all(nodes.Getattr):
            if isinstance(node.node, nodes.Name) and node.node.name == name:
                found.add(node.attr)
                uses += 1
        for item in self._tree.find_all(nodes.Getitem):
            if isinstance(item.node, nodes.Name) and item.node.name == name:
                if not isinstance(item.arg, nodes.Const) or not isinstance(item.arg.value, str):
                    return None
                found.add(item.arg.value)
                uses += 1
        total = sum(node.name == name for node in self._tree.find_all(nodes.Name))
        return frozenset(found) if uses == total else None

    def unknown_names(self, context: Mapping[str, JsonValue]) -> Iterator[str]:
        """Returns a message for each of the first few names that the context lacks."""
        return islice(self._unknown_names(context), MAX_UNKNOWN)

    def _unknown_names(self, context: Mapping[str, JsonValue]) -> Iterator[str]:
        for name in sorted(self.names - context.keys()):
            yield f"nothing is named '{name}'; {did_you_mean(name, context)}".rstrip("; ")
        for section in sorted(self.names & context.keys()):
            members = context[section]
            if isinstance(members, dict):
                for name in sorted((self.members(section) or frozenset()) - members.keys()):
                    if name not in _METHODS:
                        hint = did_you_mean(name, members)
                        yield f"'{section}' has no '{name}'; {hint}".rstrip("; ")

    def render(self, context: Mapping[str, JsonValue]) -> JsonValue:
        """Renders; a text that is one expression gives the value itself, not its text.

        Raises:
            TemplateIssue: an undefined name, an operation that fails, or too long a result.
        """
        try:
            if self._root is None:
                code = _SANDBOX.compile(self._tree)
                made = _SANDBOX.make_globals(None)
                self._root = _SANDBOX.template_class.from_code(_SANDBOX, code, made)
            return _collect(self._root.root_render_func(self._root.new_context(dict(context))))
        except TemplateIssue:
            raise  # a ValueError too, and precise already
        except UndefinedError as error:
            raise TemplateIssue("unknown_name", f"template: {error.message}") from error
        except TemplateError as error:
            raise TemplateIssue("template_error", f"template: {error.message}") from error
        # Whatever an expression does to values of the wrong type; their names are Python's.
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise TemplateIssue("template_error", f"template: {error}") from error
        except RecursionError as error:
            raise TemplateIssue("too_large", "a template nests too deeply") from error


@lru_cache(maxsize=1024)
def template_of(source: str) -> Template:
    """Returns the template of a text, from those parsed before if it is among them.

    Raises:
        TemplateIssue: as the template does.
    """
    return Template(source)


def _collect(chunks: Iterator[JsonValue]) -> JsonValue:
    parts = list(islice(chunks, 2))
    if len(parts) < 2:
        return _checked(parts[0]) if parts else ""
    size, texts = 0, list[str]()
    for chunk in chain(parts, chunks):
        texts.append(as_text(_checked(chunk)))
        size += len(texts[-1])
        if size > MAX_OUTPUT_CHARS:
            raise TemplateIssue("too_large", "a template renders to too long a text")
    return "".join(texts)


def _checked(value: Any) -> JsonValue:  # Any: what an expression gave, not known yet
    if isinstance(value, StrictUndefined):
        str(value)  # raises UndefinedError that names what is missing
    if callable(value):
        raise TemplateIssue("template_error", "template: a method is not a value; call it")
    if value is None or isinstance(value, bool | int | float | list | dict):
        return value
    text = str(value)
    if len(text) > MAX_OUTPUT_CHARS:
        raise TemplateIssue("too_large", "a template renders to too long a text")
    return text


def _assert_small(tree: nodes.Template) -> None:
    if any(not isinstance(part, nodes.Output) for part in tree.body):
        message = "statements ({% %}) are not read; only {{ expressions }} are"
        raise TemplateIssue("template_syntax", message)
    stack, parts = [(child, 1) for child in tree.iter_child_nodes()], 0
    while stack:
        node, depth = stack.pop()
        parts += 1
        if depth > MAX_NESTING or parts > MAX_PARTS:
            raise TemplateIssue("too_large", "a template has too many parts; make it simpler")
        stack.extend((child, depth + 1) for child in node.iter_child_nodes())
