"""Tasks with pictures on a real model in this process, on a chat server, and where pictures cannot be shown."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
from PIL import Image
from sqlitedict import SqliteDict

from harness_ext._autoload import task_folders
from harness_ext.errors import InputError

CHAT = "local-chat-completions"
PREFIX = "gpt4v_probes_"
BLOCKS = ("visual", "refusal", "zh_ocr", "language", "puzzle", "modality")


@pytest.fixture(scope="module")
def manager() -> TaskManager:
    return TaskManager(include_defaults=False, include_path=task_folders()[0], metadata={"data": "sample"})


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random LLaVA with 155,328 parameters."""
    import tokenizers
    import torch
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    built = tokenizers.Tokenizer(tokenizers.models.BPE())
    built.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = tokenizers.decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<image>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()
    )
    built.train_from_iterator(["What is in the picture? Answer with a word or a letter."], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=built, pad_token="<pad>", bos_token="<s>", eos_token="</s>", padding_side="left",
        extra_special_tokens={"image_token": "<image>"},
        chat_template="{% for m in messages %}{% for c in m.content %}{{ '<image>' if c.type == 'image' else c.text }}"
        "{% endfor %}{% endfor %}",
    )  # fmt: skip
    torch.manual_seed(0)
    image = tokenizer.convert_tokens_to_ids("<image>")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, image_size=32,
            patch_size=8, projection_dim=32,
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=2048,
        ),
        image_seq_length=16, vision_feature_layer=-1, image_token_index=image,
    )  # fmt: skip
    model = LlavaForConditionalGeneration(config).eval()
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = 0, 2
    folder = tmp_path_factory.mktemp("seeing")
    model.save_pretrained(folder)
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}), tokenizer,
        patch_size=8, vision_feature_select_strategy="default", num_additional_image_tokens=1, image_token="<image>",
    )  # fmt: skip
    processor.save_pretrained(folder)
    return str(folder)


def test_a_model_that_sees_answers_every_task_of_every_block(seeing: str, manager: TaskManager) -> None:
    names = [PREFIX + name for name in BLOCKS]
    found = simple_evaluate(
        model="hf-multimodal",
        model_args={"pretrained": seeing, "dtype": "float32", "convert_img_format": True},
        tasks=names, task_manager=manager, device="cpu", batch_size=2, limit=2, bootstrap_iters=0,
        gen_kwargs={"max_gen_toks": 4},
    )  # fmt: skip
    assert len(found["samples"]) == 27
    for samples in found["samples"].values():
        assert all(isinstance(sample["resps"][0][0], str) for sample in samples)


def test_kept_answers_of_a_model_that_sees_are_found_by_the_pixels(seeing: str, tmp_path: Path) -> None:
    sizes = []
    for seed in (0, 0, 1):
        simple_evaluate(
            model="hf-multimodal",
            model_args={"pretrained": seeing, "dtype": "float32", "convert_img_format": True},
            tasks=[f"{PREFIX}syn_caption"],
            task_manager=TaskManager(
                include_defaults=False, include_path=task_folders()[0], metadata={"data": "sample", "seed": seed}
            ),
            device="cpu", batch_size=2, limit=2, bootstrap_iters=0, gen_kwargs={"max_gen_toks": 2},
            use_cache=str(tmp_path / "kept"),
        )  # fmt: skip
        with SqliteDict(str(tmp_path / "kept_rank0.db")) as kept:
            sizes.append(len(kept))
    assert sizes[0] == sizes[1]
    assert sizes[2] > sizes[1]


@pytest.fixture
def ask(manager: TaskManager) -> Callable[..., Any]:
    def run(
        model: Any, /, *tasks: str, template: bool = True, cache: str | None = None, manager: Any = manager,
        **model_args: Any,
    ) -> Any:  # fmt: skip
        return simple_evaluate(
            model=model, model_args=model_args, tasks=[PREFIX + task for task in tasks], task_manager=manager,
            apply_chat_template=template, bootstrap_iters=0, limit=2, use_cache=cache,
        )  # fmt: skip

    return run


