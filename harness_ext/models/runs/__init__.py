"""What is known about a run: what it will cost, whose answers it keeps, and what ``hf`` does not say."""
