"""Documentation tools: `explore_hf_docs`, `fetch_hf_docs` and `find_hf_api`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.protocol.tools import ToolSpec
from agent.tools.docs.limits import DEFAULT_CHARS, DEFAULT_RESULTS, MAX_CHARS, MAX_RESULTS
from agent.tools.looking import Look, looking_tool

if TYPE_CHECKING:
    from agent.tools.docs.library import DocsLibrary
    from agent.web.client import WebClient

EXPLORE_DESCRIPTION = """\
Find pages in the current documentation of a Hugging Face library, with a glimpse of each.

Use it before you write code against a library: what you remember of an API may be older than its present release.
With `query` the best pages come first, each with the section and lines that fit best; without, the first pages.
Usual course: explore_hf_docs for the pages, fetch_hf_docs to read one or two of them whole, github_find_examples for \
working code. Before training, look up the trainer's config class (trl, transformers, peft) here.
`courses` searches all courses and the cookbook at once, `optimum` all its editions for hardware."""

FETCH_DESCRIPTION = """\
Read a page of documentation as Markdown, whole or in pieces.

Give the URL of a result of explore_hf_docs, or any page of huggingface.co/docs, huggingface.co/learn or gradio.app; \
with #heading in it, reading starts at that heading. Read the page of a class before you use it: signatures and \
defaults there are those of the present release. A long page comes in pieces; the end of each says how to go on."""

FIND_DESCRIPTION = """\
Find endpoints of the Hugging Face Hub's HTTP API, each with its parameters and a curl command.

Use it for what the other tools do not cover: webhooks, access requests, discussions, organisation settings, Space \
secrets and the like. `query` searches paths, summaries and parameters; `tag` takes one group of endpoints (such as \
models, datasets, spaces, webhooks; one that does not exist brings up those that are near). Give one of them or both.
Run the command with bash; commands that change something need a token with the right to."""

GLOSSES: dict[str, str] = {
    "hub": "the Hub: repositories, cards, Spaces, webhooks, access tokens",
    "transformers": "models, Trainer, generation, quantization, chat templates",
    "diffusers": "diffusion pipelines and their training",
    "datasets": "loading, streaming, mapping and publishing data",
    "gradio": "user interfaces for models",
    "trackio": "experiment tracking, local or on a Space",
    "smolagents": "small agents that write code",
    "huggingface_hub": "Python client of the Hub, its API, jobs and inference",
    "huggingface.js": "JavaScript clients of the Hub and of inference",
    "transformers.js": "models in the browser and in Node.js",
    "inference-providers": "hosted models behind one API",
    "inference-endpoints": "dedicated deployments",
    "peft": "LoRA and other adapters",
    "accelerate": "several GPUs, FSDP, DeepSpeed, mixed precision",
    "optimum": "export and acceleration, with the editions for each hardware",
    "tokenizers": "training and using fast tokenizers",
    "courses": "all courses and the cookbook: the best worked examples",
    "evaluate": "metrics",
    "tasks": "what each ML task is, with models and data for it",
    "dataset-viewer": "HTTP API for rows, search and statistics of datasets",
    "trl": "SFT, DPO, GRPO, reward models and other post-training",
    "simulate": "simulated environments",
    "sagemaker": "training and serving on Amazon SageMaker",
    "timm": "image models",
    "safetensors": "the file format for weights",
    "tgi": "Text Generation Inference, an LLM server",
    "setfit": "few-shot text classification",
    "lerobot": "robot learning: policies, data, hardware",
    "autotrain": "training without code",
    "tei": "Text Embeddings Inference, an embedding server",
    "bitsandbytes": "8-bit and 4-bit weights and optimizers",
    "sentence_transformers": "embedding and reranker models",
    "chat-ui": "the chat application",
    "leaderboards": "leaderboards on the Hub",
    "lighteval": "evaluating LLMs",
    "argilla": "annotating data",
    "distilabel": "synthetic data pipelines",
    "microsoft-azure": "models on Azure",
    "kernels": "compiled kernels from the Hub, such as attention without building flash-attn",
    "google-cloud": "models on Google Cloud",
}
"""What can be explored, in the order the model sees it."""

EXPLORE_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["endpoint"],
    "properties": {
        "endpoint": {
            "type": "string",
            "enum": list(GLOSSES),
            "description": "Whose documentation. " + "; ".join(f"{name}: {gloss}" for name, gloss in GLOSSES.items()),
        },
        "query": {"type": "string", "description": "Words or names of classes and arguments; any of them may match."},
        "max_results": {
            "type": "integer",
            "minimum": 1,
            "description": f"How many pages. Default {DEFAULT_RESULTS}, at most {MAX_RESULTS}.",
        },
    },
}

FETCH_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {"type": "string", "description": "A page's URL or a path such as /docs/trl/sft_trainer."},
        "offset": {"type": "integer", "minimum": 0, "description": "Character to start at. Default 0."},
        "max_chars": {
            "type": "integer",
            "minimum": 1,
            "description": f"How much of it. Default {DEFAULT_CHARS}, at most {MAX_CHARS}.",
        },
    },
}

FIND_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "query": {"type": "string", "description": "What to do and to what, e.g. duplicate a space."},
        "tag": {"type": "string", "description": "Only endpoints of this group."},
    },
}


def explore_hf_docs_spec(library: Callable[[], DocsLibrary]) -> ToolSpec:
    """The `explore_hf_docs` tool; `library` is asked for at the first call."""

    def door() -> Look:
        from agent.tools.docs.explore import explore

        return partial(explore, library().books)

    return looking_tool("explore_hf_docs", EXPLORE_DESCRIPTION, EXPLORE_PARAMETERS, door)


def fetch_hf_docs_spec(library: Callable[[], DocsLibrary]) -> ToolSpec:
    """The `fetch_hf_docs` tool; with the same library as `explore_hf_docs` it reads from what that has indexed."""

    def door() -> Look:
        from agent.tools.docs.fetch import fetch

        return partial(fetch, library().books)

    return looking_tool("fetch_hf_docs", FETCH_DESCRIPTION, FETCH_PARAMETERS, door)


def find_hf_api_spec(web: Callable[[], WebClient], environ: Mapping[str, str]) -> ToolSpec:
    """The `find_hf_api` tool. Nothing is fetched before its first call."""

    def door() -> Look:
        from agent.tools.docs.api_index import HubApi
        from agent.tools.docs.api_search import find

        return partial(find, HubApi(web(), environ))

    return looking_tool("find_hf_api", FIND_DESCRIPTION, FIND_PARAMETERS, door)
