"""Loading a model and asking it. All that can be wrong with a model is found here, before it serves.

An artefact of our own is verified by hash, rebuilt from its base, and has to repeat its golden outputs. Any Hugging
Face sequence-classification checkpoint in safetensors serves as it is, by a label map. Neither runs code of its own.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from monitor.core.batching import pack, shared
from monitor.core.manifest import (
    GLOSSARY,
    NAME,
    SENTIMENT,
    TOKENIZER,
    TOLERANCE,
    WEIGHTS,
    Golden,
    Head,
    Manifest,
    disagreement,
    parse,
)
from monitor.errors import ArtefactError
from monitor.scoring.glossary import Glossary, read
from monitor.scoring.network import WORDS, Network, Shape, collate
from monitor.scoring.preparation import GLOSSED, PLAIN, Prepared, Preparer
from monitor.scoring.references import locate, require_weights
from monitor.scoring.worker import Judgement
from monitor.types import ModelId

BUDGETS = {"cpu": 768, "cuda": 65536}  # padded tokens of one lane: what the caches hold; what keeps a GPU busy
LIMIT = 128  # tokens, of a checkpoint of others
FASTER = 1.1  # bf16 has to be faster by this factor to be used
PROBE = (4, 64)  # texts and tokens of the batch that measures it
TURNS = 3  # the first warms up
PROBE_TEXTS = (
    "Profit rises by a tenth and beats what analysts expected.",
    "The regulator opens an investigation into the bank's accounts.",
    "The board will meet on Thursday.",
    "公司公布年度业绩",
)


class Model:
    """One loaded model on one device. Not for several threads at once.

    On a CPU each core is a *lane*: a batch is cut into as many parts, and one thread works through each. The threads
    of one lane for all cores would wait for each other at every operation, and for whoever else is using a core.
    """

    def __init__(
        self, identity: ModelId, network: nn.Module, heads: Mapping[str, Head], preparer: Preparer, device: torch.device
    ) -> None:
        self.id = identity
        self.heads = heads
        self.limit = preparer.limit
        self.device = device
        self.threads = torch.get_num_threads()
        self.precision = torch.float32
        lanes = self.threads if device.type == "cpu" else 1
        self.budget = BUDGETS[device.type] * lanes
        self._lanes = ThreadPoolExecutor(lanes, "lane", torch.set_num_threads, (1,)) if lanes > 1 else None
        self.prepare = preparer.prepare
        self._network = network.eval().to(device)

    def judge(self, batch: Sequence[Prepared]) -> list[Judgement]:
        """Return {head: {label: calibrated probability}} for each text of one batch, in order.

        Raise MemoryError where the device is too small for the batch, ArithmeticError where a result is not a number.
        """
        if self._lanes is None or len(batch) == 1:
            return self._judge(batch)
        parts = [[batch[i] for i in part] for part in shared([len(each.ids) for each in batch], self.threads)]
        return [judgement for part in self._lanes.map(self._judge, parts) for judgement in part]

    def _judge(self, batch: Sequence[Prepared]) -> list[Judgement]:
        try:
            logits = self._logits(batch)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            raise
        judgements: list[dict[str, Mapping[str, float]]] = [{} for _ in batch]
        for name, head in self.heads.items():
            scaled = logits[name].float().cpu() / head.temperature
            found = scaled.softmax(-1) if head.kind == "single" else scaled.sigmoid()
            if not bool(found.isfinite().all()):
                raise ArithmeticError(f"the head {name} answered with what is not a number")
            for judgement, row in zip(judgements, found.tolist(), strict=True):
                judgement[name] = dict(zip(head.labels, row, strict=True))
        return list(judgements)

    @torch.inference_mode()
    def _logits(self, batch: Sequence[Prepared]) -> dict[str, Tensor]:
        ids, pool = collate(batch)
        found: dict[str, Tensor] = self._network(ids.to(self.device), pool.to(self.device))
        return found

    def answers(self, golden: Sequence[Golden]) -> list[Judgement]:
        """Judge the texts of golden inputs, in order."""
        prepared = self.prepare([(each.text, each.spans) for each in golden])
        found: dict[int, Judgement] = {}
        for batch in pack([len(each.ids) for each in prepared], self.budget):
            found |= zip(batch, self.judge([prepared[i] for i in batch]), strict=True)
        return [found[i] for i in range(len(golden))]

    def settle_precision(self, golden: Sequence[Golden]) -> None:
        """Use bf16 where it is measured to be faster here and keeps the golden outputs within tolerance."""
        plain, half = self._network, copy.deepcopy(self._network).to(torch.bfloat16)
        seconds = self._probe(plain, half)
        self._network = half
        if seconds[1] * FASTER > seconds[0] or _worst(golden, self.answers(golden)) > TOLERANCE:
            self._network = plain
        else:
            self.precision = torch.bfloat16

    def _probe(self, *networks: nn.Module) -> list[float]:
        """Return each network's least time over one batch, in seconds.

        On a CPU it is the time that one thread works, for the machine may be busy with other things just now.
        """
        texts, tokens = PROBE
        batch = [Prepared([1 + i] * tokens, [(0, 1)]) for i in range(texts)]  # any tokens do
        clock = time.thread_time if self.device.type == "cpu" else time.perf_counter
        times: list[list[float]] = [[] for _ in networks]
        kept = self._network
        torch.set_num_threads(1)
        for _ in range(TURNS):
            for mine, self._network in zip(times, networks, strict=True):
                start = clock()
                next(iter(self._logits(batch).values())).sum().item()  # waits for the device
                mine.append(clock() - start)
        self._network = kept
        torch.set_num_threads(self.threads)
        return [min(mine) for mine in times]


def open_model(
    reference: str,
    *,
    labels: Mapping[str, str] | None = None,
    threads: int | None = None,
    cache: Path | None = None,
) -> Model:
    """Load, verify and warm up the model that a reference names (see references.py).

    labels   a foreign checkpoint's labels to negative, neutral, positive; needless where they bear these names
    threads  of the CPU; None takes as many as this process may use

    Raise ArtefactError for a model that is missing, changed, cut short, or not what it says; ConfigurationError for a
    reference that cannot be.
    """
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    folder = locate(reference, cache=cache)
    if (folder / NAME).is_file():
        return _open_artefact(folder, cache)
    if (folder / "config.json").is_file():
        return _open_checkpoint(folder, labels or {})
    raise ArtefactError(
        f"{folder}: cannot find {NAME} (a newsquake model) or config.json (a Hugging Face checkpoint); "
        "is `model.default` a model folder?"
    )


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _worst(golden: Sequence[Golden], found: Sequence[Judgement]) -> float:
    return max(disagreement(g.probabilities, f) for g, f in zip(golden, found, strict=True))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtefactError(f"{path}: cannot read it ({error.strerror})") from error


def _verify(path: Path, expected: str) -> None:
    actual = _sha256(path)
    if actual != expected:
        raise ArtefactError(
            f"{path}: sha256 is {actual[:12]}…, expected {expected[:12]}…: the file was changed or cut short"
        )


# --- an artefact of our own ---


def read_artefact(folder: Path, cache: Path | None = None) -> tuple[Manifest, ModelId, dict[str, Tensor]]:
    """Read an artefact and verify each of its files, and its base's; return its manifest, id, and all its weights.

    Raise ArtefactError for one that is missing, changed, cut short, or made for another newsquake.
    """
    try:
        raw = (folder / NAME).read_bytes()
    except OSError as error:
        raise ArtefactError(f"{folder / NAME}: cannot read the model's manifest ({error.strerror})") from error
    manifest, identity = parse(raw, str(folder / NAME))
    known = GLOSSED if GLOSSARY in manifest.files else PLAIN
    if manifest.preparation != known:
        raise ArtefactError(
            f"{folder / NAME}: preparation is {manifest.preparation}, expected {known}: made for another newsquake"
        )
    for name, expected in manifest.files.items():
        _verify(folder / name, expected)
    try:
        weights = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise ArtefactError(f"{folder / WEIGHTS}: cannot read the model's weights: {error}") from error
    if manifest.words == "base":
        weights[WORDS] = _base_words(manifest, cache)
    return manifest, identity, {name: each.float() for name, each in weights.items()}


def _open_artefact(folder: Path, cache: Path | None) -> Model:
    manifest, identity, weights = read_artefact(folder, cache)
    try:
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        glossary = Glossary(read(folder / GLOSSARY)) if GLOSSARY in manifest.files else None
        preparer = Preparer(tokenizer, limit=manifest.token_limit, markers=manifest.markers, glossary=glossary)
    except Exception as error:  # tokenizers raises bare Exception; the glossary may be none
        raise ArtefactError(f"{folder}: cannot read the model: {error}") from error
    model = Model(identity, _network(manifest, weights, folder), manifest.heads, preparer, _device())
    worst = _worst(manifest.golden, model.answers(manifest.golden))
    if worst > TOLERANCE:
        raise ArtefactError(
            f"{folder}: a golden output is off by {worst:.3f}, expected at most {TOLERANCE}: the model does not judge "
            "here as it did where it was made"
        )
    model.settle_precision(manifest.golden)
    return model


def _base_words(manifest: Manifest, cache: Path | None) -> Tensor:
    """Read the base's word embeddings, after its hash."""
    path = locate(manifest.base.reference, cache=cache) / WEIGHTS
    _verify(path, manifest.base.sha256)
    with safe_open(path, framework="pt") as file:
        for name in ("embeddings.word_embeddings.weight", "bert.embeddings.word_embeddings.weight"):
            if name in file.keys():  # noqa: SIM118 - not a mapping
                found: Tensor = file.get_tensor(name)
                return found
    raise ArtefactError(f"{path}: holds no BERT word embeddings")


