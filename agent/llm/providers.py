"""The providers: one table. Everything that depends on who serves a model is a field of its row.

The order is the order of resolution (spec llm.md §2): the first row whose prefix and `matches` fit a model id wins; the
HF router takes what is left. To add a provider, add a row.

`key_envs` lists exactly the variables litellm reads for the provider (observed with 1.106): for several OpenAI-style
providers it falls back to OPENAI_API_KEY when it finds none of them, so a variable too many here would let that key
travel to somebody else.
"""

from __future__ import annotations

from dataclasses import replace

from agent.llm.effort import (
    CLAUDE_STYLES,
    GOOGLE_STYLES,
    NO_STYLES,
    OPENAI_STYLES,
    PLAIN_STYLES,
    ROUTER_STYLES,
    EffortStyle,
)
from agent.llm.provider_row import Provider, RouteKind

__all__ = [
    "HF_BILLING_URL",
    "HF_PRO_SUBSCRIBE_URL",
    "HF_ROUTER",
    "HF_TOKENS_URL",
    "LOCAL_PROVIDERS",
    "PROVIDERS",
    "Provider",
    "RouteKind",
    "known_prefixes",
    "provider_names",
]


def _local(name: str, label: str, env: str, base_url: str, start_hint: str, model_hint: str) -> Provider:
    return Provider(
        name=name,
        label=label,
        prefixes=(name,),
        kind=RouteKind.LOCAL,
        key_envs=(f"{env}_API_KEY", "LOCAL_LLM_API_KEY"),
        base_url_envs=(f"{env}_BASE_URL", "LOCAL_LLM_BASE_URL"),
        base_url_default=base_url,
        effort=NO_STYLES,
        start_hint=start_hint,
        model_hint=model_hint,
        window_source=name,
    )


def _keyed(
    name: str,
    label: str,
    base_url: str,
    *,
    keys: str,
    billing: str = "",
    key_envs: tuple[str, ...] = (),
    base_env: str = "",
    required: tuple[str, ...] = (),
    router: str = "",
    effort: tuple[EffortStyle, ...] = PLAIN_STYLES,
) -> Provider:
    """A provider behind litellm with a plain API key; its variables follow litellm's habit unless named."""
    return Provider(
        name=name,
        label=label,
        prefixes=(name,),
        key_envs=key_envs or (f"{name.upper()}_API_KEY",),
        required_envs=required,
        base_url_envs=(base_env or f"{name.upper()}_API_BASE",),
        base_url_default=base_url,
        key_url=keys,
        billing_url=billing or keys,
        router_form=router,
        effort=effort,
    )


HF_BILLING_URL = "https://huggingface.co/settings/billing"
HF_PRO_SUBSCRIBE_URL = "https://huggingface.co/subscribe/pro"
HF_TOKENS_URL = "https://huggingface.co/settings/tokens"

_LOCAL = (
    _local(
        "ollama", "Ollama", "OLLAMA", "http://localhost:11434", "ollama serve", "Fetch it with `ollama pull {model}`."
    ),
    _local(
        "vllm",
        "vLLM",
        "VLLM",
        "http://localhost:8000",
        "vllm serve {model} --enable-auto-tool-choice --tool-call-parser hermes",
        "Use the name it was started with (--served-model-name).",
    ),
    _local(
        "lm_studio",
        "LM Studio",
        "LMSTUDIO",
        "http://127.0.0.1:1234",
        "lms server start",
        "Load it with `lms load {model}`.",
    ),
    _local(
        "llamacpp",
        "llama.cpp",
        "LLAMACPP",
        "http://localhost:8080",
        "llama-server -m MODEL.gguf --jinja",
        "Start llama-server with it.",
    ),
)

_AWS = Provider(
    name="bedrock",
    label="Amazon Bedrock",
    prefixes=("bedrock",),
    key_envs=("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"),
    ambient_envs=("AWS_",),
    ambient_files=(".aws/credentials", ".aws/config"),
    cloud="aws",
    credential_fix="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_REGION",
    base_url_default="https://bedrock-runtime.{region}.amazonaws.com",
    key_url="https://docs.aws.amazon.com/bedrock/latest/userguide/model-access.html",
    billing_url="https://console.aws.amazon.com/billing/",
)

