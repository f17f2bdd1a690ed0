"""Reads every option of a command from command line, environment and file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probes.runtime.options import Parser, truth


def read_every_way(
    top: Parser,
    leaf: Parser,
    values: Mapping[str, tuple[str, Any]],
    folder: Path,
    positional: tuple[str, ...] = (),
) -> None:
    """`values`: for each key a text and what it is read as. `positional`: further arguments."""
    file = folder / "options.toml"
    for key, option in leaf.options.items():
        text, value = values[key]
        required = {
            f"{top.prefix}{other.key.upper()}": values[other.key][0]
            for other in leaf.options.values()
            if other.required
        }
        words = [*leaf.path.split(), *positional]
        if not option.flag.startswith("-"):
            typed = [text]
        else:
            typed = [option.flag] if option.read is truth else [option.flag, text]
        variable = f"{top.prefix}{key.upper()}"
        file.write_text(f"{key} = {text if text == 'true' else json.dumps(text)}\n")
        without = {name: found for name, found in required.items() if name != variable}
        ways = {
            "command line": (words + typed, without),
            "environment": (words, {**without, variable: text}),
            "file": ([*words, "--config", str(file)], without),
        }
        for way, (arguments, environment) in ways.items():
            given = top.read(arguments, environment)
            assert getattr(given, option.attribute) == value, (key, way)