def pictures(messages: Any) -> list[Image.Image]:
    """The pictures of a chat message, in their order."""
    urls = [part["image_url"]["url"] for part in messages[-1]["content"] if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB") for url in urls]


def test_a_chat_server_gets_all_pictures_in_their_order(ask: Any, chat_server: Any, manager: TaskManager) -> None:
    got: list[list[Image.Image]] = []

    def reply(messages: Any) -> str:
        got.append(pictures(messages))
        return "no idea"

    chat_server.reply = reply
    ask(CHAT, "syn_vqa_3shot", model="any", base_url=chat_server.url, max_images=4)
    (task,) = manager.load(f"{PREFIX}syn_vqa_3shot")["tasks"].values()
    wanted = [doc["images"] for doc in list(task.eval_docs)[:2]]
    assert [[one.tobytes() for one in shown] for shown in got] == [[one.tobytes() for one in doc] for doc in wanted]


def test_an_example_within_the_doc_is_really_seen(ask: Any, chat_server: Any, tmp_path: Path) -> None:
    """Where the first example shows another colour, a model that repeats it answers otherwise."""
    chat_server.reply = lambda messages: str(pictures(messages)[0].getpixel((0, 0)))
    given = []
    for colour in ("red", "blue"):
        folder = tmp_path / colour
        folder.mkdir()
        items = []
        for number in range(4):
            Image.new("RGB", (8, 8), colour if number == 1 else "white").save(folder / f"{number}.png")
            items.append({"images": [f"{number}.png"], "question": "What colour is it?", "answers": ["white"]})
        (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
        own = TaskManager(include_defaults=False, include_path=task_folders()[0], metadata={"local": str(folder)})
        found = ask(CHAT, "local_vqa_3shot", manager=own, model="any", base_url=chat_server.url, max_images=4)
        given.append(found["samples"][f"{PREFIX}local_vqa_3shot"][0]["resps"][0][0])
    assert given == ["(255, 0, 0)", "(0, 0, 255)"]


@pytest.mark.parametrize(
    ("model", "task", "model_args", "words"),
    [
        (CHAT, "syn_vqa_3shot", {}, "shows 4 pictures at a time and .* would send 1 of them: add max_images=4"),
        (CHAT, "syn_audio_match", {"max_images": 2}, "add max_images=4"),
        ("dummy", "syn_vqa", {}, "DummyLM reads no pictures, which gpt4v_probes_syn_vqa need: use hf-multimodal"),
    ],
)
def test_pictures_that_would_be_dropped_stop_the_run_before_the_first_request(
    ask: Any, chat_server: Any, model: str, task: str, model_args: Mapping[str, Any], words: str
) -> None:
    about = {"model": "any", "base_url": chat_server.url, **model_args} if model == CHAT else {}
    with pytest.raises(InputError, match=words):
        ask(model, task, template=model == CHAT, **about)
    assert not chat_server.asked


def test_a_completion_server_is_refused_with_the_way_out(ask: Any, chat_server: Any, seeing: str) -> None:
    with pytest.raises(
        InputError, match=r"completion server, which gets no pictures.*local-chat-completions with --app"
    ):
        ask(
            "local-completions",
            "syn_vqa",
            template=False,
            model=seeing,
            base_url=chat_server.url,
            tokenizer_backend=None,
        )
    assert not chat_server.asked


def test_few_shot_of_the_command_is_refused_where_pictures_would_be_lost(manager: TaskManager) -> None:
    with pytest.raises(InputError, match=r"--num_fewshot 1 would be ignored by gpt4v_probes_syn_vqa"):
        simple_evaluate(
            model="dummy", tasks=[f"{PREFIX}syn_vqa"], num_fewshot=1, task_manager=manager, bootstrap_iters=0
        )


def test_kept_answers_are_found_by_the_pixels_and_not_by_the_text(
    ask: Any, chat_server: Any, tmp_path: Path, manager: TaskManager
) -> None:
    """Captions all ask the same; a second run is answered from the file, one with other pictures is not."""
    chat_server.reply = lambda messages: "a star"
    server = {"model": "any", "base_url": chat_server.url}
    for _ in range(2):
        ask(CHAT, "syn_caption", cache=str(tmp_path / "kept"), **server)
        assert len(chat_server.asked) == 2
    other = TaskManager(include_defaults=False, include_path=task_folders()[0], metadata={"data": "sample", "seed": 1})
    ask(CHAT, "syn_caption", cache=str(tmp_path / "kept"), manager=other, **server)
    assert len(chat_server.asked) == 4
