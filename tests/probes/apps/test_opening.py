"""What counts as somebody answering in clear-text HTTP."""

from __future__ import annotations

import pytest

from probes.apps.opening import Opening, Spoken, is_web


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 403 Forbidden", b"<html>", b"<!DOCTYPE html>", b"<!doctype html>"]
)
def test_pages(head: bytes):
    assert is_web(head)


@pytest.mark.parametrize("head", [b"", b"HTTP", b"\x16\x03\x01", b"<?xml version='1.0'?>"])
def test_other_answers(head: bytes):
    assert not is_web(head)


def test_answers_may_be_quoted_unless_said_otherwise():
    assert Opening(b"hello", lambda _: Spoken("x")).excerpt
