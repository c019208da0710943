"""What to say about a model id that routes nowhere: the known prefixes, and what the person probably meant.

An id whose head nobody knows is a Hub organisation and goes to the HF router; so a head that looks like a mistyped
prefix, or that names a provider we do not offer, must be caught here (a `gemini/…` silently sent to the router was the
most frequent complaint about the reference).
"""

from __future__ import annotations

import difflib
import re

from agent.llm.providers import known_prefixes

TYPO_CUTOFF = 0.8

_HUB_ORGANISATIONS = """
    01-ai ai21labs aisingapore alibaba-nlp allenai amazon apple arcee-ai baichuan-inc baidu bigcode bigscience
    bytedance-seed cerebras cognitivecomputations coherelabs cohereforai databricks deepcogito deepseek-ai dphn
    eleutherai facebook google huggingfaceh4 huggingfacetb ibm-granite inclusionai internlm kwaipilot lgai-exaone
    liquidai meta-llama microsoft minimaxai mistral-community mistralai moonshotai nebius nousresearch nvidia
    openai-community openbmb perplexity-ai primeintellect qwen rekaai sail salesforce sambanovasystems servicenow-ai
    snowflake stabilityai stepfun-ai swiss-ai teknium tencent thudm tiiuae togethercomputer unsloth upstage wandb
    xai-org xiaomimimo zai-org
"""
HUB_ORGANISATIONS = frozenset(_HUB_ORGANISATIONS.split())
"""Organisations (lower case) that are no typing errors, although some resemble a prefix or are a litellm provider."""

_LITELLM_ONLY = """
    a2a a2a_agent ai21 ai21_chat aiml aiohttp_openai aleph_alpha amazon_nova anthropic_text anyscale apertis
    assemblyai auto_router aws_polly aws_textract azure_speech azure_text baseten bedrock_mantle black_forest_labs bytez
    charity_engine chatgpt chutes clarifai cloudflare codestral cognition cohere_chat cometapi compactifai cortecs
    cursor custom custom_openai darkbloom datarobot deepgram docker_model_runner dotprompt edenai elevenlabs empower
    fal_ai featherless_ai friendliai galadriel gdc gigachat github github_copilot gradient_ai helicone heroku
    hosted_vllm humanloop hyperbolic inception infinity jina_ai lambda_ai langflow langfuse langgraph lemonade libertai
    litellm_agent llamafile manus maritalk meta meta_llama milvus modelscope mongodb morph nadir nano-gpt neosantara
    nlp_cloud novita nscale nvidia_riva oci ollama_chat oobabooga openai_like ovhcloud palm parasail petals pg_vector
    pinstripes poe predibase prism publicai qwen_ai_platform qwencloud ragflow recraft reducto reka replicate runwayml
    s3_vectors sagemaker_chat sagemaker_nova sambanova sap scaleway scx-ai soniox stability strands_decider synthetic
    tensormesh text-completion-codestral text-completion-inception text-completion-openai topaz transcribe triton
    typesafe v0 valkey vertex_ai_beta volcengine voyage watsonx_text xiaomi_mimo xinference
"""
LITELLM_ONLY = frozenset(_LITELLM_ONLY.split())
"""Providers of litellm (1.106) that are neither on our list nor Hub organisations."""

ALIASES = {
    "aws": "bedrock",
    "chatgpt": "openai",
    "claude": "anthropic",
    "fireworks": "fireworks_ai",
    "google-ai": "gemini",
    "google_ai_studio": "gemini",
    "grok": "xai",
    "hf": "huggingface",
    "hosted_vllm": "vllm",
    "kimi": "moonshot",
    "llama-cpp": "llamacpp",
    "llama.cpp": "llamacpp",
    "llama_cpp": "llamacpp",
    "ollama_chat": "ollama",
    "together": "together_ai",
    "vertex": "vertex_ai",
    "x-ai": "xai",
    "z-ai": "zai",
}
"""Other names people use for a prefix."""

_BARE_NAMES = (
    (r"(?:\w+\.)?(?:anthropic|amazon|meta|cohere|mistral|deepseek)\.", "bedrock/"),
    (r"(?:gpt-(?!oss)|o[1-9](?:-|$)|chatgpt|codex)", "openai/"),
    (r"claude", "anthropic/"),
    (r"gemini", "gemini/"),
    (r"grok", "xai/"),
    (r"demo$", "replay/"),
    (r"[^:]+:", "ollama/"),
    (r"(?:mistral|magistral|codestral|devstral)", "mistral/"),
    (r"deepseek", "deepseek/"),
    (r"(?:kimi|moonshot)", "moonshot/"),
    (r"glm", "zai/"),
    (r"command", "cohere/"),
    (r"(?:llama|gemma|phi|qwen|gpt-oss)", "ollama/"),
)
"""For an id without a slash: what it begins with, and the prefix it probably lacks."""

PREFIX_LIST = "Known prefixes: " + " ".join(f"{prefix}/" for prefix in known_prefixes())
"""A line of its own in each message, after what was probably meant."""


def head_problem(model_id: str) -> str | None:
    """Why `model_id`, which fits no row of the table, must not go to the HF router either; None if it may."""
    head, slash, rest = model_id.partition("/")
    if not slash:
        return _without_slash(model_id)
    if not rest:
        return f"{model_id!r} names no model: write the model after the slash."
    lower = head.lower()
    if head in known_prefixes() or lower in HUB_ORGANISATIONS:
        return None
    meant = ALIASES.get(lower) or _mistyped(lower)
    if meant:
        return (
            f"Did you mean {meant + '/' + rest!r}? {head + '/'!r} is no known prefix; "
            f"for a Hub organisation of that name write {'huggingface/' + model_id!r}.\n{PREFIX_LIST}"
        )
    if lower in LITELLM_ONLY:
        return (
            f"{head + '/'!r} is a provider of litellm that is not on the list: write {'litellm/' + model_id!r} to use "
            f"it as it is; for a Hub organisation of that name write {'huggingface/' + model_id!r}.\n{PREFIX_LIST}"
        )
    return None


def _without_slash(model_id: str) -> str:
    problem = f"Model id {model_id!r} does not say who serves it"
    remedy = f"\n{PREFIX_LIST} (before the model's name); Hub models are <organisation>/<model>."
    if model_id.lower() in known_prefixes():
        return f"{model_id.lower() + '/'!r} is a prefix: write the model after it.{remedy}"
    for pattern, prefix in _BARE_NAMES:
        if re.match(pattern, model_id, re.IGNORECASE):
            return f"Did you mean {prefix + model_id!r}? {problem}.{remedy}"
    return f"{problem}.{remedy}"


def _mistyped(head: str) -> str | None:
    """The known prefix that `head` (lower case) is a slip of."""
    by_spelling = {prefix.replace("_", ""): prefix for prefix in known_prefixes()}
    plain = re.sub(r"[-_. ]", "", head)
    close = difflib.get_close_matches(plain, by_spelling, n=1, cutoff=TYPO_CUTOFF)
    return by_spelling[close[0]] if close else None
