"""Faults that each check reports, and text that it ignores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from self_instruct.datasets.defects import CHECKS, Exchange
from self_instruct.datasets.fixing import FIXED

GOOD = Exchange("", "Name a river in Europe.", "", "The Rhine.")
FENCED = "Here:\n```python\nx = 1\n```"


def exchange(**parts):
    return Exchange("", **{"instruction": GOOD.instruction, "input": "", "output": GOOD.output, **parts})


FOUND = {
    "merged_instructions": [{"output": "Rhine.\n5. Instruction: Sort"}, {"input": "x 12. instruction: y"},
                            {"instruction": "A\n###\n3. Instruction: b"}],
    "empty_instruction": [{"instruction": " "}, {"instruction": "..."}],
    "empty_output": [{"output": ""}, {"output": "\n \t"}, {"output": "\u200b\u2060"}, {"output": "\ufeff"},
                   {"output": "\u3164"}],
    "empty_code": [{"output": "```\n```"}, {"output": "So:\n```python\n\n```\nDone."}],
    "no_input": [{"input": "<noinput>"}, {"input": "N/A"}],
    "na_output": [{"output": "N/A"}, {"output": "<nooutput>"}, {"output": "No output."}, {"output": "not applicable"},
                  {"output": "<noinput>"}, {"output": "nan"}],
    "url_input": [{"input": "https://a.org/x.html"}, {"input": '<img src="a.jpg" alt="A bird">'},
                   {"input": "![x](a.png 'A bird')"},
                  {"input": "birds/robin.jpg"}, {"input": "<image>"}, {"instruction": "Summarize the article at this link.",
                  "input": "www.a.org/news"}, {"input": "Article: https://a.org/x"}, {"input": "[x](https://a.org/x)"},
                  {"input": "a.org/news/1"}],
    "no_context": [{"instruction": "Give me a few more."}, {"instruction": "Okay, can you show me two more examples?"},
                   {"instruction": "Continue"}, {"instruction": "Translate that into Spanish."}, {"instruction": "继续"},
                   {"instruction": "Say why your last answer was wrong."}, {"instruction": "Tell me more about it."},
                   {"instruction": "And another one?"}, {"instruction": "Now do the same for French."},
                   {"instruction": "What about the second one?"}, {"instruction": "Dame unos pocos más."}],
    "refusal": [{"output": "I'm sorry, but I can't help with that."}, {"output": "I cannot provide medical advice."},
                {"output": "Sorry, as an AI language model, I am unable to browse the web."},
                   {"output": "很抱歉，我无法回答这个问题。"},
                {"output": "申し訳ありませんが、その質問にはお答えできません。"},
                   {"output": "Lo siento, pero no puedo ayudarte con eso."},
                {"output": "Je suis désolé, mais je ne peux pas répondre."},
                   {"output": "Es tut mir leid, aber das kann ich nicht."},
                {"output": "Извините, но я не могу помочь."}, {"output": "죄송합니다. 도와드릴 수 없습니다."},
                {"output": "I must respectfully decline to help."}, {"output": "Het spijt me, maar ik kan niet helpen."},
                {"output": "Jag kan tyvärr inte hjälpa dig."}, {"output": "Beklager, men jeg kan ikke hjelpe."},
                {"output": "Valitettavasti en voi auttaa."}, {"output": "Bohužel vám s tím nemohu pomoci."},
                {"output": "Îmi pare rău, dar nu pot ajuta."}, {"output": "Sajnálom, ebben nem tudok segíteni."},
                {"output": "Λυπάμαι, αλλά δεν μπορώ να βοηθήσω."}, {"output": "מצטער, אני לא יכול לעזור."},
                {"output": "Tôi xin lỗi, nhưng tôi không thể giúp."}],
    "inline_thought": [{"output": "<think>8 and 8</think>Sixteen."}, {"output": "6 and 6.</think>Twelve."},
                   {"output": "[THINK]a"},
                       {"output": "◁think▷a◁/think▷b"}],
    "broken_thought": [{"output": "<think>4 times 4"}, {"output": "6 and 6 make 12.\n</think>\nTwelve."},
                       {"output": "<think>8</think> \n"}, {"output": "<reasoning>a</reasoning>\u200b"}],
    "invented_url": [{"output": "See https://www.rhine.org/a?b=1."}, {"output": "Go to www.a-b.com"},
                     {"output": "[x](http://y.io/z)", "input": "http://y.io/w"}],
    "as_an_ai": [{"output": "As an AI language model, I cannot."}, {"output": 'f("I am an AI"); As an AI, I cannot.'},
                  {"output": "I'm just an AI."},
                 {"output": "I, as a large language model, do."}, {"output": "I am an artificial intelligence"},
                 {"output": "作为一个人工智能语言模型，我没有个人喜好。"}, {"output": "En tant qu'IA, je n'ai pas d'avis."},
                 {"output": "Als KI habe ich keine Meinung."}, {"output": "Como modelo de lenguaje, no tengo opiniones."},
                 {"output": "Как языковая модель, я не имею мнения."},
                   {"output": "AIアシスタントとして、意見はありません。"}],
    "truncated": [{"output": "First, take the eggs and"}, {"output": "It has many parts, such as"},
                  {"output": "```python\nx = ("}, {"output": "The film was a hit. It was shot in Rome and released in 20"},
                  {"output": "We need eggs,"}, {"output": "The ship sailed home.\n##"}, {"output": "1. Eggs\n2. Milk\n3."}],
    "repeated_input": [{"input": "3 1 2", "output": "3 1 2"}, {"output": "name a river  in europe."}],
    "wrong_arithmetic": [{"output": "So 2 + 2 = 5."}, {"instruction": "What is 3 * 4?", "output": "13"}],
    "image_task": [{"instruction": "Describe the following image."}, {"input": "![cat](cat.png)"},
                   {"instruction": "Draw me a picture of a house."}, {"instruction": "What does the attached chart show?"},
                   {"input": '<img src="a.jpg">'}, {"input": 'Look: ![cat](cat.png "A cat")'}],
    "comma_end": [{"instruction": "Given the list,"}],
    "merged_turns": [{"output": "The Rhine.\n\nHuman: And in Asia?"}, {"output": "Yes.\n### Instruction:\nSort"},
                     {"output": "Yes.\n<|im_start|>user"}, {"output": "[INST] more"}],
    "mojibake": [{"output": "20 Â°C"}, {"output": "itâ€™s"}, {"input": "cafÃ©"}, {"output": "a\ufffdb"}, {"output": "\ud83d"},
                 {"output": "it\x92s"}],
    "line_ends": [{"input": "a\r\nb"}],
    "control_characters": [{"output": "a\x00b"}, {"output": "\x1b[0mx"}],
    "surrounding_space": [{"instruction": "Sort. "}, {"output": "\nx"}],
}  # fmt: skip
LEFT_ALONE = {
    "merged_instructions": [{"output": "5. Instructions follow"}, {"output": "1. Instruction manuals"}],
    "empty_instruction": [{"instruction": "2+2"}, {"instruction": "日本?"}],
    "empty_output": [{"output": "+"}, {"output": "。"}],
    "empty_code": [{"output": "```\nx\n```\n\n```\ny\n```"}, {"output": FENCED}, {"output": "`` ` ``"}],
    "no_input": [{"input": "None"}, {"input": ""}],
    "na_output": [{"output": "None"}, {"output": "The answer is N/A."}, {"output": "Nails"},
                   {"output": "Use noinput."}],
    "url_input": [{"instruction": "Is this a valid URL?", "input": "http://a..b"}, {"input": "See https://a.org for more."},
                  {"instruction": "Write a script that loads the image.", "input": "https://a.org/x.png"},
                  {"instruction": "Extract the domain.", "input": "https://a.org/x"}, {"input": "3.14"},
                  {"input": "The site a.org has news."}, {"input": "Hello: world"}, {"input": "e.g."}],
    "no_context": [{"instruction": "Give me a few more.", "before": ("Name a bird.", "Robin.")},
                   {"instruction": "List three birds."},
                   {"instruction": "Translate that.", "input": "chat"},
                   {"instruction": "Give me more examples of mammals that fly."},
                   {"instruction": "Tell me more about cats."}, {"instruction": "Do the same-sex penguins raise chicks?"},
                   {"instruction": "Explain this joke: x"}, {"instruction": "Continue the series 1, 2, 4."}],
    "refusal": [{"instruction": "Write a letter that declines an offer.", "output": "I am sorry, I cannot accept or help."},
                {"output": "I cannot recall a better summer."}, {"output": "Lo siento mucho."},
                {"output": "Tyvärr regnar det."}, {"output": "Bohužel prší."},
                   {"output": "Sorry is a word."}],
    "inline_thought": [{"output": "Use `<think>` for thoughts."}, {"output": "```\n<think>x\n```"}, {"output": "I think so."},
                       {"instruction": "What does <think> do?", "output": "<think> begins a thought."}],
    "broken_thought": [{"output": "<think>8 and 8</think>Sixteen."}, {"output": "<think>```\nx</think>y"},
                   {"output": "x > y"}],
    "invented_url": [{"output": "See https://rhine.org.", "input": "http://rhine.org/"}, {"output": "http://example.com/x"},
                     {"output": "http://localhost:8000"}, {"output": 'xmlns="http://www.w3.org/2000/svg"'},
                     {"output": "https://{host}/x"}, {"output": "it", "before": ("x",)},
                     {"output": "https://a.b/c", "before": ("what of https://a.b/c?",)}],
    "as_an_ai": [{"output": "as an aid to memory"}, {"output": "AI is used as a tool."}, {"output": "I am an airline pilot."},
                 {"output": 'print(count("Hello, I am an AI model."));'},
                 {"output": "como una iglesia"}, {"output": "Als Kind war ich dort."}],
    "truncated": [{"output": "The Rhine"}, {"output": FENCED}, {"output": "- eggs\n- milk and cream"}, {"output": "42"},
                  {"output": "It is done. The total is 3 + 4 = 7"}, {"output": "One of"}, {"output": "#\n##\n###"},
                  {"instruction": "Sort these words.", "input": "the, an, of", "output": "an of the"}],
    "repeated_input": [{"input": "3 1 2", "output": "1 2 3"}, {"output": ""},
                       {"instruction": "Write it in capitals.", "input": "a quiet evening", "output": "A QUIET EVENING"},
                       {"instruction": "Remove the double spaces.", "input": "a  b", "output": "a b"},
                       {"instruction": "Remove the spaces.", "input": "a b", "output": "ab"},
                       {"instruction": "Sort the words.", "input": "ant bee cat", "output": "ant bee cat"},
                       {"instruction": "Sort in descending order.", "input": "10, 9, 8", "output": "10, 9, 8"}],
    "wrong_arithmetic": [{"output": "So 2 + 2 = 4."}, {"output": "x = 2 + 3y"}],
    "image_task": [{"instruction": "Write a Dockerfile for the following image."}, {"instruction": "Imagine a river."},
                   {"instruction": "Write a function that rotates the given image."},
                   {"instruction": "Correct the HTML.", "input": '<p><img src="a.jpg"></p>'}],
    "comma_end": [{"instruction": "Sort a, b, c."}],
    "merged_turns": [{"instruction": "Write a dialogue.\nHuman: hi", "output": "Human: hello"}, {"output": "The user: me"},
                     {"output": "User: My parcel is late.\nBot: I am sorry."},
                   {"output": "Ann: Hi.\nUser: Hello.\nAnn: Bye."},
                     {"output": "```\nHuman: x\n```"}],
    "mojibake": [{"output": "20 °C, it’s a café, São Paulo, CAFÉ… ÂGE"}, {"output": "日本 \U0001f600"}],
    "line_ends": [{"output": "a\nb"}],
    "control_characters": [{"output": "a\tb\n\U0001f468\u200d\U0001f469"}],
    "surrounding_space": [{"output": "    a = 1\n    b = 2"}],
}  # fmt: skip


@pytest.mark.parametrize(("name", "parts"), [(name, parts) for name, some in FOUND.items() for parts in some])
def test_a_fault_is_found_and_shown(name, parts):
    assert CHECKS[name].find(exchange(**parts))


@pytest.mark.parametrize(("name", "parts"), [(name, parts) for name, some in LEFT_ALONE.items() for parts in some])
def test_correct_records_have_no_finding(name, parts):
    assert CHECKS[name].find(exchange(**parts)) is None


def test_every_check_has_samples_and_a_description():
    assert set(FOUND) == set(LEFT_ALONE) == set(CHECKS) >= set(FIXED)
    assert all(check.what and check.find(GOOD) is None for check in CHECKS.values())


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=120))
def test_checks_accept_any_text(instruction, input, output):
    for check in CHECKS.values():
        found = check.find(Exchange("", instruction, input, output))
        assert found is None or isinstance(found, str)
