"""What tables know of the GPT-4V probes."""

from harness_ext.results.benches import Bench

BLOCKS = {
    "visual": ("vqa", "caption", "scienceqa"),
    "refusal": ("refusal",),
    "zh_ocr": ("zh",),
    "language": ("white", "vicomte", "physics"),
    "puzzle": ("math", "spot", "drawguess"),
    "modality": ("depth", "thermal", "video", "audio"),
}
"""The paper's, and the words that names of their tasks begin with."""
_PREFIXES = ("gpt4v_probes_", "syn_", "local_")


def block_of(task: str) -> str:
    """The block of a task, or of a group that is one; empty for other groups.

    >>> block_of("gpt4v_probes_syn_zh_char"), block_of("gpt4v_probes_puzzle"), block_of("gpt4v_probes_text")
    ('zh_ocr', 'puzzle', '')
    """
    for prefix in _PREFIXES:
        task = task.removeprefix(prefix)
    return next((block for block, words in BLOCKS.items() if task == block or task.startswith(words)), "")


BENCH = Bench(
    printed={
        "refused": "refused (rule trait_refusal)",
        "cell_adj": "cells, corrected for chance",
        "cell_f1": "cells, F1",
        "full_credit": "changes told",
        "correct": "right, by people",
        "right": "right, by scorers",
        "white_effect": "white picture less none",
    },
    usual={"n": None, "seed": 0, "level": None},
    asks={
        "gpt4v_probes": "what a model sees, knows, solves and refuses",
        "gpt4v_probes_visual": "what is in a picture of shapes",
        "gpt4v_probes_refusal": "questions about people that a model may refuse",
        "gpt4v_probes_zh_ocr": "Chinese in pictures",
        "gpt4v_probes_language": "questions that need no picture, beside a white one",
        "gpt4v_probes_puzzle": "picture puzzles that a program draws",
        "gpt4v_probes_puzzles_real": "the paper's own puzzles",
        "gpt4v_probes_modality": "depth, heat, sound and time as pictures",
        "gpt4v_probes_text": "questions of the language block without a picture",
        "gpt4v_probes_ll": "visual commonsense by likelihood",
        "gpt4v_probes_white": "MMLU, HellaSwag and WinoGrande beside a white picture",
        "gpt4v_probes_white_mmlu": "MMLU beside a white picture",
        "gpt4v_probes_white_hellaswag": "HellaSwag beside a white picture",
        "gpt4v_probes_white_winogrande": "WinoGrande beside a white picture",
        "gpt4v_probes_vicomte": "what colour, shape, material, size and company things have",
        "gpt4v_probes_syn_physics": "which of two quantities of school physics is greater",
        "gpt4v_probes_syn_vqa": "count, colour, place and existence of shapes",
        "gpt4v_probes_syn_caption": "a sentence on a picture of shapes",
        "gpt4v_probes_syn_refusal": "gender, race or age of drawn figures",
        "gpt4v_probes_syn_zh_char": "one Chinese character",
        "gpt4v_probes_syn_zh_mcq": "a Chinese question, copied",
        "gpt4v_probes_syn_math": "equations of icons",
        "gpt4v_probes_math": "the paper's equations of icons",
        "gpt4v_probes_syn_spot": "what differs between two panels",
        "gpt4v_probes_spot_grid": "what differs between two of the paper's pictures",
        "gpt4v_probes_drawguess": "what a drawing of the paper stands for",
        "gpt4v_probes_syn_depth": "the room in a depth map",
        "gpt4v_probes_syn_thermal": "people in an infrared picture",
        "gpt4v_probes_syn_video": "what happens in four frames",
        "gpt4v_probes_syn_audio": "sounds as spectrograms",
        "gpt4v_probes_local": "pictures of your own",
    },
    sizes={
        "gpt4v_probes_syn": 50,
        "gpt4v_probes_syn_zh": 20,
        "gpt4v_probes_vicomte_color": 574,
        "gpt4v_probes_vicomte_shape": 140,
        "gpt4v_probes_vicomte_material": 284,
        "gpt4v_probes_vicomte_size": 400,
        "gpt4v_probes_vicomte_cooccur": 420,
        "gpt4v_probes_white_mmlu": 14042,
        "gpt4v_probes_white_hellaswag": 10042,
        "gpt4v_probes_white_winogrande": 1267,
        "gpt4v_probes_math": 10,
        "gpt4v_probes_drawguess": 10,
        "gpt4v_probes_spot_grid": 2,
    },
)
