"""What a figure that is kept, and shown again to others, may hold. Knows nothing of findings."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from engine import LoupeError


def check_svg(svg: bytes) -> None:
    """A figure holds shapes, text and pictures of its own: nothing that runs, nothing from elsewhere."""
    if b"<!ENTITY" in svg:
        raise LoupeError("the figure declares entities, which no figure of this program does")
    try:
        root = ElementTree.fromstring(svg)
    except ElementTree.ParseError:
        raise LoupeError("the figure is no SVG") from None
    if _local(root.tag) != "svg":
        raise LoupeError("the figure is no SVG")
    for element in root.iter():
        name = _local(element.tag)
        if name in ("script", "foreignobject", "iframe", "object", "embed", "handler", "set", "animate"):
            raise LoupeError(f"the figure holds <{name}>, which no figure of this program does")
        for attribute, value in element.attrib.items():
            short = _local(attribute)
            away = short in ("href", "src") and not re.match(
                r"#|data:image/(png|jpeg);base64,", value.strip()
            )
            if short.startswith("on") or away:
                raise LoupeError(f"the figure's {short[:20]} leads out of the figure")


def _local(tag: object) -> str:
    return str(tag).rpartition("}")[2].lower()
