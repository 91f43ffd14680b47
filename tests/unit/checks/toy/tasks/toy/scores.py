"""Scores of the toy benchmark."""


def answered(doc, results):
    said = results[0].strip()
    right = said == doc["options"][doc["answer"]]
    return {"acc": float(right), "parse_failure": float(said not in doc["options"])}
