"""Which documentation there is: a name, what one finds there, and where its pages lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.web.places import GRADIO, HUB, Place


@dataclass(frozen=True, slots=True)
class Package:
    """One book: pages that are published together.

    `paths` lie below the address of `place`; the later ones are other places where the same book may be. `has_prose`:
    its overview is a text worth reading, not only a list of its pages.
    """

    name: str
    paths: tuple[str, ...]
    place: Place = HUB
    has_prose: bool = False

    def base(self, environ: Mapping[str, str]) -> str:
        """Where it is published first of all; this is also what it is filed under."""
        return self.bases(environ)[0]

    def bases(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Everywhere it may be published."""
        return tuple(self.place.base(environ) + path for path in self.paths)


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

_OPTIMUM = ("optimum", "optimum-habana", "optimum-neuron", "optimum-intel", "optimum-executorch", "optimum-tpu")
_COURSES = tuple(
    f"{subject}-course"
    for subject in "llm robotics mcp smol agents deep-rl computer-vision audio ml-games diffusion ml-for-3d".split()
)
_LONG_NAMES = {"tgi": "text-generation-inference", "tei": "text-embeddings-inference"}


def _docs(name: str) -> Package:
    names = (name, _LONG_NAMES[name]) if name in _LONG_NAMES else (name,)
    return Package(name, tuple(f"/docs/{each}" for each in names))


_SPECIAL: dict[str, tuple[Package, ...]] = {
    "optimum": tuple(_docs(name) for name in _OPTIMUM),
    "courses": tuple(Package(name, (f"/learn/{name}",)) for name in (*_COURSES, "cookbook")),
    "gradio": (Package("gradio", ("",), GRADIO, has_prose=True),),
}


def packages_of(name: str) -> tuple[Package, ...]:
    """The books behind a name of `GLOSSES`."""
    return _SPECIAL.get(name) or (_docs(name),)
