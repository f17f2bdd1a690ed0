# SPDX-License-Identifier: Apache-2.0
"""Every text between the tags of a template, and in the attributes that people read, is a message.

So a template is written in plain English and cannot forget to mark a text. Texts with an expression
in the middle are written `{{ _("%(n)s of %(m)s", n=…, m=…) }}`, because the order of the parts
differs between languages. `Texts` replaces each text by a call when a template is compiled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

CALL = "_text"
"""Name of the function in templates that translates a text; `quick_templates` puts the translation
in the place of the call."""
INLINE = frozenset(("a", "b", "bdi", "br", "code", "em", "small", "span", "strong"))
"""Elements that may stand inside a message."""
VERBATIM = frozenset(("code", "pre", "script", "style"))
"""Elements whose text is the same in every language."""
NAMES = frozenset(
    (
        "BibTeX", "CC BY 4.0", "CSV", "DB-IP", "HTTP", "IP Geolocation by DB-IP", "JSON",
        "JSON Lines", "NRO", "PNG", "Parquet", "RU", "RU, FR", "Reachwatch", "Reachwatch,",
        "Route Views", "SVG", "UTC", "https://", "manifest", "· Reachwatch",
    )
)  # fmt: skip
"""What is not translated."""
_TAG = re.compile(r"<!?/?[a-zA-Z][^<>]*>|<!--.*?-->", re.DOTALL)
_OPEN_TAG = re.compile(r"<!?/?[a-zA-Z][^<>]*\Z", re.DOTALL)
_NAME = re.compile(r"</?([a-zA-Z0-9]+)")
_ATTRIBUTE = re.compile(r'((?:aria-label|title|placeholder|alt|data-label)=")([^"<>]*)(")')
_WORD = re.compile(r"[^\W\d_]{2}")
Part = tuple[bool, str]
"""(whether it is a message, text)."""


class TextSplitter:
    """Finds the messages in the data of one template, piece by piece: between two pieces an
    expression stands, which may be in the middle of a tag."""

    def __init__(self) -> None:
        self._inside_tag = False
        self._verbatim: list[str] = []

    def parts(self, data: str) -> Iterator[Part]:
        """The piece in parts, in order."""
        if self._inside_tag:
            end = data.find(">")
            if end < 0:
                yield from _attributes(data)
                return
            yield from _attributes(data[: end + 1])
            data, self._inside_tag = data[end + 1 :], False
        begun = ""
        if found := _OPEN_TAG.search(data):
            begun, data = found[0], data[: found.start()]
            self._inside_tag = True
        yield from self._markup(data)
        if begun:
            yield from _attributes(begun)

    def _markup(self, data: str) -> Iterator[Part]:
        run: list[str] = []
        for piece in _pieces(data):
            name = _name(piece)
            if name and (name not in INLINE or self._verbatim):
                yield from self._run("".join(run))
                run = []
                yield from self._tag(piece, name)
            else:
                run.append(piece)
        yield from self._run("".join(run))

    def _tag(self, tag: str, name: str) -> Iterator[Part]:
        yield from _attributes(tag)
        if name in VERBATIM:
            if not tag.startswith("</"):
                self._verbatim.append(name)
            elif self._verbatim:
                self._verbatim.pop()

    def _run(self, run: str) -> Iterator[Part]:
        """Text with inline tags between two other tags or expressions."""
        if self._verbatim or not _WORD.search(_TAG.sub("", run)):
            for piece in _pieces(run):
                yield from self._tag(piece, _name(piece)) if _name(piece) else ((False, piece),)
            return
        text = run.strip()
        before, after = run[: run.index(text[0])], run[len(run.rstrip()) :]
        if before:
            yield False, before
        pieces = list(_pieces(text))
        if len(pieces) == 1:
            yield text not in NAMES, text
        elif _is_balanced(pieces) and not _is_wrapped(pieces):
            yield True, text
        elif _is_balanced(pieces):
            yield from self._tag(pieces[0], _name(pieces[0]))
            yield from self._run("".join(pieces[1:-1]))
            yield from self._tag(pieces[-1], _name(pieces[-1]))
        else:
            for piece in pieces:
                if _name(piece):
                    yield from self._tag(piece, _name(piece))
                else:
                    yield from self._run(piece)
        if after:
            yield False, after


def _pieces(text: str) -> Iterator[str]:
    """Tags, and what stands between them."""
    at = 0
    for found in _TAG.finditer(text):
        if found.start() > at:
            yield text[at : found.start()]
        yield found[0]
        at = found.end()
    if at < len(text):
        yield text[at:]


def _name(piece: str) -> str:
    """The element of a tag; empty for a text."""
    found = _NAME.match(piece)
    return found[1].lower() if found else "!" if piece.startswith("<!") else ""


def _is_balanced(pieces: Iterable[str]) -> bool:
    opened: list[str] = []
    for piece in pieces:
        name = _name(piece)
        if not name or name == "br":
            continue
        if not piece.startswith("</"):
            opened.append(name)
        elif not opened or opened.pop() != name:
            return False
    return not opened


def _is_wrapped(pieces: list[str]) -> bool:
    """Whether the first tag is closed by the last."""
    return bool(
        _name(pieces[0]) and pieces[-1] == f"</{_name(pieces[0])}>" and _is_balanced(pieces[1:-1])
    )


def _attributes(tag: str) -> Iterator[Part]:
    at = 0
    for found in _ATTRIBUTE.finditer(tag):
        if _WORD.search(found[2]) and found[2] not in NAMES:
            yield False, tag[at : found.end(1)]
            yield True, found[2]
            at = found.start(3)
    if at < len(tag):
        yield False, tag[at:]


class Texts(Extension):
    """Replaces texts by calls."""

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """The tokens, each text as `{{ _text("…") }}`."""
        splitter = TextSplitter() if (stream.name or "").endswith(".html") else None
        for token in stream:
            if token.type != "data" or splitter is None:
                yield token
                continue
            for is_message, text in splitter.parts(token.value):
                if not is_message:
                    yield Token(token.lineno, "data", text)
                    continue
                for kind, value in (
                    ("variable_begin", "{{"),
                    ("name", CALL),
                    ("lparen", "("),
                    ("string", text),
                    ("rparen", ")"),
                    ("variable_end", "}}"),
                ):
                    yield Token(token.lineno, kind, value)
