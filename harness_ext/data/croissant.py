"""A card as Croissant 1.0 JSON-LD (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html).

The files are described, not their records: nearly every source has a defect that a generic reader would read into the
records (rows that are no data, labels that need mending, files that pair up by line), and mending those is what the
tasks' converters are for. Lines as they are would not do either: mlcroissant 1.1 reads them as comma-separated, and
each line of JSON Lines as often as there are lines.
"""

from __future__ import annotations

import mimetypes
from typing import Any
from urllib.parse import quote

from harness_ext.data.cards import Card, CardFile

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
} | {
    name: f"cr:{name}"
    for name in (
        "citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject", "fileSet", "format",
        "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references",
        "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
    )
}  # fmt: skip
_MEDIA_TYPES = {
    ".jsonl": "application/jsonlines",
    ".tsv": "text/tab-separated-values",
    ".db": "application/vnd.sqlite3",
    ".yaml": "application/yaml",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".parquet": "application/vnd.apache.parquet",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def to_croissant(card: Card) -> dict[str, Any]:
    """The JSON-LD document of a card: what the source is and every file of it with address, size and digest."""
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": card.source,
        "alternateName": card.hub.pretty_name,
        "description": _description(card),
        **({"url": card.homepage} if card.homepage else {}),
        "license": card.licence,
        "citeAs": card.citation,
        "inLanguage": card.hub.language,
        "keywords": card.hub.tags,
        "isLiveDataset": False,
        "distribution": [_file_object(card, file) for file in card.files],
    }


def _description(card: Card) -> str:
    paragraphs = [" ".join(block.split()) for block in card.prose.split("\n\n") if not block.startswith("#")]
    warning = f" Sensitive: {', '.join(card.sensitive)}." if card.sensitive else ""
    return (paragraphs[0] if paragraphs else card.hub.pretty_name) + warning


def _file_object(card: Card, file: CardFile) -> dict[str, Any]:
    about = [file.about, f"Licence: {file.licence}" if file.licence else None]
    about += [f"Split: {split}" for split, names in card.splits.items() if file.name in names]
    described = {"description": ". ".join(part for part in about if part) + "."} if any(about) else {}
    return {
        "@type": "cr:FileObject",
        "@id": quote(file.name),
        "name": file.name,
        **described,
        "contentUrl": file.url or file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": _media_type(file.name),
        "sha256": file.sha256,
    }


def _media_type(name: str) -> str:
    # Our own table first: what mimetypes knows depends on the machine.
    suffix = name[name.rfind(".") :].lower()
    return _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
