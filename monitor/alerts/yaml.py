# SPDX-License-Identifier: Apache-2.0
"""Values as YAML. Every string is written as JSON does, which YAML reads alike, so no text can
break out of its place.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from monitor.alerts.alert import Span


def as_yaml(value: Any, indent: int = 0) -> str:
    """Mappings, lists, strings, numbers and durations as a YAML document."""
    pad = "  " * indent
    if isinstance(value, Mapping):
        return "".join(_entry(f"{pad}{key}:", inner, indent) for key, inner in value.items())
    if isinstance(value, list):
        lines = []
        for inner in value:
            if isinstance(inner, Mapping | list) and inner:
                block = as_yaml(inner, indent + 1)
                lines.append(f"{pad}- {block[len(pad) + 2 :]}")
            else:
                lines.append(f"{pad}- {_scalar(inner)}\n")
        return "".join(lines)
    return f"{pad}{_scalar(value)}\n"


def _entry(head: str, inner: Any, indent: int) -> str:
    if isinstance(inner, Mapping | list) and inner:
        return f"{head}\n{as_yaml(inner, indent + 1)}"
    return f"{head} {_scalar(inner)}\n"


def _scalar(value: Any) -> str:
    return value if isinstance(value, Span) else json.dumps(value, ensure_ascii=False)
