"""Pinned, verified data described by cards. Imports nothing of tasks, judges or models.

A card (``data_cards/<source>.md``) says what a source is and pins every file of it; :func:`fetch` turns a card's file
into a verified local path; :func:`load_sample` reads the records a benchmark bundles with the package.
"""

from harness_ext.data.cards import Card, CardFile, list_sources, load_card
from harness_ext.data.fetching import fetch
from harness_ext.data.samples import load_sample

__all__ = ["Card", "CardFile", "fetch", "list_sources", "load_card", "load_sample"]
