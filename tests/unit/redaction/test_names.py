"""One word for "does this name hold a secret"."""

from __future__ import annotations

import pytest

from agent.redaction.names import is_secret_name, secrecy

SECRET = """HF_TOKEN X-Api-Key Authorization Proxy-Authorization Cookie Set-Cookie PGPASSWORD AWS_SECRET_ACCESS_KEY
AWS_ACCESS_KEY_ID GITHUB_PAT GH_PAT MY_PAT DB_PASS SSHPASS MYSQL_PWD apiKey accessToken clientSecret
api-key x-goog-api-key
--api-key --password openai_apikey KAGGLE_KEY API_TOKEN_2 HF_TOKEN_WRITE GITHUB_TOKEN_FOR_CI secret_key_base
refresh_token hf_tokens api_keys password passwd client_secret private_key jwt token key X-Auth passphrase"""
PLAIN = """max_tokens maxTokens MAX_NEW_TOKENS tokenizer TOKENIZER_PATH pad_token eos_token eos_token_id
input_tokens tokens token_count token_type key_path keys SSH_AUTH_SOCK TOKENIZERS_PARALLELISM PWD
OLDPWD primary_key sort_key keyboard hotkey
monkey GOOGLE_APPLICATION_CREDENTIALS HF_TOKEN_PATH HF_TOKEN_FILE OPENAI_BASE_URL PATH HOME XAUTHORITY COMPASS author
secretary model_name TEAM context_window next_page_token num_pass password_hash_rounds LC_ALL credential_helper x 1"""


@pytest.mark.parametrize("name", SECRET.split())
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["", *PLAIN.split()])
def test_names_of_other_things(name: str) -> None:
    assert not is_secret_name(name)


def test_what_may_be_a_word_of_a_program_is_told_apart() -> None:
    assert {name: secrecy(name) for name in ("key", "token", "KAGGLE_KEY", "first_pass", "API_KEY")} == {
        "key": "doubtful",
        "token": "doubtful",
        "KAGGLE_KEY": "doubtful",
        "first_pass": "no",
        "API_KEY": "yes",
    }
