"""The many ways in which a secret is written down, and what only looks like one."""

from __future__ import annotations

import ast
import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.redaction.redactor import Redactor
from agent.redaction.shapes import SHAPES
from agent.redaction.tokens import Shape

HEX = "df9daee36452bcf48385971f1bba10ef"
GITHUB = "ghp_B8fnvGNx6jvr7SIftRutlZfOjUStEkUdfMI7"
KEYS = (
    GITHUB,
    "sk-proj-abcDEF1234567890abcDEF1234567890abcDEF12",
    "AKIAVLF5R696XEWCTX9R",
    "xoxb-123456789012-abcdefABCDEF",
    "npm_abcdefghijklmnopqrstuvwxyz0123456789",
    "sk_live_abcdefghij0123456789abcd",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567",
    "nvapi-abcdefghij0123456789abcdefghij0123456789",
    "dop_v1_" + "a1" * 32,
    "pypi-AgEIcHlwaS5vcmc1234567890abcdefghijklmnopqrstuvwxyz1234567890",
    "gsk_abcdefghij0123456789abcdefghij",
)
MARKS = ("-", "+", "--", "_", "my_", "-k", "-e", "%3D", "%253D", "\\n", "\x1b[38;5;208m", "\x1b[38;2;1;2;3m", "\x1b[K")


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("key", KEYS, ids=lambda key: key[:6])
def test_a_key_is_found_right_after_a_mark(mark: str, key: str) -> None:
    redacted = Redactor().text(f"a {mark}{key} b")
    assert key[8:] not in redacted
    assert redacted.startswith(f"a {mark}[REDACTED_") and redacted.endswith("] b")


def test_a_token_in_three_parts_goes_whole_from_a_diff() -> None:
    assert Redactor().text("\n-eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk\n") == "\n-[REDACTED_JWT]\n"


