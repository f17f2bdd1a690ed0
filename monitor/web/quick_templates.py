# SPDX-License-Identifier: Apache-2.0
"""Templates whose compiled code calls functions directly and escapes each text once.

Jinja looks at every function for a wish to be given the context, and escapes in Python; a page with
two hundred rows makes thousands of calls, and these two are a third of its time. None of the
functions here wants the context, and most texts of a page are those of many others.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from markupsafe import Markup, escape

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
    def _output_child_pre(
        self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> None:
        self.write("environment.escaped(")

    def visit_Call(  # noqa: N802 - Jinja's name
        self, node: nodes.Call, frame: Frame, forward_caller: bool = False
    ) -> None:
        """Write a call; `operator.call` takes the function as its first value."""
        self.write("environment.call(")
        self.visit(node.node, frame)
        own: Mapping[str, Any] | None = {"caller": "caller"} if forward_caller else None
        self.signature(node, frame, own)
        self.write(")")


class QuickEnvironment(jinja2.Environment):
    """An environment that escapes everything, and has no function or macro that takes Jinja's
    context."""

    code_generator_class = _Code
    call: Callable[..., Any] = operator.call  # built in: it is no method
    escaped = staticmethod(escaped)
