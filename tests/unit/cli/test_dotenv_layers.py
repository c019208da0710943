"""The .env files: their order, what is wrong with them, and what one from a repository cannot do."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.dotenv_layers import DotenvResult, load_dotenv_layers


class Place:
    """A work directory and a user configuration directory, each with a .env written on demand."""

    def __init__(self, root: Path) -> None:
        self.home, self.cwd = root / "h", root / "w"
        self.local, self.own = self.cwd / ".env", self.home / ".config" / "ml-intern" / ".env"
        for folder in (self.local.parent, self.own.parent):
            folder.mkdir(parents=True)

    def load(self, local: str | bytes = "", own: str = "", **environ: str) -> DotenvResult:
        self.local.write_bytes(local if isinstance(local, bytes) else local.encode())
        self.own.write_text(own)
        return load_dotenv_layers({"HOME": str(self.home)} | environ, self.cwd)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# --- order and form --------------------------------------------------------------------------------------------------


def test_environment_beats_current_directory_beats_user_directory(place: Place) -> None:
    result = place.load("A=local\nB=local\n", "A=own\nB=own\nC=own\n", A="shell")
    assert [result.environ[name] for name in "ABC"] == ["shell", "local", "own"]
    assert result.sources == {"B": place.local, "C": place.own}
    assert result.warnings == []


def test_environment_given_is_not_changed_and_set_but_empty_counts(place: Place) -> None:
    before = dict(os.environ)
    environ = {"HOME": str(place.home), "A": ""}
    place.local.write_text("A=local\nB=local\n")
    result = load_dotenv_layers(environ, place.cwd)
    assert result.environ == {"HOME": str(place.home), "A": "", "B": "local"}
    assert environ == {"HOME": str(place.home), "A": ""}
    assert dict(os.environ) == before


def test_no_search_upwards(place: Place) -> None:
    below = place.cwd / "below"
    below.mkdir()
    place.local.write_text("A=1\n")
    assert "A" not in load_dotenv_layers({"HOME": str(place.home)}, below).environ


def test_usual_forms_of_a_line(place: Place) -> None:
    text = "\ufeff# comment\nexport A='one two'\nB=\"x # y\"\nC=z # comment\n\nD=\n"
    result = place.load(text)
    assert [result.environ[name] for name in "ABCD"] == ["one two", "x # y", "z", ""]
    assert result.warnings == []


def test_values_are_literal(place: Place) -> None:
    result = place.load("A=${HF_TOKEN}x\n", HF_TOKEN="hf_secret")
    assert result.environ["A"] == "${HF_TOKEN}x"
    assert result.warnings == [f"{place.local}: line 1: A is taken as written; ${{...}} is not expanded"]


def test_without_files_dotenv_is_not_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from agent.cli.dotenv_layers import load_dotenv_layers\n"
        f"assert load_dotenv_layers({{'HOME': {str(tmp_path)!r}}}, Path({str(tmp_path)!r})).warnings == []\n"
        "print('dotenv' in sys.modules, 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_started_in_the_user_directory_there_is_one_file_and_it_is_trusted(place: Place) -> None:
    place.own.write_text("OPENAI_BASE_URL=http://gateway.example\n")
    result = load_dotenv_layers({"HOME": str(place.home)}, place.own.parent)
    assert result.environ["OPENAI_BASE_URL"] == "http://gateway.example"
    assert result.warnings == []


# --- bad files -------------------------------------------------------------------------------------------------------


def test_invalid_utf_8_is_a_warning(place: Place) -> None:
    result = place.load(b"A=1\nB=\xff\n", "C=3\n")
    assert result.warnings == [f"{place.local}: not UTF-8 (byte 6); save the file as UTF-8; the whole file was skipped"]
    assert "A" not in result.environ
    assert result.environ["C"] == "3"


def test_bad_lines_are_named_and_the_others_taken(place: Place) -> None:
    result = place.load("A=1\n= 3\nJUST_A_NAME\n'odd name'=1\nN=a\0b\nZ=2\n")
    assert (result.environ["A"], result.environ["Z"]) == ("1", "2")
    assert result.warnings == [
        f"{place.local}: line 2: cannot be read; write NAME=value",
        f"{place.local}: line 3: JUST_A_NAME has no value; write JUST_A_NAME=value",
        f"{place.local}: line 4: not a usable variable; a name is letters, digits and _, a value is text",
        f"{place.local}: line 5: not a usable variable; a name is letters, digits and _, a value is text",
    ]


def test_what_is_no_file_is_a_warning(place: Place) -> None:
    place.local.mkdir()
    place.own.symlink_to("/dev/zero")
    result = load_dotenv_layers({"HOME": str(place.home)}, place.cwd)
    assert result.environ == {"HOME": str(place.home)}
    assert sorted(result.warnings) == sorted(
        f"{path}: not a regular file; replace it by one; the whole file was skipped"
        for path in (place.local, place.own)
    )


def test_link_loop_is_a_warning(place: Place) -> None:
    place.local.symlink_to(place.local)
    (warning,) = load_dotenv_layers({"HOME": str(place.home)}, place.cwd).warnings
    assert warning.startswith(f"{place.local}: cannot be read")


@given(st.binary(max_size=60))
def test_no_content_makes_it_raise(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        result = place.load(content, OPENAI_API_KEY="k")
        assert result.environ["OPENAI_API_KEY"] == "k"
        assert all(text.isprintable() for text in result.warnings)
        assert not any("\0" in name + value for name, value in result.environ.items())


# --- a file from a repository ----------------------------------------------------------------------------------------


def taken(result: DotenvResult, name: str) -> bool:
    if name not in result.environ:
        assert any(f": {name} was not taken: it " in text for text in result.warnings), result.warnings
        return False
    return True


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_BASE_URL",
        "OPENAI_API_BASE",
        "ANTHROPIC_BASE_URL",
        "HF_ENDPOINT",
        "HF_ROUTER_BASE_URL",
        "HF_INFERENCE_ENDPOINT",
        "OPENID_PROVIDER_URL",
        "AZURE_OPENAI_ENDPOINT",
        "GOOGLE_GEMINI_BASE_URL",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        "AWS_BEDROCK_RUNTIME_ENDPOINT",
        "OPENROUTER_API_BASE",
        "GROQ_API_BASE",
        "CLAWD_WEB_SEARCH_BASE_URL",
        "HTTP_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "HF_HOME",
        "HOME",
        "XDG_CONFIG_HOME",
        "AWS_CONFIG_FILE",
        "PIP_INDEX_URL",
        "LITELLM_LOCAL_MODEL_COST_MAP",
        "ML_INTERN_YOLO_MODE",
        "ML_INTERN_CLI_CONFIG",
        "ML_INTERN_SHARE_TRACES",
        "ML_INTERN_MAX_ITERATIONS",
    ],
)
def test_addresses_and_personal_variables_are_not_taken_from_it(place: Place, name: str) -> None:
    keys = {"OPENAI_API_KEY": "k", "HF_TOKEN": "k", "GROQ_API_KEY": "k", "AWS_ACCESS_KEY_ID": "k"}
    place.local.write_text(f"{name}=http://evil.example\n")
    result = load_dotenv_layers({"XDG_CONFIG_HOME": str(place.home / ".config")} | keys, place.cwd)
    if name == "XDG_CONFIG_HOME":
        assert result.environ[name] == str(place.home / ".config")
        return
    assert not taken(result, name)
    (warning,) = result.warnings
    assert warning.startswith(f"{place.local}: {name} was not taken: it ")
    assert warning.endswith(f"; export it, or put it in {place.own}")
    assert "evil" not in warning
    own = place.load("", f"{name}=http://gateway.example\n") if name != "HOME" else None
    assert own is None or own.environ[name] == "http://gateway.example"


@pytest.mark.parametrize(
    "name",
    ["PATH", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "PYTHONPATH", "BASH_ENV", "ENV", "GIT_SSH_COMMAND", "ld_preload"],
)
def test_what_decides_which_program_runs_is_taken_from_no_file(place: Place, name: str) -> None:
    for files in ({"local": f"{name}=evil\n"}, {"own": f"{name}=evil\n"}):
        result = place.load(**files)
        assert not taken(result, name)
        assert result.warnings[0].endswith("was not taken: it decides which program runs; export it in your shell")
        assert result.sources == {}


@pytest.mark.parametrize(
    ("key", "address"),
    [
        ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
        ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        ("HF_TOKEN", "HF_ENDPOINT"),
        ("HF_TOKEN", "HF_ROUTER_BASE_URL"),
        ("HF_TOKEN", "OPENID_PROVIDER_URL"),
        ("GOOGLE_API_KEY", "GEMINI_API_BASE"),
        ("AZURE_API_KEY", "AZURE_API_BASE"),
        ("GROQ_API_KEY", "GROQ_API_BASE"),
        ("OLLAMA_API_KEY", "OLLAMA_BASE_URL"),
    ],
)
def test_an_address_comes_with_its_own_key_or_not_at_all(place: Place, key: str, address: str) -> None:
    text = f"{address}=http://gateway.example\n{key}=theirs\n"
    both = place.load(text)
    assert both.environ[address] == "http://gateway.example"
    assert both.environ[key] == "theirs"
    assert both.warnings == []
    # The person's own key wins over the file's, so it is what would be sent there.
    assert not taken(place.load(text, **{key: "mine"}), address)
    assert not taken(place.load(f"{address}=http://gateway.example\n", f"{key}=mine\n"), address)
    assert not taken(place.load(f"{address}=http://gateway.example\n{key}=\n", **{key: "mine"}), address)


@pytest.mark.parametrize(
    ("address", "key", "other_key"),
    [
        ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        ("HF_ROUTER_BASE_URL", "HF_TOKEN", "INFERENCE_TOKEN"),
        ("GOOGLE_GEMINI_BASE_URL", "GOOGLE_GEMINI_API_KEY", "GEMINI_API_KEY"),
        ("OLLAMA_BASE_URL", "OLLAMA_API_KEY", "LOCAL_LLM_API_KEY"),
        ("LOCAL_LLM_BASE_URL", "LOCAL_LLM_API_KEY", "VLLM_API_KEY"),
        ("TOGETHERAI_API_BASE", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"),
        ("HTTPS_PROXY", "HTTPS_API_KEY", "HF_TOKEN"),
        ("CORP_ENDPOINT", "CORP_API_KEY", "HF_TOKEN"),
    ],
)
def test_a_token_key_does_not_open_the_way_for_another_one(
    place: Place, address: str, key: str, other_key: str
) -> None:
    result = place.load(f"{address}=http://evil.example\n{key}=bait\n", **{other_key: "mine"})
    assert not taken(result, address)


@pytest.mark.parametrize("server", ["OLLAMA", "VLLM", "LMSTUDIO", "LLAMACPP", "LOCAL_LLM"])
def test_a_local_server_needs_no_key(place: Place, server: str) -> None:
    text = f"{server}_BASE_URL=http://10.0.0.5:9\n"
    assert taken(place.load(text, OPENAI_API_KEY="mine"), f"{server}_BASE_URL")
    assert not taken(place.load(text, **{f"{server}_API_KEY": "mine"}), f"{server}_BASE_URL")
    assert not taken(place.load(text, LOCAL_LLM_API_KEY="mine"), f"{server}_BASE_URL")


def test_the_person_s_own_file_speaks_where_the_repository_s_was_turned_away(place: Place) -> None:
    result = place.load("OPENAI_BASE_URL=http://evil.example\n", "OPENAI_BASE_URL=http://gateway.example\n")
    assert result.environ["OPENAI_BASE_URL"] == "http://gateway.example"
    assert result.sources["OPENAI_BASE_URL"] == place.own
    assert len(result.warnings) == 1


def test_settings_a_project_may_make(place: Place) -> None:
    text = (
        "ML_INTERN_MODEL_NAME={}\nML_INTERN_REASONING_EFFORT=low\nWANDB_PROJECT=x\nS2_API_KEY=k\nAWS_REGION=eu-west-1\n"
    )
    result = place.load(text.format("ollama/qwen3"))
    assert result.warnings == []
    assert result.environ["ML_INTERN_MODEL_NAME"] == "ollama/qwen3"
    assert not taken(place.load(text.format("replay/evil")), "ML_INTERN_MODEL_NAME")
    assert not taken(place.load("AWS_REGION=x.evil.example/\n"), "AWS_REGION")


@pytest.mark.parametrize(
    "lines",
    [
        "GITHUB_API_BASE_URL=http://evil.example\nGITHUB_API_API_KEY=x\n",
        "SEMANTIC_SCHOLAR_BASE_URL=http://evil.example\nSEMANTIC_SCHOLAR_API_KEY=x\n",
        "DATASETS_SERVER_BASE_URL=http://127.0.0.1:9\nDATASETS_SERVER_API_KEY=x\n",
        "CLAWD_WEB_SEARCH_BASE_URL=http://evil.example\nCLAWD_WEB_SEARCH_API_KEY=x\n",
        "ARXIV_BASE_URL=http://evil.example\nARXIV_API_KEY=x\n",
        "SLACK_BASE_URL=http://evil.example\nSLACK_API_KEY=x\n",
        "TOGETHERAI_BASE_URL=http://evil.example\nTOGETHERAI_API_KEY=x\n",
    ],
)
def test_no_address_of_what_is_read_comes_with_a_repository(place: Place, lines: str) -> None:
    """A key made up for the purpose, next to it, must not make it the repository's own."""
    loaded = place.load(lines)
    name = lines.partition("=")[0]
    assert name not in loaded.environ
    assert any(f"{name} was not taken" in warning for warning in loaded.warnings)


def test_a_repository_cannot_have_messages_sent(place: Place) -> None:
    loaded = place.load("SLACK_BOT_TOKEN=xoxb-theirs\nSLACK_CHANNEL_ID=C666\n")
    assert not {"SLACK_BOT_TOKEN", "SLACK_CHANNEL_ID"} & set(loaded.environ)
