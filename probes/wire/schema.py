# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of a Measurement line, made from the types that decode it, never written."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from probes.wire import codec, observation


def schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) as Python values."""
    _, components = msgspec.json.schema_components(
        (codec.Undecoded, *observation.KNOWN), ref_template="#/$defs/{name}"
    )
    # Python's \Z is ECMA's $, which JSON Schema's patterns are written in.
    defs = json.loads(json.dumps(components).replace("\\\\Z", "$"))
    defs["Measurement"] = defs.pop(codec.Undecoded.__name__)
    steps = sorted(map(observation.step_of, observation.KNOWN))
    defs["Unrecognised"] = {
        "title": "Unrecognised",
        "description": "A step of another version, kept unchanged.",
        "type": "object",
        "required": ["step"],
        "properties": {"step": {"type": "string", "not": {"enum": steps}}},
    }
    kinds = [*(kind.__name__ for kind in observation.KNOWN), "Unrecognised"]
    defs["Measurement"]["properties"]["observations"]["items"] = {
        "anyOf": [{"$ref": f"#/$defs/{kind}"} for kind in kinds]
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": "#/$defs/Measurement",
        "$defs": defs,
    }