SECRETS = [
    # what only begins like something put in
    ("DB_PASSWORD=$uper$ecret99\n", "$uper$ecret99"),
    ("SECRET_KEY = '$9k%j&f8s(2l$9d)_x!p0q@w7e6r5t4'", "$9k%j&f8s(2l$9d)_x!p0q@w7e6r5t4"),
    ("SECRET_KEY = '{9k%j&f8s(2l$9d)_x!p0q@w7e6r5t4'", "{9k%j&f8s(2l$9d)_x!p0q@w7e6r5t4"),
    ("redis://:%40hunter2hunter@db:6379/0", "%40hunter2hunter"),
    ("PASSWORD=<S3cr3tV4lue9", "<S3cr3tV4lue9"),
    ("DB_PASSWORD=***abc12345678", "***abc12345678"),
    # files of variables
    ("DB_PASSWORD=ab'cd12ef34\n", "ab'cd12ef34"),
    ("DB_PASSWORD=pa(ss)w0rd12\n", "pa(ss)w0rd12"),
    ("+DB_PASSWORD=a1&b2c3d4e5\n", "a1&b2c3d4e5"),
    ("export DB_PASSWORD=abc1;def2ghi3\n", "abc1;def2ghi3"),
    ("  - db_password=Tr0ub4dor&3\n", "Tr0ub4dor&3"),
    ('DB_PASSWORD="Blue Horse 77 battery"', "Blue Horse 77 battery"),
    ("DB_PASS=swordfish\n", "swordfish"),
    # YAML
    ("kind: Secret\ndata:\n  password: UzNjcmV0UGFzc3cwcmQ=\n", "UzNjcmV0UGFzc3cwcmQ="),
    ("data:\n  password: aHVudGVyMg==\n", "aHVudGVyMg=="),
    ("  MYSQL_ROOT_PASSWORD: rootroot\n", "rootroot"),
    ("- name: DB_PASSWORD\n  value: Sup3rS3cretX\n", "Sup3rS3cretX"),
    ('- name: DB_PASSWORD\n  value: "hunterhunter"\n', "hunterhunter"),
    (f"token: |\n  {HEX}\n", HEX),
    # code
    (f"API_KEYS = ['{HEX}', 'x']", HEX),
    (f"x = {{'api_keys': ['a', '{HEX}']}}", HEX),
    (f"api_key = (\n    '{HEX}'\n)", HEX),
    (f"token = os.environ.get('X') or '{HEX}'", HEX),
    ("os.environ.get('DB_PASSWORD', 'swordfish')", "swordfish"),
    (f"api_key: str = Field(default='{HEX}')", HEX),
    (f"api_key: SecretStr = SecretStr('{HEX}')", HEX),
    (f"parser.add_argument('--api-key', type=str, default='{HEX}')", HEX),
    ("requests.get(u, auth=('alice', 'Sw0rdfish99'))", "Sw0rdfish99"),
    ("HTTPBasicAuth('alice', 'Sw0rdfish99')", "Sw0rdfish99"),
    (f"[('x-api-key', '{HEX}'), ('a', 'b')]", HEX),
    # addresses
    ("postgres://u:p@ssTr0ub4dor@db:5432/x", "p@ssTr0ub4dor"),
    ("postgres://u:ab/cdhunter2@db:5432/x", "ab/cdhunter2"),
    (f"https://{HEX}:x-oauth-basic@github.com/x", HEX),
    (
        "https://cdn-lfs.hf.co/r?Policy=x&Signature=h-rjOy7XD9mayuolQtVn4PxnUnizAPVw6&Key-Pair-Id=K2",
        "h-rjOy7XD9mayuolQtVn4PxnUnizAPVw6",
    ),
    ("Server=x;Uid=sa;Pwd=Sw0rdfish!;", "Sw0rdfish!"),
    # commands, SQL, HTML
    ("curl -X POST \\\n  -u admin:Tr0ub4dor3 \\\n https://x", "Tr0ub4dor3"),
    ("docker login -u alice -p Sw0rdf1sh ghcr.io", "Sw0rdf1sh"),
    ("redis-cli -h db -a Sw0rdf1sh ping", "Sw0rdf1sh"),
    ("mysql -uroot -h db -pSw0rdf1sh x", "Sw0rdf1sh"),
    ("CREATE USER a WITH PASSWORD 'swordfish';", "swordfish"),
    ("ALTER USER a IDENTIFIED BY 'swordfish';", "swordfish"),
    (f'<input type="hidden" name="csrf_token" value="{HEX}">', HEX),
    (base64.b64encode(f"user:{GITHUB}".encode()).decode(), base64.b64encode(f"user:{GITHUB}".encode()).decode()),
    (base64.b64encode(f"alice:{GITHUB}".encode()).decode(), base64.b64encode(f"alice:{GITHUB}".encode()).decode()),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS, ids=[text.replace("\n", " ")[:40] for text, _ in SECRETS])
def test_a_secret_is_taken_out_whole_and_alone(text: str, secret: str) -> None:
    redacted = Redactor().text(text)
    before, after = text.split(secret)
    assert redacted.startswith(before) and redacted.endswith(after)
    assert redacted[len(before) : len(redacted) - len(after)] in ("[REDACTED]", "[REDACTED_GITHUB_TOKEN]")
    assert Redactor().text(redacted) == redacted
    assert secret not in json.loads(Redactor().json_text(json.dumps({"command": text})))["command"]


