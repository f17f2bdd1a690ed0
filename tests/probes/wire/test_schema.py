"""The generated schema says what the decoder does."""

from __future__ import annotations

import json

from probes.wire.observation import KNOWN
from probes.wire.schema import schema


def test_every_kind_and_field_is_there() -> None:
    made = schema()
    measurement = made["$defs"]["Measurement"]
    assert {"v", "id", "probe", "target", "round", "started"} == set(measurement["required"])
    refs = [item["$ref"] for item in measurement["properties"]["observations"]["items"]["anyOf"]]
    assert refs == [f"#/$defs/{kind.__name__}" for kind in KNOWN] + ["#/$defs/Unrecognised"]
    for ref in refs:
        assert ref.removeprefix("#/$defs/") in made["$defs"]


def test_patterns_are_ecma() -> None:
    assert "\\\\Z" not in json.dumps(schema())
