"""What is replaced, what stays as it is, and that nothing half done comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import Finding, RedactionError, Redactor

HF = "hf_" + "aB3dE5gH7j" * 4

ORDINARY = r"""
tokenizer.pad_token = tokenizer.eos_token
The token: it is the smallest unit of text. The secret: none. Password: see below.
token = os.environ["HF_TOKEN"]
token = os.getenv("HF_TOKEN", "")
password = getpass("Password: ", prompt="x")
api_key=api_key, token=token, secret=self.secret, password=cfg["db"]["password"], auth_token=args.auth_token
client = OpenAI(api_key=os.environ.get("OPENAI_API_KEY"), base_url=url)
login(token=HF_TOKEN)
def call(token: str | None = None, api_key: Optional[str] = None, password: str = "") -> None:
run_job(secrets={"HF_TOKEN": "$HF_TOKEN"}, env={"HF_TOKEN": token})
run_job(HF_TOKEN=token, other=1)
export HF_TOKEN=$HF_TOKEN && export API_KEY=${API_KEY:-} TOKEN=<your token> X_TOKEN=xxx Y_TOKEN=your-token-here
f"Authorization: Bearer {token}"
headers = {"Authorization": f"Bearer {self.token}", "X-Api-Key": key}
print("token: " + token + " and more"); print(f"token={token!r}, password={pw}")
HF_TOKEN: required for gated models; OPENAI_API_KEY=... ; WANDB_API_KEY=None; DB_PASSWORD=
sorted(items, key=lambda item: item[1]), max(d, key=d.get), key="layer1.weight", sort_key="name2"
tokenizer.add_special_tokens({"pad_token": "[PAD]", "additional_special_tokens": ["<|im_start|>"]})
{"token": "Washington", "logprob": -0.123, "top_logprobs": [{"token": " the"}]}
{"max_tokens": 4096, "eos_token_id": 128001, "input_tokens": 1200, "bos_token": "<|begin_of_text|>"}
commit 4cc289f1a0b5c6d7e8f90123456789abcdef0123 (HEAD -> main)
sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
run 550e8400-e29b-41d4-a716-446655440000 finished in 3.2 s
meta-llama/Llama-3.1-8B-Instruct, Qwen/Qwen3-Coder-480B-A35B-Instruct-FP8, mistralai/Mixtral-8x7B-v0.1
pip install scikit-learn sk-learn-contrib-something-long-2024x task-0123456789abcdef risk-averse
data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==
| step | lr | loss | tokens/s |
| 1000 | 2.0e-05 | 1.2345 | 18234.1 |
lr=2e-5 warmup=0.03 weight_decay=0.1 seed=42 per_device_train_batch_size=8
{'loss': 2.3456, 'grad_norm': 1.234, 'learning_rate': 1.9e-05, 'epoch': 0.03, 'num_tokens': 123456.0}
https://huggingface.co/datasets/HuggingFaceH4/ultrachat_200k/resolve/main/data/train-00000-of-00003-a3ecf92756993583.parquet
git clone git@github.com:huggingface/trl.git; ssh://git@github.com:22/a/b; http://localhost:8080/@scope/pkg?x=1@2
the bearer authentication scheme; a Basic Configuration; basic authentication; Bearer token
curl -fsSL https://example.org/install.sh -o x.sh; mysql -u root -p mydb; curl -u user:$PASS https://h
docker run -p 8080:80 --gpus all -e HF_TOKEN image; ssh -p 2222 host; tool --token-file /run/token --max-tokens 512
The --password option is deprecated; use the --token flag or --api-key option instead.
token_file = "~/.cache/huggingface/token"; key_path: /etc/ssl/private/key.pem; GOOGLE_APPLICATION_CREDENTIALS=/tmp/a1.json
if "-----BEGIN RSA PRIVATE KEY-----" in text: raise ValueError("-----BEGIN PRIVATE KEY----- found")
hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx sk-... hf_... sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx <HF_TOKEN>
"properties": {"password": {"type": "string"}, "token": {"type": "string"}}
[REDACTED_HF_TOKEN] and HF_TOKEN=[REDACTED] and [REDACTED:MY_KEY], Bearer [REDACTED]
""".strip().splitlines()  # noqa: E501


@pytest.mark.parametrize("line", ORDINARY)
def test_ordinary_code_and_logs_stay_as_they_are(line: str) -> None:
    """Defect 17: redaction damaged code and JSON."""
    redactor = Redactor()
    assert redactor.text(line) == line
    assert redactor.data({"content": line}) == {"content": line}
    assert not redactor.counts


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (f"export HF_TOKEN={HF}", "export HF_TOKEN=[REDACTED_HF_TOKEN]"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCY", "AWS_SECRET_ACCESS_KEY=[REDACTED]"),
        ("password='hunter2'", "password='[REDACTED]'"),
        ("password='pa\"ss\\'w'", "password='[REDACTED]'"),
        ('{"api_key": "abc"}', '{"api_key": "[REDACTED]"}'),
        ('{"command": "export API_KEY=\\"x1\\""}', '{"command": "export API_KEY=\\"[REDACTED]\\""}'),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic [REDACTED]"),
        ("postgres://u:p4ss@db:5432/x", "postgres://u:[REDACTED]@db:5432/x"),
        ("mongodb+srv://u:p4ss@c.net/x?w=1", "mongodb+srv://u:[REDACTED]@c.net/x?w=1"),
        ("AccountName=a;AccountKey=abcdefgh12345678==;E=1", "AccountName=a;AccountKey=[REDACTED_AZURE_KEY];E=1"),
        ("blob?sv=2024&sig=a1b2c3d4%2Fe5&se=1", "blob?sv=2024&sig=[REDACTED]&se=1"),
        (
            "machine api.wandb.ai\n  login user\n  password 0a1b2c",
            "machine api.wandb.ai\n  login user\n  password [REDACTED]",
        ),
        ("wandb login 0123456789abcdef0123456789abcdef01234567", "wandb login [REDACTED]"),
        ("sshpass -p s3cret ssh h", "sshpass -p [REDACTED] ssh h"),
        ("curl -u bob:s3cret https://h", "curl -u bob:[REDACTED] https://h"),
        ("mysql -u root -ps3cret db", "mysql -u root -p[REDACTED] db"),
        ("x --password hunter22 --token=ab12cd34", "x --password [REDACTED] --token=[REDACTED]"),
        ("Server=x;Password=Pa55w0rd;Db=1", "Server=x;Password=[REDACTED];Db=1"),
        ("<password>hunter2</password>", "<password>[REDACTED]</password>"),
        ("Set-Cookie: session=abcdefgh; Path=/", "Set-Cookie: [REDACTED]"),
        ("DB_PASSWORD: hunter2x", "DB_PASSWORD: [REDACTED]"),
        ('{"password": 12345678}', '{"password": 12345678}'),
    ],
)
def test_what_is_replaced_and_what_stays_around_it(text: str, redacted: str) -> None:
    """Defect 17 and the misses measured in the reference."""
    assert Redactor().text(text) == redacted


def test_data_is_redacted_by_its_keys() -> None:
    value = {
        "api_key": "anything",
        "password": 123,
        "secrets": {"A": "one", "B": ["two", "$B"]},
        "env": [{"name": "HF_TOKEN", "value": "three"}, {"name": "MODE", "value": "four"}],
        "args": ["--token", "five5", "--out", "six"],
        "schema": {"password": {"type": "string", "description": "of the user", "default": "seven"}},
        HF: 1,
        HF.upper().replace("HF_", "hf_"): 2,
        "arguments": '{"api_key":  "eight", "n": 1.50}',
        "ok": (None, True, 1.5),
    }
    assert Redactor().data(value) == {
        "api_key": "[REDACTED]",
        "password": 123,
        "secrets": {"A": "[REDACTED]", "B": ["[REDACTED]", "$B"]},
        "env": [{"name": "HF_TOKEN", "value": "[REDACTED]"}, {"name": "MODE", "value": "four"}],
        "args": ["--token", "[REDACTED]", "--out", "six"],
        "schema": {"password": {"type": "string", "description": "of the user", "default": "[REDACTED]"}},
        "[REDACTED_HF_TOKEN]": 1,
        "[REDACTED_HF_TOKEN] 2": 2,
        "arguments": '{"api_key":  "[REDACTED]", "n": 1.50}',
        "ok": [None, True, 1.5],
    }


def test_json_keeps_its_style() -> None:
    text = '{\n\t"é": "\\u00e9", "n": 1.50e3, "big": 123456789012345678901234567890, "token" :"ab12cd34ef"\n}\n'
    assert Redactor().json_text(text) == text.replace("ab12cd34ef", "[REDACTED]")
    broken = '{"command": "export MY_TOKEN=ab12cd34'
    assert Redactor().json_text(broken) == '{"command": "export MY_TOKEN=[REDACTED]'


def test_depth_has_a_limit_and_hides_nothing() -> None:
    value: Any = {"note": HF, "api_key": "abcdefgh1234"}
    text = json.dumps(value)
    for _ in range(300):
        value = [value]
    for _ in range(12):
        text = json.dumps({"a": text})
    for redacted in (
        json.dumps(Redactor().data(value)),
        Redactor().json_text("[" * 5000 + text),
        Redactor().json_text(text),
    ):
        assert HF not in redacted
        assert "abcdefgh1234" not in redacted


def test_it_fails_closed_and_says_nothing_of_the_text() -> None:
    """Defect 5: an exception let the raw text through."""
    circle: list[Any] = [HF]
    circle.append(circle)
    for value in (circle, {"a": [HF, object()]}, {HF: b"bytes"}):
        with pytest.raises(RedactionError) as caught:
            Redactor().data(value)
        assert HF not in f"{caught.value!r}{caught.value.__cause__!r}"

    class Broken(LiveSecrets):
        def scrub(self, text: str) -> str:
            raise ValueError(text)

    with pytest.raises(RedactionError) as caught:
        Redactor(Broken({})).text(HF)
    assert HF not in str(caught.value) and caught.value.__cause__ is None


def test_what_was_done_is_counted_and_shown() -> None:
    redactor = Redactor(LiveSecrets({"MY_TOKEN": "live-value-1"}))
    redactor.text(f"first {HF} then live-value-1 and [REDACTED_JWT] before")
    redactor.data({"password": "zzz", "a": "ghp_" + "a1B2" * 9})
    assert redactor.counts == {"HF_TOKEN": 1, "MY_TOKEN": 1, "SECRET": 1, "GITHUB_TOKEN": 1}
    assert redactor.findings[0].kind == "HF_TOKEN"
    assert redactor.findings[0].excerpt.startswith("first [REDACTED_HF_TOKEN] then [REDACTED:MY_TOKEN]")
    assert Finding("SECRET", "password: [REDACTED]") in redactor.findings
    for _ in range(100):
        redactor.text(f"{'long ' * 100}{HF}{' text' * 100}")
    assert len(redactor.findings) == 50
    assert max(len(finding.excerpt) for finding in redactor.findings) <= 110
    assert HF not in repr(redactor.findings)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "=",
        "eyJ",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "password=",
        'token="',
        "--token ",
        "://",
        "://a:",
        "curl ",
        "mysql ",
        "cookie:",
        "sig=",
        "\\",
        '"',
        "[",
        '{"a":',
        "token_",
        "authorization: token ",
        "\\neyJ",
        "machine a login ",
    ],
)
def test_no_text_takes_long(piece: str) -> None:
    """Quadratic work on 400 kB would run into the time limit of the tests many times over."""
    text = piece * (400_000 // len(piece))
    assert isinstance(Redactor().text(text), str)
    assert isinstance(Redactor().json_text(text), str)


@pytest.mark.parametrize("form", ["MY_SECRET={} x", 'my_secret = "{}" x', "https://h/?token={}&a=1"])
@pytest.mark.parametrize("length", [255, 256, 257, 512, 3000, 20_000])
def test_long_values_go_whole(form: str, length: int) -> None:
    value = ("aB3dE5gH7j" * 2000)[:length]
    assert Redactor().text(form.format(value)) == form.format("[REDACTED]")