ORDINARY = """
node = py_desc(domain=domain, objtype=objtype, sig=self.arguments[0])
elif cred == AzureCredentialType.ManagedIdentityCredential:
if token == SpecialTokens.ImageStart2Token:
key=Qwen3ForCausalLM
key: Float32Array1D
{"key": "Qwen25VLForConditionalGeneration"}
HUGGINGFACE_HEADER_X_XET_ACCESS_TOKEN = "X-Xet-Access-Token"
{"token": "Ġhello123"}
the ssh://687fb701029421ae5549d998@ssh.hf.jobs endpoint
machine learning login form password field
docker run --name mysql -p3306:3306 mysql; pip install mysql-connector && pytest -pno:cacheprovider
JWT_ALGORITHM = "HS256"; key = jwt.algorithm; PASSWORD=secret.name
{"jwt": {"algorithm": "HS256"}, "secret": {"name": "s3", "namespace": "default"}}
PRIVATE_KEY_CLS = EllipticCurvePrivateKeyWithSerialization
_SSH_KEY_FORMATS = [b"ssh-ed25519", b"ecdsa-sha2-nistp256"]
"ACCESS_TOKEN", "SIGNATURE_HMAC_SHA1"
api_key = $3::text
{"apiKey": "{file:" + token_path + "}"}
AUTHORIZATION_PENDING = "authorization_pending"; SESSION_COOKIE = "dev_session"; "cookie": "🍪"
DB_PASSWORD: str; password: bytes; TOKEN=get_token(a)[0]; API_KEY=$(cat key); X_TOKEN={token}
API_KEYS = [name for name in names]; api_keys = ["OPENAI_API_KEY", "HF_TOKEN"]
http://localhost:8080?email=a@b.c; git+ssh://git@github.com/a/b; http://localhost:8080/x@y
api_key: SecretStr = Field(default=None); token = os.getenv("X") or None; auth=("user", "pass")
print("enter password ' + text + ' here")
task-0123456789abcdef0123 disk-sk-learn-extension-of-2024-for-everybody
""".strip().splitlines()


@pytest.mark.parametrize("line", [*ORDINARY, "- name: MODE\n  value: production1", "- name: HF_TOKEN\n  value: $TOKEN"])
def test_what_only_looks_like_one_stays(line: str) -> None:
    assert Redactor().text(line) == line
    assert Redactor().json_text(line) == line


def test_python_with_all_of_it_is_still_python() -> None:
    code = [text for text, _ in SECRETS]
    for text in code:
        try:
            ast.parse(text)
        except SyntaxError:
            continue
        ast.parse(Redactor().text(text))


def test_data_says_of_what_its_secrets_are() -> None:
    value: dict[str, Any] = {
        "headers": [["x-api-key", HEX], ["content-type", "text/html"], ["Authorization", "X-Api-Key"]],
        "api_keys": [HEX],
        "secret": {"name": "prod1", "namespace": "ns1", "data": "abc"},
        "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "d": "nWGxne_9WmC"},
    }
    expected = {
        "headers": [["x-api-key", "[REDACTED]"], ["content-type", "text/html"], ["Authorization", "X-Api-Key"]],
        "api_keys": ["[REDACTED]"],
        "secret": {"name": "prod1", "namespace": "ns1", "data": "[REDACTED]"},
        "jwk": {**value["jwk"], "d": "[REDACTED]"},
    }
    assert Redactor().data(value) == expected
    assert json.loads(Redactor().json_text(json.dumps(value))) == expected


@pytest.mark.parametrize("piece", ["xoxb-", "sk-proj-"])
def test_a_long_run_goes_whole(piece: str) -> None:
    """6 kB of `xoxb-xoxb-…` raised `RedactionError`: no export of such a session would have worked."""
    assert len(Redactor().text(piece * 1300)) < 40


@settings(max_examples=150, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    before=st.sampled_from(["", "-", "_", "+", " ", "\n", "."]),
    after=st.sampled_from(["", "-", "a1", "a1B2c3D4e5F6a7B8", "a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6a7b8", " ", "="]),
)
def test_hostile_repetitions_come_to_an_end(shape: Shape, before: str, after: str) -> None:
    piece = before + shape.begins + after
    text = piece * (8000 // len(piece))
    redacted = Redactor().text(text)
    assert Redactor().text(redacted) == redacted
