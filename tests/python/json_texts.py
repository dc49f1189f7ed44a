"""Texts, and what CPython's own `json` says of each: null if it takes it, else its complaint.

    python3 tests/python/json_texts.py > actors/src/node/marzban/tests/json_texts.json

writes what a unit test compares `python_json.rs` with. With a number and a seed it writes so many mutated texts
instead. Has to be run with CPython 3.11 or 3.12: 3.13 words some complaints differently.
"""

import json
import random
import sys

BY_HAND = [
    # Values
    "", " ", "\n\n ", "null", "nul", "n", "nulll", "true", "tru", "false", "fals", "True", "None", "undefined",
    "NaN", "Na", "nan", "Infinity", "Infinit", "-Infinity", "-Infinit", "-", "-I", "+1", "--1",
    "0", "-0", "00", "01", "-01", "1.", "1.e5", ".5", "1.5", "1e", "1e+", "1e-", "1E5", "1e5.", "1e5e5", "1_0", "0x10",
    "1 2", "1,", "'a'", "x", "é", "\u0661", "{", "}", "[", "]", ",", ":", "\"",
    # Space
    "\t\r\n 1 \t\r\n", "\x0b1", "\x0c1", "\u00a01", "1\u00a0", "1\u2028", "\ufeff", "\ufeff1", "\ufeff{}", " \ufeff1", "1\ufeff",
    "\x00", "1\x00", "[\x00]",
    # Arrays
    "[]", "[ ]", "[1]", "[1,]", "[1, ]", "[,]", "[,1]", "[1,,2]", "[1 2]", "[1\n2]", "[1", "[1,", "[1, ", "[1,2", "[}", "[1}",
    "[[]", "[[],", "[[]]]", "[]]", "[] []", "[1:2]", "[\n1,\n2,\n]", "[nul]", "[\"a\" \"b\"]", "[-]", "[1.]", "[1.,2]", "[01]",
    "[NaN,Infinity,-Infinity]", "[NaN1]", "[nullnull]", "[truefalse]", "[1]x", "[1] x", "[1]\n\n  x",
    # Objects
    "{}", "{ }", "{\"a\":1}", "{\"a\":1,}", "{\"a\":1, }", "{,}", "{\"a\"}", "{\"a\" 1}", "{\"a\":}", "{\"a\":,}", "{\"a\":1",
    "{\"a\":1,", "{\"a\":1, ", "{\"a\"", "{\"a\" ", "{\"a\":", "{\"a\": ", "{a:1}", "{'a':1}", "{1:1}", "{null:1}", "{bad",
    "{\"a\":1 \"b\":2}", "{\"a\":1;\"b\":2}", "{\"a\":1]", "{]", "{\"a\":{}", "{\"a\":{}}}", "{} {}", "{}x", "{\n\"a\":1,\n}",
    "{\"a\"=1}", "{\"a\"::1}", "{\"a\":1:2}", "{\"a\":1,\"a\":2}", "{\"\":0}", "{\"a\":nul}", "{\"a\":NaN}", "{ \"a\" : [ 1 , { } ] }",
    "{\"a\":[1,{\"b\":[2,{\"c\":}]}]}", "{\"a\":1,,\"b\":2}", "{{}:1}", "{[]:1}", "{\"a", "{\"a:1}", "{\"a\\\":1}",
    # Comments
    "// x\n{}", "{} // x", "/* x */ {}", "{/* x */}", "{\"a\":1 // x\n}", "# x\n1", "[1, // x\n2]",
    # Strings
    "\"\"", "\"a\"", "\"a", "\"é", "\"\u0633\u0644\u0627\u0645", "\"a\" x", "\"\n\"", "\"a\tb\"", "\"\x00\"", "\"\x1f\"", "\"\x7f\"",
    "\"\u0085\u2028\"", "\"a\\", "\"\\", "\"\\\"", "\"\\\\", "\"\\\\\"", "\"\\a\"", "\"\\x41\"", "\"\\'\"", "\"\\é\"", "\"\\\n\"", "\"\\0\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\B\"", "\"\\U0041\"",
    "\"\\u\"", "\"\\u", "\"\\u0", "\"\\u004", "\"\\u0041", "\"\\u0041\"", "\"\\u004\"", "\"\\u00g1\"", "\"\\u00é1\"", "\"\\u 041\"",
    "\"\\u+041\"", "\"\\u-041\"", "\"\\u0_41\"", "\"\\u00411\"", "\"\\uABCD\\uabcd\"", "\"\\u0000\"", "\"\\u004\u0661\"",
    "\"\\ud800\"", "\"\\udc00\"", "\"\\ud83d\\ude00\"", "\"\\ud83d\\ude0\"", "\"\\ud83d\\ude0g\"", "\"\\ud83d\\u\"", "\"\\ud83d\\u", "\"\\ud83d\\",
    "\"\\ud83d\\n\"", "\"\\ud83d\\x\"", "\"\\ud83d\\ud83d\\ude00\"", "\"\\ud83d\\ude00", "\"\\ud83d", "\"\\ud83dé\"", "\"\\ud83d\\ude",
    "[\"\\ud800\",\"\\q\"]", "[\"a\nb\"]", "{\"a\nb\":1}", "{\"é\\q\":1}", "{\"\\ud800\":}", "\"\U0001f600\U0001f600\" x",
    # Places
    "\n\n\n{\"é\":\"é\",\n\"\U0001f600\":x}", "{\"a\":\r\n1\r\n\"b\":2}", "{\"a\":\r1\r\"b\":2}", "[\"\u2028\", x]", "\n", "\n\n", "[\n", "[1\n", "{\n",
    "[\"a\",\n \"\U0001f600\",\n \"b\"", "\u00e9\n", "1\n\u00e9", "[1,\n\n\n]", "{\"k\":\n\n\n}", "{\"k\"\n\n:1\n,\n}",
]

