"""docs/manifest.md: all objects of the manifest, from its JSON Schema, and all reason codes."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from stemclean import checks, decisions, manifest, verdicts
from stemclean.errors import SkipReason
from stemclean.refining import half_labelled, noise, summary

PATH = "docs/manifest.md"

HEAD = """\
<!-- Written by docs/_tools/manifest_page.py; change stemclean/manifest.py instead. -->
# The manifest

A manifest describes a dataset: what it contains, what was found in it, and why. Commands that take a dataset accept
a manifest, or a folder that they scan; most write a manifest. This page describes the schema `{schema}`. The
[JSON Schema](https://json-schema.org) is part of the package, as `stemclean/manifest.schema.json`.

```python
from stemclean import manifest

data = manifest.read("refined.json")            # an error names the place in the file
drums = [stem for stem in data.stems if stem.labels == ["drums"]]
manifest.write(data.with_stems(drums), "drums.jsonl.gz")
```

## Rules

- A `.json` file is a single document. `.jsonl` and `.jsonl.gz` have the header object on the first line, followed by
  one stem per line, so `manifest.iter_stems(path)` can read millions of stems one at a time.
- Times are in seconds, counts begin with `num_`, and other numbers carry their unit (`_db`, `_dbfs`, `_lufs`, `_hz`).
- Paths are POSIX and relative to `root`, which is relative to the folder of the manifest. Paths that lead out of `root`
  are refused.
- Missing values are `null`, never NaN. Keys are sorted and floats are rounded to their precision, so equal manifests
  have equal bytes.
- `claimed` contains the classes according to the dataset and is never overwritten; `labels` contains those that the
  stem is now believed to hold, any number of them.
- Unknown keys are kept when a manifest is read and written.
"""

ORDER = (
    "Manifest",
    "Created",
    "Input",
    "Model",
    "Stem",
    "Crosstalk",
    "Span",
    "Source",
    "F0",
    "Estimated",
    "Region",
    "Verdict",
    "HumanDecision",
    "Issue",
    "Skip",
)


def render() -> str:
    """The page's text."""
    schema = manifest.json_schema()
    objects = {"Manifest": schema, **schema["$defs"]}
    missing = set(objects) - set(ORDER)
    if missing:
        raise ValueError(f"docs/_tools/manifest_page.py: put {sorted(missing)} into ORDER")
    parts = [HEAD.format(schema=manifest.SCHEMA)]
    parts += [_object(name, objects[name]) for name in ORDER]
    parts.append(_reasons("Reasons of a verdict", {reason: reason.meaning for reason in verdicts.VerdictReason}))
    parts.append(_reasons("Reasons of a skipped file", {reason: reason.meaning for reason in SkipReason}))
    issues = {name: f"{code.severity}: {code.meaning}" for name, code in checks.codes().items()}
    parts.append(_reasons("Codes of an issue", issues))
    parts.append(_keys("The summary of refine", summary.KEYS))
    parts.append(_keys("The summary of pseudo-label", half_labelled.KEYS))
    parts.append(_keys("Noise in the summary of refine", noise.KEYS))
    fields = decisions.StemDecision.model_fields.items()
    parts.append(_keys("Each decision in decisions.json", {name: field.description or "" for name, field in fields}))
    parts.append(_reasons("Decisions that no longer fit", decisions.MISFITS))
    return "\n".join(parts)


def _object(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        f"## {name}\n",
        _markdown(inspect.getdoc(getattr(manifest, name)) or ""),
        "\n| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for key, field in schema["properties"].items():
        default = "required" if key in required else f"`{_json(field.get('default', _empty(field)))}`"
        rows.append(f"| `{key}` | {_type(field)} | {default} | {_markdown(field['description'])} |")
    return "\n".join(rows) + "\n"


def _markdown(docstring: str) -> str:
    """A docstring as Markdown."""
    return re.sub(r"``(.+?)``", r"`\1`", docstring)


def _type(field: dict[str, Any]) -> str:
    """The type of a field in words, with links to the objects of this page."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if "const" in field:
        return f"`{_json(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{_json(value)}`" for value in field["enum"])
    kind = str(field.get("type", "anything"))
    if kind == "array":
        if "prefixItems" in field:
            return "pair (" + ", ".join(_type(item) for item in field["prefixItems"]) + ")"
        return "list of " + _type(field["items"])
    if kind == "object":
        values = field.get("additionalProperties")
        return f"object of {_type(values)}" if isinstance(values, dict) else "object"
    low = field.get("minimum", field.get("exclusiveMinimum"))
    bounds = [f"{'>' if 'exclusiveMinimum' in field else '≥'} {low:g}"] if low is not None else []
    bounds += [f"≤ {field['maximum']:g}"] if "maximum" in field else []
    return kind + (f" {', '.join(bounds)}" if bounds else "")


def _empty(field: dict[str, Any]) -> Any:
    return [] if field.get("type") == "array" else {}


def _json(value: Any) -> str:

    return json.dumps(value, ensure_ascii=False)


def _keys(title: str, keys: dict[str, str]) -> str:
    rows = [f"## {title}\n", "| key | meaning |", "|---|---|"]
    rows += [f"| `{key}` | {meaning} |" for key, meaning in keys.items()]
    return "\n".join(rows) + "\n"


def _reasons(title: str, reasons: dict[str, str]) -> str:
    rows = [f"## {title}\n", "| code | meaning |", "|---|---|"]
    rows += [f"| `{code}` | {meaning} |" for code, meaning in reasons.items()]
    return "\n".join(rows) + "\n"
