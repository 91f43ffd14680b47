"""A module of `evaluate`; see :mod:`harness_ext.metrics`."""
