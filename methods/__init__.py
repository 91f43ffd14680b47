"""Thin implementations of published methods: one module a method. May import harness_ext.data only."""
