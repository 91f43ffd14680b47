"""One layer of a model at a time: loading, running, states between layers, Fisher scores."""
