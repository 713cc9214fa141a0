import subprocess
import sys

import pytest
from hypothesis import given, settings

from monitor.core.text.language import detect_language, settle_language
from tests.core.strings import naughty, texts

__all__ = ["naughty"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Acme Bank shares fall 3% in early trade", "en"),
        ("$ACME: Q3 EPS $0.41 vs est. $0.45", "en"),
        ("TSLA", "en"),
        ("BREAKING: FED HOLDS RATES", "en"),
        ("Luckin (瑞幸咖啡) shares fall after the audit", "en"),
        ("艾克米银行股价早盘下跌3%", "zh"),
        ("苹果发布iPhone 17 Pro Max", "zh"),
        ("三星、SK海力士股价走高", "zh"),
        ("優の良品擴張", "zh"),
        ("トヨタの営業利益が減少", "ja"),
        ("삼성전자 영업이익 급감", "ko"),
        ("Deutsche Börse meldet Gewinnwarnung für das erste Quartal", "de"),
        ("La Bourse de Paris termine en baisse", "fr"),
        ("Сбербанк отчитался об убытках за первый квартал", "ru"),
        ("", "und"),
        ("123 !!! 45%", "und"),
        ("😀 。", "und"),
    ],
)
def test_headlines_are_in_their_language(text: str, language: str) -> None:
    assert detect_language(text) == language


@given(texts)
@settings(deadline=None)  # the first one loads the model
def test_any_text_has_a_code_of_two_letters_or_none(text: str) -> None:
    language = detect_language(text)
    assert language == "und" or (len(language) == 2 and language.isalpha())
    assert settle_language(text, text) == language


def test_naughty_strings_hold(naughty: list[str]) -> None:
    for text in naughty:
        assert len(detect_language(text)) in (2, 3)


@pytest.mark.parametrize(
    ("declared", "text", "language"),
    [
        ("fr", "Acme SA : résultats", "fr"),
        ("en-US", "艾克米银行股价下跌", "zh"),
        ("en", "La Bourse de Paris termine en baisse", "fr"),
        ("zh-CN", "Acme Bank shares fall in early trade", "en"),
        ("zh_TW", "艾克米銀行股價下跌", "zh"),
        ("ja", "日経平均続落", "ja"),
        ("de", "123", "de"),
        (None, "Acme Bank shares fall in early trade", "en"),
        ("tlh", "Acme Bank shares fall in early trade", "en"),
        ("\ud800", "Acme Bank shares fall in early trade", "en"),
    ],
)
def test_a_source_is_believed_where_it_can_be(declared: str | None, text: str, language: str) -> None:
    assert settle_language(declared, text) == language


def test_the_model_is_not_loaded_before_a_text_needs_it() -> None:
    program = "import sys, monitor.core.intake; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "monitor.core.text.language" in loaded
    assert not {"py3langid", "tldextract", "requests"} & set(loaded)
