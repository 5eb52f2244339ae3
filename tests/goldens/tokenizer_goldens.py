#!/usr/bin/env python3
"""Small tokenizers, and what the Python packages make of odd texts with them. Run in this folder, with tokenizers 0.23.3 and sentencepiece 0.2.3:

    python tokenizer_goldens.py

Writes into tokenizers/: <name>.json, each {"tokenizer": .., "cases": [{"text", "ids", "decoded"}]}, without post-processing and special tokens; parts.json, what single normalizers,
pre-tokenizers and decoders do; <name>.model and models.json, the same of SentencePiece.
"""

import base64
import io
import json
import pathlib
import tempfile

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
OUT = HERE / "tokenizers"
SHIPPED = (HERE / "../../runtime/data/shipped/shakespeare.txt").read_text()[:6000]

CORPUS = SHIPPED.splitlines() + [
    "Die Größe der Straße überraschte den Müller; naïve Café-Gäste zahlten 12,50 € für drei Brötchen.",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ο γρήγορος καφέ αλεπού πηδάει πάνω από το σκύλο.",
    "東京は日本の首都です。人口は約1400万人。 ひらがな カタカナ 漢字",
    "모든 인간은 태어날 때부터 자유로우며 존엄하다.",
    "for (int i = 0; i < 10; ++i) {\n\tprintf(\"%d\\n\", i * 0x1F);\n}",
    "I'll say it's what they've done; we're sure you'd agree, don't you?",
    "3.14159 1,000,000 2024-01-31 12:34:56 +49 (0)30 123",
] * 3

TEXTS = [
    "",
    " ",
    "a",
    "Hello, world!",
    "To be, or not to be: that is the question.",
    "  two leading,   three inside, two trailing  ",
    "tabs\tand\nnewlines\r\n\n\n  and\u00a0no-break\u2003em\u3000ideographic\u0085next",
    "I'll they've WE'RE you'd it'S don't 'tis rock'n'roll",
    "1 12 123 1234567 3.14 ½ ² Ⅷ ٣٤٥ 二〇",
    "Größe STRASSE İstanbul ΣΊΣΥΦΟΣ ǅ ﬁﬂ ﬃ",
    "e\u0301 \u00e9 o\u0308\u0323 \u1ed9 A\u030a \u212b \u0301leading mark",
    "日本語とEnglishの混在。カタカナ、ひらがな!",
    "한국어 텍스트 \u1112\u1161\u11ab",
    "emoji 😀😃 👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 ❤️ 🇩🇪",
    "mixed кириллица العربية עברית ไทย हिन्दी",
    "a" * 60,
    " " * 40 + "x",
    "\n" * 9,
    "ab" * 33 + "é" * 17 + "😀" * 5,
    "under_score camelCase kebab-case snake__case --- ... !?!? (a[b]{c})",
    "<s> </s> <unk> <|endoftext|> [CLS] [MASK] <0x41> <0xE2>",
    "zero\u200bwidth\u200djoiner\ufeff bom \u2581 lower \u2585 block \u180e mvs",
    "control \x00 \x01 \x1f \x7f end",
    "www.example.com/path?q=1&r=2#frag user@example.org",
    "\U0001d54f\U0001d7d8 \U00020000\U0002a6df \ue000\U000f0000",
]


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def case(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    return {"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)}


def save(name, tokenizer, texts=()):
    write(OUT / f"{name}.json", {"tokenizer": json.loads(tokenizer.to_str()), "cases": [case(tokenizer, text) for text in [*TEXTS, *texts]]})


def charsmap():
    """SentencePiece's compiled form of a few rules."""
    rules = {"ﬁ": "fi", "\u00a0": " ", "\t": " ", "\n": " ", "Ａ": "A", "①": "1", "\u200b": "", "㌀": "アパート", "½": "1\u20442", "e\u0301": "\u00e9", "e": "ə"}
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder, "rules.tsv")
        table.write_text("".join(" ".join(f"{ord(c):X}" for c in old) + "\t" + " ".join(f"{ord(c):X}" for c in new) + "\n" for old, new in rules.items()))
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=model, vocab_size=500, normalization_rule_tsv=str(table), minloglevel=3, num_threads=1)
        from sentencepiece import sentencepiece_model_pb2

        proto = sentencepiece_model_pb2.ModelProto()
        proto.ParseFromString(model.getvalue())
        return model.getvalue(), base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()