_DIRECT = (
    replace(
        _AWS,
        name="bedrock_claude",
        matches=r".*(?:claude|anthropic\.).*",
        effort=CLAUDE_STYLES,
        replays_thinking=True,
        router_form="huggingface/anthropic/{model}:fal-ai",
    ),
    _AWS,
    Provider(
        name="anthropic",
        label="Anthropic",
        prefixes=("anthropic",),
        matches=r"[^:]+",
        key_envs=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        base_url_envs=("ANTHROPIC_API_BASE", "ANTHROPIC_BASE_URL"),
        base_url_default="https://api.anthropic.com",
        effort=CLAUDE_STYLES,
        replays_thinking=True,
        key_url="https://console.anthropic.com/settings/keys",
        billing_url="https://console.anthropic.com/settings/billing",
        router_form="huggingface/anthropic/{model}:fal-ai",
    ),
    Provider(
        name="openai",
        label="OpenAI",
        prefixes=("openai",),
        matches=r"(?!gpt-oss)[^:]+|ft:.+",
        key_envs=("OPENAI_API_KEY",),
        base_url_envs=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        base_url_default="https://api.openai.com/v1",
        takes_own_address=True,
        effort=OPENAI_STYLES,
        key_url="https://platform.openai.com/api-keys",
        billing_url="https://platform.openai.com/settings/organization/billing",
        router_form="huggingface/openai/{model}:fal-ai",
    ),
    _keyed(
        "gemini",
        "Google Gemini",
        "https://generativelanguage.googleapis.com",
        keys="https://aistudio.google.com/apikey",
        billing="https://console.cloud.google.com/billing",
        effort=GOOGLE_STYLES,
        key_envs=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    ),
    Provider(
        name="vertex_ai",
        label="Google Vertex AI",
        prefixes=("vertex_ai",),
        key_envs=("GOOGLE_APPLICATION_CREDENTIALS", "VERTEXAI_CREDENTIALS"),
        ambient_envs=("GOOGLE_CLOUD_", "VERTEX", "CLOUDSDK_"),
        ambient_files=(".config/gcloud/application_default_credentials.json",),
        base_url_default="https://aiplatform.googleapis.com",
        effort=GOOGLE_STYLES,
        credential_fix="run `gcloud auth application-default login` and set VERTEXAI_PROJECT and VERTEXAI_LOCATION",
        billing_url="https://console.cloud.google.com/billing",
    ),
    _keyed(
        "openrouter",
        "OpenRouter",
        "https://openrouter.ai/api/v1",
        keys="https://openrouter.ai/settings/keys",
        billing="https://openrouter.ai/settings/credits",
        effort=OPENAI_STYLES,
        key_envs=("OPENROUTER_API_KEY", "OR_API_KEY"),
    ),
    _keyed(
        "mistral",
        "Mistral",
        "https://api.mistral.ai/v1",
        keys="https://console.mistral.ai/api-keys",
        billing="https://console.mistral.ai/billing",
        key_envs=("MISTRAL_API_KEY", "MISTRAL_AZURE_API_KEY"),
        base_env="MISTRAL_AZURE_API_BASE",
    ),
    _keyed(
        "groq",
        "Groq",
        "https://api.groq.com/openai/v1",
        keys="https://console.groq.com/keys",
        billing="https://console.groq.com/settings/billing",
    ),
    _keyed(
        "deepseek",
        "DeepSeek",
        "https://api.deepseek.com",
        keys="https://platform.deepseek.com/api_keys",
        billing="https://platform.deepseek.com/top_up",
        router="huggingface/deepseek-ai/DeepSeek-V4-Pro:novita",
    ),
    _keyed("xai", "xAI", "https://api.x.ai/v1", keys="https://console.x.ai"),
    _keyed(
        "azure",
        "Azure OpenAI",
        "",
        keys="https://portal.azure.com",
        required=("AZURE_API_BASE",),
        key_envs=("AZURE_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_CLIENT_SECRET"),
    ),
    _keyed("azure_ai", "Azure AI Foundry", "", keys="https://ai.azure.com", required=("AZURE_AI_API_BASE",)),
    _keyed(
        "together_ai",
        "Together AI",
        "https://api.together.ai/v1",
        keys="https://api.together.ai/settings/api-keys",
        billing="https://api.together.ai/settings/billing",
        key_envs=("TOGETHER_API_KEY", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_AI_TOKEN"),
    ),
    _keyed(
        "fireworks_ai",
        "Fireworks AI",
        "https://api.fireworks.ai/inference/v1",
        keys="https://app.fireworks.ai/settings/users/api-keys",
        billing="https://app.fireworks.ai/account/billing",
        key_envs=("FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"),
        base_env="FIREWORKS_API_BASE",
    ),
    _keyed(
        "perplexity",
        "Perplexity",
        "https://api.perplexity.ai",
        keys="https://www.perplexity.ai/settings/api",
        key_envs=("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    ),
    _keyed(
        "cohere",
        "Cohere",
        "https://api.cohere.com/v2",
        keys="https://dashboard.cohere.com/api-keys",
        billing="https://dashboard.cohere.com/billing",
        key_envs=("COHERE_API_KEY", "CO_API_KEY"),
    ),
    _keyed(
        "moonshot",
        "Moonshot AI",
        "https://api.moonshot.ai/v1",
        keys="https://platform.moonshot.ai/console",
        router="huggingface/moonshotai/Kimi-K2.6:novita",
    ),
    _keyed(
        "zai",
        "Z.ai",
        "https://api.z.ai/api/paas/v4",
        keys="https://z.ai/manage-apikey/apikey-list",
        router="huggingface/zai-org/GLM-5.1:novita",
    ),
    _keyed(
        "dashscope",
        "Alibaba DashScope",
        "https://dashscope.aliyuncs.com/compatible-mode/v1",
        keys="https://bailian.console.alibabacloud.com",
    ),
    _keyed(
        "minimax",
        "MiniMax",
        "https://api.minimax.io/v1",
        keys="https://platform.minimax.io",
        router="huggingface/MiniMaxAI/MiniMax-M2.7:novita",
    ),
    _keyed("nvidia_nim", "NVIDIA NIM", "https://integrate.api.nvidia.com/v1", keys="https://build.nvidia.com"),
    _keyed("deepinfra", "DeepInfra", "https://api.deepinfra.com/v1/openai", keys="https://deepinfra.com/dash"),
    replace(
        _AWS,
        name="sagemaker",
        label="Amazon SageMaker",
        prefixes=("sagemaker",),
        key_envs=("AWS_ACCESS_KEY_ID", "AWS_PROFILE"),
        base_url_default="https://runtime.sagemaker.{region}.amazonaws.com",
        key_url="https://docs.aws.amazon.com/sagemaker/latest/dg/realtime-endpoints.html",
    ),
    Provider(
        name="watsonx",
        label="IBM watsonx.ai",
        prefixes=("watsonx",),
        key_envs=("WATSONX_API_KEY", "WATSONX_APIKEY", "WX_API_KEY", "WATSONX_TOKEN", "WATSONX_ZENAPIKEY"),
        base_url_envs=("WATSONX_API_BASE", "WATSONX_URL", "WX_URL"),
        key_url="https://cloud.ibm.com/iam/apikeys",
        billing_url="https://cloud.ibm.com/billing",
    ),
    _keyed(
        "vercel_ai_gateway",
        "Vercel AI Gateway",
        "https://ai-gateway.vercel.sh/v1",
        keys="https://vercel.com/docs/ai-gateway",
        key_envs=("VERCEL_AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"),
    ),
    # Without an address litellm sends the proxy's key to api.openai.com.
    _keyed("litellm_proxy", "LiteLLM proxy", "", keys="", required=("LITELLM_PROXY_API_BASE",)),
)

_OTHER = (
    Provider(name="litellm", label="LiteLLM", prefixes=("litellm",), kind=RouteKind.ANYTHING),
    Provider(name="replay", label="replay script", prefixes=("replay",), kind=RouteKind.REPLAY, effort=NO_STYLES),
)

HF_ROUTER = Provider(
    name="hf_router",
    label="HF Router",
    prefixes=("huggingface",),
    kind=RouteKind.ROUTER,
    key_envs=("INFERENCE_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    base_url_envs=("HF_ROUTER_BASE_URL",),
    base_url_default="https://router.huggingface.co/v1",
    effort=ROUTER_STYLES,
    login_hint="the token of `hf auth login`",
    key_url=HF_TOKENS_URL,
    billing_url=HF_BILLING_URL,
)

PROVIDERS: tuple[Provider, ...] = (*_LOCAL, *_DIRECT, *_OTHER, HF_ROUTER)

LOCAL_PROVIDERS: tuple[Provider, ...] = _LOCAL


def provider_names() -> tuple[str, ...]:
    """The names of all rows, in order of resolution."""
    return tuple(provider.name for provider in PROVIDERS)


def known_prefixes() -> tuple[str, ...]:
    """What a model id may begin with, without the slash, each once, in order of resolution."""
    return tuple(dict.fromkeys(prefix for provider in PROVIDERS for prefix in provider.prefixes))
