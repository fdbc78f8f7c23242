from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.verify.domain import MAX_WORDS, is_english, is_long, is_too_long
from reflex_core.verify.text import parse


@pytest.mark.parametrize(
    "text",
    [
        "How do I reset my password?",
        "pandas merge left join",
        "Who wrote Crime and Punishment?",
        "What does “c'est la vie” mean in French?",
        "trains from Zürich to Köln",
        "café in Montréal with the best coffee",
    ],
)
def test_english(text):
    assert is_english(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "Wie setze ich mein Passwort zurück?",
        "¿Cómo puedo cambiar mi contraseña?",
        "Comment puis-je changer mon mot de passe ?",
        "Como posso mudar a minha senha?",
        "怎么重置密码？",
        "как сменить пароль",
        "パスワードを変更する方法",
        "kostenlose Überweisung",
    ],
)
def test_not_english(text):
    assert not is_english(parse(text))


def test_length():
    assert not is_long(parse("word " * 20))
    assert is_long(parse("word " * 61))
    assert not is_too_long("word " * MAX_WORDS)
    assert is_too_long("word " * (MAX_WORDS + 1))
    assert is_too_long("x" * 500)


@given(st.text())
def test_takes_anything(text):
    assert is_english(parse(text)) in (True, False)
