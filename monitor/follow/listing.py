# SPDX-License-Identifier: Apache-2.0
"""The answer to ListObjectsV2 of the S3 protocol (API version 2006-03-01, read 2026-11): XML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

import msgspec

from monitor.follow.layout import Listed

_SIZE = re.compile("[0-9]{1,15}")
"""Bytes of an object: more digits are no size."""


class ListingError(Exception):
    """No listing; one line."""


class Page(msgspec.Struct, frozen=True):
    """A page of a listing."""

    objects: tuple[Listed, ...]
    prefixes: tuple[str, ...]
    """Folders, where a delimiter was asked for."""
    next: str
    """What to ask for the next page with; empty on the last one."""


def query(prefix: str, *, folders: bool, after: str = "") -> Mapping[str, str]:
    """The parameters that ask for a page: everything below a prefix, or what is right below it."""
    asked = {"list-type": "2", "prefix": prefix}
    if folders:
        asked["delimiter"] = "/"
    if after:
        asked["continuation-token"] = after
    return asked


def page_of(body: bytes) -> Page:
    """The page that an answer holds. Raises ListingError."""
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise ListingError("answers with no XML") from None
    space, _, name = root.tag.rpartition("}")
    if name != "ListBucketResult":
        raise ListingError(f"answers with <{name[:40]}> in place of <ListBucketResult>")
    inside = f"{space}}}" if space else ""

    def text(node: ElementTree.Element, tag: str) -> str:
        return node.findtext(f"{inside}{tag}") or ""

    objects = tuple(
        Listed(
            key=text(node, "Key"),
            version=text(node, "ETag").strip('"'),
            size=int(size) if _SIZE.fullmatch(size := text(node, "Size")) else 0,
        )
        for node in root.findall(f"{inside}Contents")
    )
    prefixes = tuple(text(node, "Prefix") for node in root.findall(f"{inside}CommonPrefixes"))
    token = text(root, "NextContinuationToken")
    if text(root, "IsTruncated") == "true" and not token:
        raise ListingError("cuts a listing without a token for the rest")
    return Page(objects, prefixes, token)
