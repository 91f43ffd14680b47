"""What the modules share: no file is written when they compute."""

from __future__ import annotations

from typing import Any, ClassVar

import datasets
import evaluate


class Module(evaluate.Metric):  # type: ignore[misc]
    """A metric whose features are the ``inputs`` of its class, and whose description is its docstring."""

    inputs: ClassVar[dict[str, Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # One process needs no file, and so no lock, for what it adds: the cache may be read-only.
        kwargs["keep_in_memory"] = kwargs.get("num_process", 1) == 1
        super().__init__(*args, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        about = self.__doc__ or ""
        features = datasets.Features(self.inputs)
        return evaluate.MetricInfo(description=about, citation="", inputs_description=about, features=features)

    def _build_data_dir(self) -> str:
        return "" if self.keep_in_memory else str(super()._build_data_dir())