def from_json(tokenizer, **parts):
    value = json.loads(tokenizer.to_str())
    value.update(parts)
    return Tokenizer.from_str(json.dumps(value))


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def byte_level_trainer(size=330, special=("<|endoftext|>",)):
    return trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)


def whole():
    spm, table = charsmap()

    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, byte_level_trainer())
    save("bpe-gpt2", t)

    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, byte_level_trainer(330, ("<|begin_of_text|>", "<|end_of_text|>")))
    t.add_tokens([AddedToken("question", normalized=False)])
    save("bpe-llama3", t, ["<|begin_of_text|>questions<|end_of_text|>\n\n 1234\r\nx"])

    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(CORPUS, byte_level_trainer())
    save("bpe-qwen", t)

    bytes_ = [f"<0x{i:02X}>" for i in range(256)]

    def sentencepiece_like(**options):
        t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=470, special_tokens=["<unk>", "<s>", "</s>", *bytes_], limit_alphabet=60, show_progress=False))
        value = json.loads(t.to_str())
        # The bytes are no added tokens, as in the files that people use.
        value["added_tokens"] = [token for token in value["added_tokens"] if not token["content"].startswith("<0x")]
        value.update(options)
        return Tokenizer.from_str(json.dumps(value))

    back = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t = sentencepiece_like()
    t.decoder = back
    save("bpe-llama2", t)
    t = sentencepiece_like(normalizer=None)
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    t.decoder = back
    save("bpe-mistral", t, ["<s>x</s> y<s>"])

    t = Tokenizer(models.BPE(unk_token="?", end_of_word_suffix="</w>", continuing_subword_prefix="##"))
    t.normalizer = normalizers.Lowercase()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.BPEDecoder("</w>")
    t.train_from_iterator(CORPUS[:120], trainers.BpeTrainer(vocab_size=300, special_tokens=["?"], end_of_word_suffix="</w>", continuing_subword_prefix="##", limit_alphabet=30, show_progress=False))
    save("bpe-suffix", t)

    t = Tokenizer(models.Unigram())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    t.train_from_iterator(CORPUS, trainers.UnigramTrainer(vocab_size=320, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False))
    value = json.loads(t.to_str())
    t = from_json(t, normalizer={"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": table}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
                  decoder=json.loads(decoders.Metaspace().__getstate__()))
    save("unigram-t5", t, ["ﬁnd ①②㌀ Ａ½\u200bend e\u0301te\u0301"])

    value["model"]["vocab"] += [[token, -9.0] for token in bytes_]
    value["model"]["byte_fallback"] = True
    value["pre_tokenizer"] = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never", "split": True}
    value["decoder"] = json.loads(back.__getstate__())
    save("unigram-bytes", Tokenizer.from_str(json.dumps(value)))

    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=40))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], limit_alphabet=120, show_progress=False))
    save("wordpiece-bert", t, ["it's [MASK] , isn't it ? \" do not \" ! they 've"])

    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.decoder = decoders.WordPiece(cleanup=False)
    t.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]"], limit_alphabet=60, show_progress=False))
    save("wordpiece-cased", t)

    t = Tokenizer(models.WordLevel(unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Nmt()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation("contiguous")])
    t.train_from_iterator(TEXTS, trainers.WordLevelTrainer(special_tokens=["<unk>"], show_progress=False))
    save("wordlevel", t)

    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer = normalizers.Lowercase()
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    t.decoder = decoders.Metaspace(prepend_scheme="first")
    t.train_from_iterator(CORPUS[:60], trainers.BpeTrainer(vocab_size=150, special_tokens=["<unk>"], show_progress=False))
    t.add_tokens([AddedToken("left", lstrip=True, normalized=False), AddedToken("right", rstrip=True, normalized=False), AddedToken("both", lstrip=True, rstrip=True, normalized=False),
                  AddedToken("single", single_word=True, normalized=False), AddedToken("LOUD", normalized=True), AddedToken("le", normalized=False), AddedToken("loud and", normalized=True)])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True), "<sep>"])
    save("added", t, ["a  left  b", "a  right  b", "a  both  both  b", "single singles asingle (single)", "LOUD loud Loud LOUDER loud and clear", "lefty leave le", "x <mask> y<sep><sep> z", "  <mask>", "left", "<sep>"])
    return spm, table


