"""EiBench-R: a labelled reconstruction of EiBench from public sources."""
