"""A base model of a few kilobytes: BERT's shape, random weights, a vocabulary of a few words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = [
    *("acme", "bank", "borealis", "steel", "gains", "as", "slumps", "falls", "rises", "jumps", "after", "and"),
    *("profit", "loss", "fraud", "the", "of", "in", "on", "a", "is", "was", "record", "strike", "dividend", "shares"),
    *("today", "not", "first", "second", "third", ".", ",", "x", "y", "z"),
]
SPECIAL = ["[PAD]", "[unused0]", "[unused1]", "[unused2]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def tokenizer() -> Tokenizer:
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS, "艾", "克", "米"])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    made.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    return made


def config() -> dict[str, object]:
    return {
        "model_type": "bert",
        "vocab_size": len(SPECIAL) + len(WORDS) + 3,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "pad_token_id": 0,
    }


def save_tokenizer(folder: Path) -> None:
    tokenizer().save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def save_base(folder: Path) -> Path:
    """Write a base model as transformers writes one."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(7)
    folder.mkdir(parents=True)
    BertModel(BertConfig.from_dict(config()), add_pooling_layer=False).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_classifier(folder: Path, labels: list[str]) -> Path:
    """Write a sequence-classification checkpoint as transformers writes one."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(7)
    folder.mkdir(parents=True)
    made = BertConfig.from_dict({**config(), "id2label": dict(enumerate(labels)), "initializer_range": 0.5})
    BertForSequenceClassification(made).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def without_fast_tokenizer(folder: Path) -> Path:
    """Leave of a checkpoint's tokenizer what many Chinese ones have of it: a list of words, and its settings."""
    words = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def in_hub(cache: Path, name: str, folder: Path, revision: str = "main") -> None:
    """Move a folder to where the hub's client keeps the repository `name` (ORG/NAME) at a revision."""
    repository = cache / f"models--{name.replace('/', '--')}"
    commit = f"{len(list(repository.glob('snapshots/*'))):040x}"
    reference = repository / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    reference.write_text(commit)
    shutil.copytree(folder, repository / "snapshots" / commit)
