def soft_and_predicted(doc, results):
    return {"distance": (doc["soft"], 0.5), "parse_failure": 1.0}


def mean_distance(items):
    return sum(abs(soft - predicted) for soft, predicted in items) / len(items)
