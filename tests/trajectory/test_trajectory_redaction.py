"""Redaction: known secrets go, ordinary output and code stay, twice is once, and it is quick."""

from __future__ import annotations

import random
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mleagent.trajectory.redaction import redact

chance = random.Random(7)


def some(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random characters, at least one digit and one capital among them where the alphabet has them."""
    while True:
        text = "".join(chance.choice(alphabet) for _ in range(count))
        digit = any(c.isdigit() for c in text) or not any(c.isdigit() for c in alphabet)
        if digit and (any(c.isupper() for c in text) or not any(c.isupper() for c in alphabet)):
            return text


HEX = "0123456789abcdef"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{some(64)}\n{some(64)}\n-----END RSA PRIVATE KEY-----"

SECRETS = [
    ("openai-key", "key is {}", "sk-" + some(48)),
    ("openai-key", "{}", "sk-proj-" + some(60)),
    ("openai-key", "{}", "sk-or-v1-" + some(64, HEX)),
    ("anthropic-key", "export X='{}'", "sk-ant-api03-" + some(90)),
    ("huggingface-token", "login({})", "hf_" + some(34)),
    ("github-token", "git clone https://{}@github.com/a/b", "ghp_" + some(36)),
    ("github-token", "{}", "github_pat_" + some(60)),
    ("gitlab-token", "{}", "glpat-" + some(20)),
    ("aws-key", "aws {} x", "AKIA" + some(16, string.ascii_uppercase + string.digits)),
    ("secret", "aws_secret_access_key = {}", some(40)),
    ("secret", "AWS_SECRET_ACCESS_KEY={}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzEXAMPLE9"),
    ("google-key", "{}", "AIza" + some(35)),
    ("slack-token", "{}", "xoxb-" + some(12, string.digits) + "-" + some(24)),
    ("slack-webhook", "https://hooks.slack.com/services/{}", "T0AB12CD3/B0AB12CD3/" + some(24)),
    ("stripe-key", "{}", "sk_live_" + some(24)),
    ("kaggle-key", '{{"username":"jo","key":"{}"}}', some(32, HEX)),
    ("secret", "KAGGLE_KEY={}", some(32, HEX)),
    ("secret", "WANDB_API_KEY={}", some(40, HEX)),
    ("jwt", "cookie {}", f"eyJ{some(20)}.eyJ{some(40)}.{some(43)}"),
    ("private-key", "{}", PEM),
    ("private-key", "{}", PEM[:80]),
    ("url-password", "postgres://jo:{}@db.local:5432/x", "hunter2"),
    ("bearer-token", "Authorization: Bearer {}", some(40)),
    ("password", "password = '{}'", "correct-horse"),
    ("password", "DB_PASSWORD={}", "hunter"),
    ("password", 'conn(user="jo", password="{}")', "s3cret!x"),
    ("password", "password: {}", "hunter2hunter2"),
    ("password", '{{"passwd": "{}"}}', "tiger99"),
    ("password", "curl --token {}", "a1b2c3d4e5"),
    ("secret", "token = '{}'", "a8f5f167f44f4964"),
    ("secret", "?token={}&x=1", some(20)),
    ("secret", 'api_key: str = "{}"', some(32, HEX)),
    ("secret", "client_secret: '{}'", some(24)),
]


@pytest.mark.parametrize(("kind", "around", "secret"), SECRETS)
def test_a_secret_goes_and_what_surrounds_it_stays(kind: str, around: str, secret: str) -> None:
    done = redact(around.format(secret))
    assert secret not in done.text
    assert done.kinds == (kind,)
    assert done.text == around.format(f"[REDACTED:{kind}]")


ORDINARY = [
    "id,sha256\n1,9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "uuid 550e8400-e29b-41d4-a716-446655440000",
    "commit 3b18e512dba79e4c8300dd08aeb37f8e728b8dad",
    "max_tokens=2048, num_tokens: 151936, token_count = 12345678",
    "tokenizer.pad_token = '[PAD]'; eos_token='<|endoftext|>'; token='<extra_id_0>'",
    "token = tokens[0]\ntoken = tokenizer.decode(ids)\ntoken_id = 50256",
    "password = getpass.getpass()\ntoken = os.environ['HF_TOKEN']\napi_key = config.api_key2",
    "api_key = None; password: str | None = None; token: Optional[str]",
    "epoch 1 loss 0.6931471805599453 auc 0.8123456789012345 lr 1e-05",
    "task-specific-embedding-for-sk-learn-contrib-imbalanced-2024",
    "hf_hub_download(repo_id='bert-base', filename='model.safetensors')",
    "model_hash: 'd41d8cd98f00b204e9800998ecf8427e'",
    "https://example.com:8080/path?x=1 and git@github.com:a/b.git",
    "the password field is required; enter your token below",
    "password='<your password>' token='your_token_here_123' api_key='$OPENAI_API_KEY1'",
    "feature token_7: 0.8812, secret_3=4.5678901234567",
    "Bearer of good news and --key value --token",
    "XGBClassifier(n_estimators=500, random_state=42, key=lambda x: x[1])",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    '{"username": "jo", "score": 0.5, "key": "PassengerId"}',
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_output_and_code_stay(text: str) -> None:
    assert redact(text) == redact("").model_copy(update={"text": text})


@given(
    st.lists(
        st.sampled_from(SECRETS).map(lambda case: case[1].format(case[2]))
        | st.text(max_size=30)
        | st.sampled_from(["password=", "token: ", '"', "'", "[REDACTED:x]", "\n", "://a:", "@h", "="]),
        max_size=8,
    ).map("".join)
)
def test_twice_is_once(text: str) -> None:
    once = redact(text)
    assert redact(once.text).text == once.text


def best_of(text: str) -> float:
    times = []
    for _ in range(15):
        begin = time.perf_counter()
        redact(text)
        times.append(time.perf_counter() - begin)
    return min(times)


def test_ten_kilobytes_take_about_a_millisecond() -> None:
    code = "\n".join(
        f"model_{i} = fit(train, token=tokens[{i}], max_tokens={i}, url='https://x.org/{i}', name='sk-{i}')"
        for i in range(115)
    )
    output = "\n".join(f"[{i}] valid's auc: 0.{i:06d}  token_{i}: {i * 7919}" for i in range(220))
    for text in (code, output):
        assert 9_000 < len(text) < 12_000
        assert best_of(text) < 0.003  # aim 0.001 on an idle core; the machine may be busy


@pytest.mark.parametrize(
    "text",
    ["a" * 50_000, "token=" * 9_000, "://a:" * 9_000, "eyJ" * 17_000, "-----BEGIN PRIVATE KEY-----" * 400],
)
def test_hostile_text_does_not_stall_it(text: str) -> None:
    assert best_of(text) < 0.5