def parts(table):
    result = {"normalizers": [], "pre_tokenizers": [], "decoders": []}
    some = [
        normalizers.NFC(), normalizers.NFD(), normalizers.NFKC(), normalizers.NFKD(), normalizers.Lowercase(), normalizers.StripAccents(), normalizers.Nmt(), normalizers.Strip(),
        normalizers.Strip(left=True, right=False), normalizers.Strip(left=False, right=True), normalizers.Prepend("▁"), normalizers.ByteLevel(), normalizers.Replace("a", "bb"),
        normalizers.Replace(Regex(r"\s+"), " "), normalizers.Replace(Regex(r"[^\w\s]"), ""), normalizers.Replace(Regex(r"x*"), "-"), normalizers.Replace(Regex(r"(?<=\d)\B(?=\d)"), "_"),
        normalizers.BertNormalizer(), normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
        normalizers.BertNormalizer(strip_accents=False, lowercase=True), normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]),
    ]
    for n in some:
        result["normalizers"].append({"json": json.loads(n.__getstate__()), "cases": [[text, n.normalize_str(text)] for text in TEXTS]})
    n = Tokenizer(models.WordLevel())
    precompiled = {"type": "Precompiled", "precompiled_charsmap": table}
    n = from_json(n, normalizer=precompiled).normalizer
    texts = [*TEXTS, "ﬁnd ①②㌀ Ａ½\u200bend e\u0301te\u0301 e\u0301\u0323 e\u0300"]
    result["normalizers"].append({"json": precompiled, "cases": [[text, n.normalize_str(text)] for text in texts]})

    def split(pattern, behavior, invert=False):
        return pre_tokenizers.Split(pattern, behavior, invert)

    behaviors = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
    some = [
        pre_tokenizers.ByteLevel(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), pre_tokenizers.Whitespace(), pre_tokenizers.WhitespaceSplit(), pre_tokenizers.BertPreTokenizer(),
        pre_tokenizers.Digits(), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.CharDelimiterSplit("a"), pre_tokenizers.FixedLength(3),
        *[pre_tokenizers.Punctuation(behavior) for behavior in behaviors], *[pre_tokenizers.Metaspace(prepend_scheme=scheme, split=cut) for scheme in ["always", "first", "never"] for cut in [True, False]],
        *[split(" ", behavior, invert) for behavior in behaviors for invert in [False, True]],
        *[split(Regex(r"\p{L}+"), behavior, invert) for behavior in behaviors for invert in [False, True]],
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]),
    ]
    regexes = []
    # What regular expressions mean: classes, escapes, anchors, groups, repetitions.
    for pattern in [LLAMA3, QWEN, r"\w+", r"\W+", r"\s", r"\S+", r"\d+", r"\D+", r"\h+", r"\bw", r"\B.", r".", r"^.", r".$", r"\A.", r".\z", r"[\s\S]{3}", r"[^\s\p{P}]+", r"[\p{Lu}\p{Lt}]", r"\P{L}+", r"\p{^L}+",
                    r"[[:alpha:]]+", r"[[:space:]]+", r"[[:digit:]]", r"[[:upper:]]+", r"[[:word:]]+", r"\p{Han}+", r"\p{Cyrillic}+", r"\p{Latin}+", r"\p{Hiragana}|\p{Katakana}",
                    r"\p{Alpha}+", r"\p{Space}", r"(?i)STRASSE|hello", r"(?i:to) be", r"(?m:a.b)", r"(?:ab)+?", r"a{2,3}", r"a{,2}b", r"a{3}", r"(a)\1", r"(?<x>a)\k<x>", r"(?>a+)b", r"a++", r"[a-c\-z]+", r"[\w-]+", r"[-a]+", r"[a-]+",
                    r"\x41|\u0042|\x{1F600}", r"\t|\n|\r|\v|\f", r"\R", r"a|", r"[^a]", r"(?=w)", r"(?<=o)\s|(?<!o)\s", r"'(?:[sdmt]|ll|ve|re)", r"[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*",
                    r"[\S]+", r"[\D]+", r"\{|\}", r"\.\.\.|\[|\]", r"[.,;:!?]", r"a\#b|#", r"{", r"\p{So}", r"\p{Sc}|\p{Nl}|\p{No}", r"[一-鿿]", r"é+", r"[é😀]+"]:
        regexes.append(split(Regex(pattern), "isolated"))
        regexes.append(split(Regex(pattern), "removed", True))
    for p in [*some, *regexes]:
        texts = TEXTS if p in some else [TEXTS[i] for i in [4, 6, 8, 9, 11, 13, 19, 23]]
        result["pre_tokenizers"].append({"json": json.loads(p.__getstate__()), "cases": [[text, [piece for piece, _ in p.pre_tokenize_str(text)]] for text in texts if text]})

    tokens = [
        [], ["a"], ["Hello", ",", "Ġworld", "Ċ", "âĤ", "¬", "é", "😀"], ["▁Hello", "▁", "▁wor", "ld", "<0x0A>", "<0xE2>", "<0x82>", "<0xAC>", "<0xE2>", "▁x", "<0xFF>", "<0xC3>", "<0xA9>"],
        ["it", "##'s", "do", "not", "n't", "?", "!", "'s", "##a", "'", "b", "'ve", "."], ["low</w>", "er", "</w>new</w>"], [" ", "  a  ", "", "a ", " a"], ["<0x4G>", "<0x41", "<0x41>>", "0x41", "<0x+5>"],
    ]
    some = [
        decoders.ByteLevel(), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0), decoders.Replace("▁", " "), decoders.Replace(Regex("[a-l]+"), "<>"), decoders.Metaspace(),
        decoders.Metaspace(prepend_scheme="never"), decoders.WordPiece(), decoders.WordPiece(prefix="##", cleanup=False), decoders.BPEDecoder(),
        decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]),
    ]
    for d in some:
        lists = [t for t in tokens if t or not isinstance(d, decoders.BPEDecoder)]
        result["decoders"].append({"json": json.loads(d.__getstate__()), "cases": [[list_, d.decode(list_)] for list_ in lists]})
    write(OUT / "parts.json", result)


def sentencepiece_models(spm):
    bpe = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(CORPUS), model_writer=bpe, vocab_size=400, model_type="bpe", byte_fallback=True, character_coverage=0.98, normalization_rule_name="identity",
                                             remove_extra_whitespaces=False, minloglevel=3, num_threads=1)
    result = {}
    for name, data in [("spm-unigram", spm), ("spm-bpe", bpe.getvalue())]:
        (OUT / f"{name}.model").write_bytes(data)
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        result[name] = {"vocabulary": processor.get_piece_size(), "end": processor.eos_id(), "cases": [{"text": text, "ids": processor.encode(text), "decoded": processor.decode(processor.encode(text))} for text in TEXTS]}
    write(OUT / "models.json", result)


OUT.mkdir(exist_ok=True)
spm, table = whole()
parts(table)
sentencepiece_models(spm)