def _network(manifest: Manifest, weights: Mapping[str, Tensor], folder: Path) -> Network:
    shape = Shape(**manifest.architecture.model_dump())
    network = Network(shape, {name: len(head.labels) for name, head in manifest.heads.items()})
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ArtefactError(f"{folder / WEIGHTS}: does not fit {NAME}: {' '.join(str(error).split())[:300]}") from error
    return network


# --- anybody's sequence-classification checkpoint ---


class _Classifier(nn.Module):
    """A transformers model behind the same call as our network, its labels in our order."""

    def __init__(self, classifier: nn.Module, columns: Sequence[int | None]) -> None:
        super().__init__()
        self.classifier = classifier
        self._columns = columns

    def forward(self, ids: Tensor, pool: Tensor) -> dict[str, Tensor]:
        logits = self.classifier(input_ids=ids, attention_mask=(pool[:, 0] > 0).long()).logits
        never = torch.full_like(logits[:, 0], float("-inf"))  # a label that the checkpoint does not know
        return {"sentiment": torch.stack([never if c is None else logits[:, c] for c in self._columns], dim=1)}


def _open_checkpoint(folder: Path, labels: Mapping[str, str]) -> Model:
    require_weights(folder)
    classifier, tokenizer = _from_transformers(folder)
    columns = _columns(classifier.config.id2label, labels, folder)
    try:
        preparer = Preparer(
            tokenizer.backend_tokenizer,
            limit=min(LIMIT, classifier.config.max_position_embeddings - 2),
            markers=None,
            ends=(tokenizer.cls_token, tokenizer.sep_token),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise ArtefactError(f"{folder}: cannot use the checkpoint's tokenizer: {error}") from error
    hashes = [_sha256(path) for path in [*sorted(folder.glob("*.safetensors")), folder / "config.json"]]
    identity = hashlib.sha256(json.dumps([hashes, columns]).encode()).hexdigest()[:16]
    heads = {"sentiment": Head(labels=SENTIMENT)}
    model = Model(ModelId(identity), _Classifier(classifier, columns), heads, preparer, _device())
    asked = [Golden(text=text, probabilities={}) for text in PROBE_TEXTS]
    golden = [
        Golden(text=each.text, probabilities={head: dict(given) for head, given in answer.items()})
        for each, answer in zip(asked, model.answers(asked), strict=True)
    ]
    model.settle_precision(golden)
    return model


def _from_transformers(folder: Path) -> tuple[Any, Any]:
    import transformers  # noqa: PLC0415 - takes seconds, and the shipped model does without

    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        classifier, info = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, trust_remote_code=False, use_safetensors=True, local_files_only=True, output_loading_info=True
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ArtefactError(f"{folder}: not a sequence-classification checkpoint in safetensors: {error}") from error
    if info["missing_keys"]:
        missing = ", ".join(sorted(info["missing_keys"])[:3])
        raise ArtefactError(f"{folder}: the checkpoint lacks weights ({missing}): is it a base without a classifier?")
    return classifier, tokenizer


def _columns(found: Mapping[int, str], labels: Mapping[str, str], folder: Path) -> list[int | None]:
    """Return for each of our labels the checkpoint's column, or None for a neutral that it does not know."""
    ours = {labels.get(name, name).lower(): column for column, name in found.items()}
    unknown = set(ours) - set(SENTIMENT)
    if unknown or len(ours) != len(found) or not {"negative", "positive"} <= set(ours):
        raise ArtefactError(
            f"{folder}: the checkpoint's labels are {', '.join(found.values())}; "
            f"expected a label map from each of them to one of {', '.join(SENTIMENT)}"
        )
    return [ours.get(name) for name in SENTIMENT]


def plain_pipeline(reference: str, *, limit: int, batch: int) -> Callable[[Sequence[str]], object]:
    """Return what `newsquake bench` is measured against: a transformers text-classification pipeline with its defaults,
    fp32, on the checkpoint `reference` with a fresh head of three labels, cut at the same token limit."""
    import transformers  # noqa: PLC0415 - takes seconds, and the shipped model does without

    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    folder = locate(reference)
    made = transformers.pipeline(
        "text-classification",
        model=transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=len(SENTIMENT)),
        tokenizer=transformers.AutoTokenizer.from_pretrained(folder),
        batch_size=batch,
        device=_device(),
    )
    return lambda texts: made(list(texts), truncation=True, max_length=limit)
