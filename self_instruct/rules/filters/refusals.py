"""Reject outputs in which a chat model speaks of itself, apologises or refuses.

The English phrases are those of airoboros; the phrases of other languages are our own. English phrases also match inside longer
words, so "was an aid" counts as "as an ai". This suits the chat models whose refusals were collected, but is too strict for
code or for base models.
"""

import re

from self_instruct.records import Record

_PHRASES = [
    "my programming", "openai", "language model", "large language", "my limitations", "the limitations of my", "my abilities",
    "violates my", "illegal and dangerous", "please note that", "flesch",
]  # fmt: skip
_IDENTITY = r"as an? (?:ai|generative language|gpt|bot)"
_INNER_LIFE = (
    r"i do(?:n't| not) (?:possess|have|exhibit) (?:personal|consciousness|subjective)"
    r"|personal (?:feelings|thoughts|emotions|desires|experiences|goals|objective|belief)"
)
_CANNOT = r"can(?:'t| ?not)"
_INABILITY = (
    rf"(?:{_CANNOT}|won't|unable.?) (?:\w+\s){{1,50}}(?:with (?:that|your)|your \w+|provide)"
    rf"|i (?:{_CANNOT}|won't|am (?:not |un)able.?).{{0,30}}(?:you are|you're|your )"
)
_REFUSAL = re.compile("|".join([*map(re.escape, _PHRASES), _IDENTITY, _INNER_LIFE, _INABILITY]), re.IGNORECASE)
_APOLOGIES = ("I'm sorry,", "Apologies,", "I can't", "I won't")
_SEARCH_FROM = 2

