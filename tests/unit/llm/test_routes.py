"""Model ids to routes: every row of the table, and ids that must not route anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.llm.litellm_backend import load
from agent.llm.params import UnknownModelError, is_valid_model_id, resolve_route, strip_huggingface_model_prefix
from agent.llm.providers import PROVIDERS, RouteKind, known_prefixes, provider_names
from agent.llm.suggestions import SUGGESTED_MODELS
from agent.llm.unknown_models import HUB_ORGANISATIONS, LITELLM_ONLY

ROW_7 = (
    "gemini vertex_ai openrouter mistral groq deepseek xai azure azure_ai together_ai fireworks_ai perplexity cohere "
    "moonshot zai dashscope minimax nvidia_nim deepinfra sagemaker watsonx vercel_ai_gateway litellm_proxy"
)

ROUTES = [
    # 1: huggingface/ is the router, but local ids stay local
    ("huggingface/anthropic/claude-opus-4.8", "hf_router", "openai/anthropic/claude-opus-4.8"),
    ("huggingface/openai/gpt-5.5", "hf_router", "openai/openai/gpt-5.5"),
    ("huggingface/mistral/some", "hf_router", "openai/mistral/some"),
    ("huggingface/replicate/some", "hf_router", "openai/replicate/some"),
    ("huggingface/ollama/qwen3", "ollama", "openai/qwen3"),
    # 3: local
    ("ollama/qwen3:8b", "ollama", "openai/qwen3:8b"),
    ("vllm/Qwen/Qwen3-32B", "vllm", "openai/Qwen/Qwen3-32B"),
    ("lm_studio/some-model", "lm_studio", "openai/some-model"),
    ("llamacpp//models/x.gguf", "llamacpp", "openai//models/x.gguf"),
    # 4: Bedrock
    ("bedrock/us.anthropic.claude-opus-4-8", "bedrock_claude", "bedrock/us.anthropic.claude-opus-4-8"),
    (
        "bedrock/anthropic.claude-3-7-sonnet-20250219-v1:0",
        "bedrock_claude",
        "bedrock/anthropic.claude-3-7-sonnet-20250219-v1:0",
    ),
    ("bedrock/meta.llama3-70b-instruct-v1:0", "bedrock", "bedrock/meta.llama3-70b-instruct-v1:0"),
    # 5, 6: direct without a tag
    ("anthropic/claude-opus-4-8", "anthropic", "anthropic/claude-opus-4-8"),
    ("openai/gpt-5.5", "openai", "openai/gpt-5.5"),
    ("openai/ft:gpt-4o:my-org::id", "openai", "openai/ft:gpt-4o:my-org::id"),
    # 7
    *((f"{prefix}/some-model", prefix, f"{prefix}/some-model") for prefix in ROW_7.split()),
    ("openrouter/anthropic/claude-opus-4.8", "openrouter", "openrouter/anthropic/claude-opus-4.8"),
    ("mistral/some:tag", "mistral", "mistral/some:tag"),
    # 8
    ("litellm/replicate/meta/llama-3", "litellm", "replicate/meta/llama-3"),
    ("litellm/gpt-4o", "litellm", "gpt-4o"),
    # 9: everything else
    ("anthropic/claude-opus-4.8:fal-ai", "hf_router", "openai/anthropic/claude-opus-4.8:fal-ai"),
    ("openai/gpt-5.5:fal-ai", "hf_router", "openai/openai/gpt-5.5:fal-ai"),
    ("openai/gpt-oss-120b", "hf_router", "openai/openai/gpt-oss-120b"),
    ("openai/gpt-oss-120b:cerebras", "hf_router", "openai/openai/gpt-oss-120b:cerebras"),
    ("google/gemma-4", "hf_router", "openai/google/gemma-4"),
    ("moonshotai/Kimi-K2.6:novita", "hf_router", "openai/moonshotai/Kimi-K2.6:novita"),
    ("my-lab/my-model:fastest", "hf_router", "openai/my-lab/my-model:fastest"),
    *(
        (f"{organisation}/Model-1", "hf_router", f"openai/{organisation}/Model-1")
        for organisation in (
            "mistralai deepseek-ai moonshotai zai-org Qwen meta-llama nvidia microsoft databricks cerebras tencent "
            "MiniMaxAI CohereLabs sail nebius wandb xai-org Snowflake togethercomputer"
        ).split()
    ),
    # 10
    ("replay/demo", "replay", "demo"),
    ("replay//tmp/script.jsonl", "replay", "/tmp/script.jsonl"),
]


@pytest.mark.parametrize(("model_id", "provider", "litellm_model"), ROUTES)
def test_the_table(model_id: str, provider: str, litellm_model: str) -> None:
    route = resolve_route(model_id)
    assert (route.provider.name, route.litellm_model) == (provider, litellm_model)
    assert route.model_id == model_id
    assert is_valid_model_id(model_id)


def test_the_tag_and_the_name_are_told_apart() -> None:
    route = resolve_route("moonshotai/Kimi-K2.6:novita")
    assert (route.name, route.tag) == ("moonshotai/Kimi-K2.6", "novita")
    assert resolve_route("moonshotai/Kimi-K2.6").tag is None
    assert resolve_route("bedrock/anthropic.claude-3-7-sonnet-20250219-v1:0").tag is None


MALFORMED = [
    "",
    " ",
    "/",
    "openai/",
    "/model",
    "huggingface/",
    "huggingface/one-part",
    "huggingface/a/b/c",
    "huggingface/openai-compat/x",
    "openai-compat/x",
    "openai-compat/",
    "ollama/",
    "vllm//",
    "bedrock/",
    "groq/",
    "litellm/",
    "replay/",
    "anthropic/x:",
    "org/model:",
    "org/model:a:b",
    "org/model:a/b",
    "org/model: a",
    "a/b/c",
    "a/b/c/d:tag",
    "org//model",
    "openai//model",
    "org /model",
    " org/model",
    "openai/gpt-5.5\n",
    "openai/gpt 5",
    "org/mod\u00a0el",
    "org/mod\u200bel",
    "org/mod\ud800el",
    "org/" + "x" * 5000,
]


@pytest.mark.parametrize("model_id", MALFORMED)
def test_malformed_ids(model_id: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        resolve_route(model_id)
    text = str(caught.value)
    assert all(line.isprintable() for line in text.split("\n"))
    assert len(text) < 1_000
    assert not is_valid_model_id(model_id)


@pytest.mark.parametrize("model_id", ["openai-compat/x", "ollama/", "huggingface/vllm/"])
def test_unsupported_local_ids_keep_their_wording(model_id: str) -> None:
    with pytest.raises(ValueError, match="Unsupported local model id"):
        resolve_route(model_id)


SLIPS = [
    ("gpt-5", "'openai/gpt-5'"),
    ("o3", "'openai/o3'"),
    ("claude-opus-4-8", "'anthropic/claude-opus-4-8'"),
    ("gemini-3-pro", "'gemini/gemini-3-pro'"),
    ("qwen3:8b", "'ollama/qwen3:8b'"),
    ("us.anthropic.claude-opus-4-8", "'bedrock/us.anthropic.claude-opus-4-8'"),
    ("demo", "'replay/demo'"),
    ("anthropic", "'anthropic/' is a prefix"),
    ("opneai/gpt-5.5", "'openai/gpt-5.5'"),
    ("opneai/gpt-5.5:fal-ai", "'openai/gpt-5.5:fal-ai'"),
    ("antropic/claude-opus-4-8", "'anthropic/claude-opus-4-8'"),
    ("OpenAI/gpt-5.5", "'openai/gpt-5.5'"),
    ("mistrall/large", "'mistral/large'"),
    ("olama/qwen3", "'ollama/qwen3'"),
    ("lm-studio/x", "'lm_studio/x'"),
    ("lmstudio/x", "'lm_studio/x'"),
    ("llama.cpp/x", "'llamacpp/x'"),
    ("together-ai/x", "'together_ai/x'"),
    ("vertexai/x", "'vertex_ai/x'"),
    ("hf/org/model", "'huggingface/org/model'"),
    ("claude/opus", "'anthropic/opus'"),
    ("replicate/meta/llama", "'litellm/replicate/meta/llama'"),
    ("cohere_chat/x", "'litellm/cohere_chat/x'"),
    ("github_copilot/x", "'litellm/github_copilot/x'"),
]


@pytest.mark.parametrize(("model_id", "expected"), SLIPS)
def test_an_unknown_head_is_an_error_that_lists_the_known_ones(model_id: str, expected: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        resolve_route(model_id)
    text = str(caught.value)
    assert expected in text
    assert all(f"{prefix}/" in text for prefix in known_prefixes())


@pytest.mark.parametrize(("model_id", "expected"), [*SLIPS, ("nope", "'nope'"), ("a/b/c", "'a/b/c'")])
def test_the_list_of_prefixes_has_a_line_of_its_own_after_the_near_match(model_id: str, expected: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        resolve_route(model_id)
    first, second = str(caught.value).split("\n")
    assert expected in first
    assert len(first) < 200
    assert second.startswith("Known prefixes: ")
    assert len(second) < 450
    if "Did you mean" in first:
        assert first.startswith(f"Did you mean {expected}?")


def test_every_slip_has_a_way_to_the_router_anyway() -> None:
    for model_id, _ in SLIPS:
        if model_id.count("/") == 1 and not model_id.startswith("llama.cpp"):
            assert resolve_route(f"huggingface/{model_id}").provider.name == "hf_router"


@pytest.mark.xdist_group("litellm")
def test_no_provider_of_litellm_falls_through_to_the_router_unnoticed() -> None:
    """The complaint about the reference: `gemini/…` was sent to the HF router. Holds for the installed litellm."""
    names = {str(getattr(name, "value", name)) for name in load().provider_list}
    assert (
        not {name for name in names if name not in known_prefixes()}
        - LITELLM_ONLY
        - HUB_ORGANISATIONS
        - {"ollama_chat"}
    )
    for name in names - set(known_prefixes()) - HUB_ORGANISATIONS:
        assert not is_valid_model_id(f"{name}/some-model"), name


def test_organisations_are_no_prefixes() -> None:
    assert not HUB_ORGANISATIONS & set(known_prefixes())
    assert not HUB_ORGANISATIONS & LITELLM_ONLY
    for organisation in HUB_ORGANISATIONS:
        assert resolve_route(f"{organisation}/m").provider.name == "hf_router"


def test_names_are_unique_and_the_router_comes_last() -> None:
    assert len(set(provider_names())) == len(PROVIDERS)
    assert PROVIDERS[-1].kind is RouteKind.ROUTER
    assert set(ROW_7.split()) <= set(known_prefixes())


def test_only_claude_gets_its_thinking_back() -> None:
    replaying = {provider.name for provider in PROVIDERS if provider.replays_thinking}
    assert replaying == {"anthropic", "bedrock_claude"}


def test_strip_is_a_pure_string_function() -> None:
    assert strip_huggingface_model_prefix("huggingface/openai/gpt-5.5") == "openai/gpt-5.5"
    assert strip_huggingface_model_prefix("huggingface/huggingface/a") == "huggingface/a"
    assert strip_huggingface_model_prefix("a/b") == "a/b"
    assert strip_huggingface_model_prefix(None) is None


def test_every_suggestion_has_a_route() -> None:
    assert all(is_valid_model_id(suggested.id) for suggested in SUGGESTED_MODELS)
    assert len({suggested.id for suggested in SUGGESTED_MODELS}) == len(SUGGESTED_MODELS) == 13


heads = st.sampled_from([*known_prefixes(), "openai-compat", "huggingface", "org", ""])
pieces = st.one_of(st.text(max_size=12), st.sampled_from(["model", "a/b", "x:tag", ":", "/", "claude-opus-4.8"]))


@given(st.one_of(st.text(max_size=60), st.builds("{}/{}{}".format, heads, pieces, pieces)))
def test_any_text_gives_a_clean_route_or_the_one_error(text: str) -> None:
    try:
        route = resolve_route(text)
    except UnknownModelError as error:
        assert all(line.isprintable() for line in str(error).split("\n"))
        return
    values = (route.model_id, route.litellm_model, route.name, route.tag or "-")
    assert not any(char.isspace() for value in values for char in value)
    assert all(values)