SEEDS = [
    '{"log":{"loglevel":"warning"},"inbounds":[{"tag":"VLESS","port":443,"settings":{"clients":[{"id":"a-b","level":0}]}}],"x":[1.5,-2e3,true,null]}',
    '{\n  "routing": {\n    "rules": [\n      {"type": "field", "source": ["127.0.0.1"], "outboundTag": "API"}\n    ]\n  },\n  "stats": {}\n}\n',
    '["\\u0633\\ud83d\\ude00\\ud800", "\u0633\u0644\u0627\u0645 \U0001f600", "\\"\\\\\\/\\n", NaN, -Infinity, [], {}, [[{"\u00e9": [0, -0.5E-7]}]]]',
]

PIECES = [
    "{", "}", "[", "]", ",", ":", '"', "\\", "\\u", "\\ud83d", "\\ude00", "0", "-", ".", "e", "E+", "1", "null", "true", "NaN", "Infinity",
    " ", "\n", "\r\n", "\t", "\x00", "\x1f", "\x7f", "\ufeff", "\u00e9", "\U0001f600", "\u2028", "//", "'", '"a":1,', '{"a":', "[1,", '"\\',
]


def mutated(source):
    """One of the seeds with one to three changes."""
    text = source.choice(SEEDS)
    for _ in range(source.randint(1, 3)):
        at = source.randint(0, len(text))
        end = min(len(text), at + source.randint(0, 12))
        change = source.randrange(5)
        if change == 0:
            text = text[:at] + text[end:]
        elif change == 1:
            text = text[:at]
        elif change == 2:
            text = text[:at] + text[at:end] + text[at:]
        else:
            text = text[:at] + source.choice(PIECES) + text[at if change == 3 else end:]
    return text


def answer(text):
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return str(error)
    return None


def main():
    if not (3, 11) <= sys.version_info < (3, 13):
        sys.exit("CPython 3.11 or 3.12 is needed")
    if len(sys.argv) > 1:
        source = random.Random(int(sys.argv[2]))
        texts = [mutated(source) for _ in range(int(sys.argv[1]))]
    else:
        source = random.Random(5)
        texts = BY_HAND + [mutated(source) for _ in range(100)]
    lines = (json.dumps([text, answer(text)]) for text in texts)
    print("[\n" + ",\n".join(lines) + "\n]")


main()
