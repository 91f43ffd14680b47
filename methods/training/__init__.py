"""One recipe for trained methods: objective, pairs, reference, loop, and fine-tuning around them."""
