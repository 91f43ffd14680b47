"""The scorers as modules of Hugging Face's `evaluate`: one folder a module, as `evaluate.load` asks for it.

    evaluate.load(f"{path}/soft_labels")  # path: what `harness-ext path metrics` prints

Each module says what its predictions and references are and calls :mod:`harness_ext.scoring`; it is loaded from the
installed package, without network. `evaluate` copies the module's few lines to its cache (``HF_MODULES_CACHE``), which
must be writable; where it is not, import the class instead, such as
:class:`harness_ext.metrics.soft_labels.soft_labels.SoftLabels`.
"""
