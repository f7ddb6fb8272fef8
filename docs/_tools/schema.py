"""The published JSON Schema of the manifest."""

from __future__ import annotations

import json

from stemclean import manifest

PATH = "stemclean/manifest.schema.json"


def render() -> str:
    """The file's text."""
    return json.dumps(manifest.json_schema(), indent=2, ensure_ascii=False) + "\n"
