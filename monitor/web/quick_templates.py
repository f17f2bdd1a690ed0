# SPDX-License-Identifier: Apache-2.0
"""Templates whose compiled code does less for each value, and has its texts in it.

Jinja looks at every function for a wish to be given the context, at every dot for a key as well as
an attribute, escapes in Python, and hands each piece of text through the blocks around it. A page
with two hundred rows has thousands of these. None of the functions here wants the context, and most
texts of a page are those of many others. What a template says itself is a constant of its compiled
code: for each language the same code has other constants.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from keyword import iskeyword
from types import CodeType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from markupsafe import Markup, escape

from monitor.web import template_text

_escaped_text = functools.lru_cache(maxsize=16_384)(escape)
MOST_KEPT = 200
"""Characters of a text whose escaped form is kept: with as many of both, some 8 MB at most."""


def escaped(value: object) -> str:
    """The value as text in which no character is markup, unless it is markup itself."""
    kind = type(value)
    if kind is str:
        return _escaped_text(value) if len(value) <= MOST_KEPT else escape(value)  # type: ignore[arg-type]
    if kind is Markup:
        return value  # type: ignore[return-value]
    return str(value) if kind is int else escape(value)


class _Code(CodeGenerator):
    def write_commons(self) -> None:
        super().write_commons()
        self.writeline("escaped = environment.escaped")

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        """Write statements. What a block outputs is gathered, and given to the blocks around it as
        one piece."""
        if frame.buffer is not None:
            super().blockvisit(nodes, frame)
            return
        self.buffer(frame)
        super().blockvisit(nodes, frame)
        self.writeline(f"yield concat({frame.buffer})")

    def _output_child_to_const(
        self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> str:
        match node:
            case nodes.Call(node=nodes.Name(name=name), args=[nodes.Const(value=text)], kwargs=[]):
                if name in _MARKS:
                    return f"{_MARKS[name]}{text}{_END}"
        return super()._output_child_to_const(node, frame, finalize)

    def _output_child_pre(
        self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> None:
        self.write("(_of if type(_of := (")

    def _output_child_post(
        self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> None:
        self.write(")) is Markup else escaped(_of))")

    def visit_Call(  # noqa: N802 - Jinja's name
        self, node: nodes.Call, frame: Frame, forward_caller: bool = False
    ) -> None:
        """Write a call; `operator.call` takes the function as its first value."""
        self.write("environment.call(")
        self.visit(node.node, frame)
        own: Mapping[str, Any] | None = {"caller": "caller"} if forward_caller else None
        self.signature(node, frame, own)
        self.write(")")

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802 - the same
        """Write what a dot means: a key of a dictionary, an attribute of anything else."""
        if node.attr in _OF_DICTIONARIES or iskeyword(node.attr):
            super().visit_Getattr(node, frame)
            return
        self.write(f"(_of.{node.attr} if type(_of := ")
        self.visit(node.node, frame)
        self.write(f") is not dict else _of[{node.attr!r}])")


_MARKS = {template_text.CALL: "\1", "_": "\2"}
"""Where a text begins that is to be translated, by the function that does it in a template: one
that may have tags, and one that is escaped."""
_END = "\3"
_MARKED = re.compile("([\1\2])([^\3]*)\3")
_OF_DICTIONARIES = frozenset(dir(dict))


def in_language(compiled: Any, texts: Mapping[str, str]) -> Any:
    """A compiled template, or a constant of one, with `texts` in place of the English ones; what
    they do not have stays English."""
    match compiled:
        case CodeType(co_consts=constants):
            return compiled.replace(co_consts=in_language(constants, texts))
        case tuple():
            return tuple(in_language(constant, texts) for constant in compiled)
        case str():
            return _MARKED.sub(lambda found: _translation(found, texts), compiled)
    return compiled


def _translation(found: re.Match[str], texts: Mapping[str, str]) -> str:
    text = texts.get(found[2], found[2])
    return text if found[1] == _MARKS[template_text.CALL] else escape(text)


class QuickEnvironment(jinja2.Environment):
    """An environment that escapes everything, and has no function or macro that takes Jinja's
    context. What a template asks of an object that has no such attribute or key is Python's
    error."""

    code_generator_class = _Code
    call: Callable[..., Any] = operator.call  # built in: it is no method
    escaped = staticmethod(escaped)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.texts: Mapping[str, str] = {}
        self._compiled: dict[str, CodeType] = {}
        """By source; the same dictionary for all languages."""

    def translated(self, texts: Mapping[str, str]) -> QuickEnvironment:
        """An environment with the same templates in another language: `texts` by the English
        ones."""
        made = self.overlay()
        assert isinstance(made, QuickEnvironment)
        made.texts = texts
        return made

    def compile(self, source: str, *named: Any) -> CodeType:  # type: ignore[override]
        """Compile a template once, whatever the language; `named` as Jinja has it."""
        if source not in self._compiled:
            self._compiled[source] = super().compile(source, *named)
        return in_language(self._compiled[source], self.texts)  # type: ignore[no-any-return]
