"""Tasks of a package that harness-ext has never heard of."""