AS_AN_AI_NOT_ENGLISH = re.compile(
    r"(?:作为|作為|身为)(?:一个|一個|一名|一款)?(?:人工智[能慧]|AI|语言模型|語言模型|大型语言模型|大型語言模型)"
    r"|(?:AI|人工知能|言語モデル)(?:アシスタント|言語モデル|モデル)?(?:として|なので|であり)"
    r"|(?:AI|인공지능|언어 ?모델)(?: ?(?:언어 ?)?(?:모델|어시스턴트|비서))?(?:로서|이기 때문에|이므로)"
    r"|\bcomo (?:una? )?(?:(?:gran )?modelo de (?:lenguaje|linguagem|língua)|IA\b|intelig[eê]ncia artificial"
    r"|asistente (?:virtual|de IA))"
    r"|\ben tant qu(?:e |['’])(?:une? )?(?:IA\b|intelligence artificielle|(?:grand )?modèle (?:de langage"
    r"|linguistique)|assistant virtuel)"
    r"|\bals (?:eine? |een )?(?:KI\b|AI\b|künstliche Intelligenz|(?:großes |groot )?(?:Sprachmodell"
    r"|taalmodel)|kunstmatige intelligentie)"
    r"|\bcome (?:un[a']? ?)?(?:modello linguistico|IA\b|intelligenza artificiale)"
    r"|\b(?:как|як) (?:искусственный интеллект|штучний інтелект|ИИ\b|ШІ\b|(?:большая |велика )?(?:языковая"
    r"|мовна) модель|модель ИИ)"
    r"|\bjako (?:duży |velký )?(?:model językowy|jazykový model|sztuczna inteligencja|umělá inteligence|AI\b)"
    r"|\bbir (?:yapay zek[aâ]|dil modeli)\w* (?:olarak|olduğum)"
    r"|\bsebagai (?:sebuah )?(?:model bahasa|AI\b|kecerdasan buatan)|\bLà một (?:mô hình ngôn ngữ|AI\b"
    r"|trí tuệ nhân tạo)"
    r"|(?:بصفتي|باعتباري|كوني|بوصفي) (?:نموذج|ذكاء|مساعد)|(?:به عنوان|بعنوان) یک (?:مدل|هوش)"
    r"|एक (?:एआई|AI|कृत्रिम बुद्धिमत्ता|भाषा मॉडल)[^।\n]{0,20}(?:के रूप में|के नाते|होने)"
    r"|ในฐานะ(?:ที่เป็น)?(?:โมเดลภาษา|แบบจำลองภาษา|AI|เอไอ|ปัญญาประดิษฐ์)",
    re.IGNORECASE,
)
"""Phrases with which a model speaks of itself as an AI, in languages other than English."""
REFUSES_NOT_ENGLISH = re.compile(
    r"\W*(?:(?:很|非常|十分|真的)?(?:抱歉|对不起|對不起"
    r"|不好意思)[，,。!！ ]{0,3}(?:但是?)?我?[^。\n]{0,12}(?:无法|無法|不能|不可以|没办法)"
    r"|我(?:无法|無法|不能)(?:提供|回答|协助|協助|帮助|幫助|满足|滿足|完成|生成|访问|處理|处理)"
    r"|(?:大変)?(?:申し訳(?:ありません|ございません|ない)|すみません"
    r"|ごめんなさい)[^。\n]{0,6}[、。][^。\n]{0,60}(?:できません|できかねます|いたしかねます|お答えでき|ません)"
    r"|(?:정말 )?죄송(?:합니다|하지만|해요)[^\n]{0,60}(?:수 없|못 ?합|어렵습)"
    r"|(?:lo siento|lo lamento|perdón|disculp[ae])[^.\n]{0,30}[,.]? ?[^.\n]{0,20}\bno (?:puedo|me es posible"
    r"|tengo permitido)"
    r"|(?:(?:je suis )?(?:vraiment )?désolée?|je m['’]excuse|je regrette)[^\n]{0,30}(?:ne (?:peux|suis"
    r"|pourrai)|n['’]ai) pas"
    r"|(?:(?:es )?tut mir (?:sehr )?leid|entschuldigung|leider)[^\n]{0,30}\b(?:kann|darf"
    r"|möchte)\b[^\n.]{0,60}\b(?:nicht|kein\w*)\b"
    r"|(?:desculp[ae]|sinto muito|lamento|me desculpe)[^\n]{0,30}\bnão (?:posso|consigo)"
    r"|(?:mi dispiace|scusa|mi spiace)[^\n]{0,30}\bnon (?:posso|sono in grado)"
    r"|(?:извините|простите|прошу прощения|к сожалению|мне жаль)[^\n]{0,30}\bне (?:могу|в состоянии|имею)"
    r"|(?:вибачте|перепрошую|на жаль)[^\n]{0,30}\bне (?:можу|маю)"
    r"|(?:het spijt me|sorry|helaas)[^\n]{0,20}\b(?:kan ik|ik kan)\b[^\n.]{0,60}\b(?:niet|geen)\b"
    r"|(?:przepraszam|przykro mi|niestety)[^\n]{0,30}\bnie (?:mogę|jestem w stanie)"
    r"|(?:üzgünüm|maalesef|özür dilerim)[^\n]{0,60}(?:amam|emem|amıyorum|emiyorum)"
    r"|(?:maaf|mohon maaf)[^\n]{0,30}\btidak (?:dapat|bisa)|(?:tôi )?(?:rất )?(?:xin lỗi|tiếc)[^\n]{0,40}không thể"
    r"|(?:عذر[اً]+|آسف|أعتذر|متأسف|للأسف)[^\n]{0,30}لا (?:أستطيع|يمكنني|أقدر)|(?:متأسفم|متاسفم|ببخشید)[^\n]{0,60}نمی"
    r"|(?:क्षमा करें|माफ़ करें|माफ करें|मुझे खेद है)[^\n]{0,60}नहीं|(?:ขอโทษ|ขออภัย|เสียใจ)[^\n]{0,40}ไม่สามารถ"
    r"|(?:tyvärr|förlåt|jag (?:är ledsen|beklagar))[^\n]{0,30}\bkan (?:jag )?inte\b|jag kan (?:tyvärr )?inte (?:hjälpa|svara)"
    r"|(?:beklager|desværre|dessverre|undskyld|unnskyld|jeg beklager)[^\n]{0,30}\bkan (?:jeg )?ikke\b"
    r"|jeg kan (?:desværre |dessverre )?ikke (?:hj[æe]lpe|svare)"
    r"|(?:valitettavasti|pahoittelen|anteeksi|olen pahoillani)[^\n]{0,30}\ben (?:voi|pysty)"
    r"|(?:omlouvám se|bohužel|je mi líto|promiňte)[^\n]{0,40}\bne(?:mohu|můžu)"
    r"|(?:îmi pare rău|din păcate)[^\n]{0,30}\bnu (?:pot|sunt în măsură)"
    r"|(?:sajnálom|sajnos|elnézést)[^\n]{0,40}\bnem (?:tud|segíthet)"
    r"|(?:λυπάμαι|συγγνώμη|δυστυχώς)[^\n]{0,30}δεν μπορώ"
    r"|(?:אני )?(?:מצטערת?|סליחה|לצערי)[^\n]{0,30}(?:לא יכולה?|אינני יכולה?))",
    re.IGNORECASE,
)
"""The beginning of a refusal, in languages other than English."""


def drop_refusal(record: Record) -> str | None:
    """Reject with `refusal`; the detail is the phrase that was found.

    As in airoboros, English phrases that begin in the first two characters of the output do not count: its code passes a flag
    where a start position is expected, and its published data were filtered that way.
    """
    found = _REFUSAL.search(record.output, _SEARCH_FROM)
    apology = next((words for words in _APOLOGIES if record.output.startswith(words)), None)
    not_english = AS_AN_AI_NOT_ENGLISH.search(record.output) or REFUSES_NOT_ENGLISH.match(record.output)
    phrase = found.group() if found else apology or (not_english.group().strip() if not_english else None)
    return f"refusal: {phrase}" if phrase else None
