"""Build hook: an editable install gets the autoload line and nothing else copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class EditableAutoload(BuildHookInterface):
    """Keep stale copies of tasks/, methods/, … out of editable installs (they are read from the checkout)."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Replace ``force-include`` by the ``.pth`` alone when the install is editable."""
        if version == "editable":
            pth = "harness_ext_autoload.pth"
            build_data["force_include_editable"] = {str(Path(self.root) / pth): pth}
