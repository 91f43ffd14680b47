"""What concerns a run of any backend: whose answers it keeps, and whether they are answers."""
