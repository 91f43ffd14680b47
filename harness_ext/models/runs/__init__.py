"""What concerns a run of any backend: what it will cost, whose answers it keeps, and whether they are answers."""
