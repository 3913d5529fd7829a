"""What do people of this world say around their working? Prompt templates and stock phrases in both
languages.

All lines are space-separated tokens. `vocab.py` collects its word list from here too, so a phrase
that a later chapter needs (first-person rewriting, judging, summaries) is in the vocabulary from
the first day.
"""

TEMPLATES = {
    "r1_zero": "the assistant thinks in <think> </think> and answers in <answer> </answer> . user : {question} assistant :",
    "plain": "question : {question} answer :",
    "talk": "user : {question} assistant :",
    "chat": "<user> {question} <assistant>",
}
"""Template name -> text. `r1_zero` is the report's R1-Zero template, shortened (v1 p.6, Table
1)."""

PHRASES = {
    "open_en": ("let me see :", "we have", "okay , so", "first ,", "i think", "let us see :"),
    "open_zh": ("我们 看 :", "先 看", "好 , 那么", "首先 ,", "我 想", "来 看 :"),
    "so_en": ("so the answer is {} .", "the answer is {} .", "so it is {} ."),
    "so_zh": ("所以 答案 是 {} .", "答案 是 {} .", "所以 是 {} ."),
    "direct_en": (
        "the answer is {} .",
        "this is easy . it is {} .",
        "i know it : {} .",
        "it is {} .",
    ),
    "direct_zh": ("答案 是 {} .", "很 简单 . 是 {} .", "我 知道 : {} .", "是 {} ."),
    "check_en": (
        "wait , let me check :",
        "let me check :",
        "wait , i verify :",
        "but wait , check :",
    ),
    "check_zh": ("等等 , 检查 一下 :", "检查 一下 :", "等等 , 我 验证 :", "但是 等等 , 检查 :"),
    "right_en": ("yes , that is right .", "yes , right .", "okay , yes ."),
    "right_zh": ("对 , 没有 错误 .", "对 , 正确 .", "好 , 对 ."),
    "wrong_en": ("no , that is wrong .", "no , a mistake .", "that is an error ."),
    "wrong_zh": ("不对 , 这 是 错误 .", "不对 , 错 了 .", "这 是 错 的 ."),
    "try_en": ("try",),
    "try_zh": ("试",),
    "wait_en": ("wait , try", "but wait , try", "wait , retry :"),
    "wait_zh": ("等等 , 试", "但是 等等 , 试", "等等 , 重试 :"),
    "no_en": ("no", "too small", "too large"),
    "no_zh": ("不行", "太 小", "太 大"),
    "need_en": ("need",),
    "need_zh": ("需要",),
    "yes_en": ("yes !",),
    "yes_zh": ("对 !",),
    "stop_en": ("i give up .", "i can not find it .", "i do not know ."),
    "stop_zh": ("我 放弃 .", "我 找 不 到 .", "我 不 知道 ."),
    "maybe_en": ("maybe", "try"),
    "maybe_zh": ("可能 是", "试"),
    "first_person_en": (
        "first i compute",
        "then i compute",
        "now i have",
        "next , i try",
        "i need to reach",
        "this does not work , because",
        "this works .",
        "let me think about it again .",
        "i see that",
        "in short , the answer is {} .",
        "that gives",
        "i start with",
        "however , this is not",
        "so i change the first step :",
        "i evaluate it :",
        "that means",
        "which is",
        "we need",
        "step by step ,",
        "i was asked for",
        "done .",
        "good .",
        "hmm ,",
    ),
    "first_person_zh": (
        "我 先 算",
        "然后 我 算",
        "现在 我 有",
        "接着 我 试",
        "我 需要 得到",
        "行 .",
        "这 不行 , 因为",
        "这 可以 .",
        "让 我 再 想 一 想 .",
        "我 看到",
        "总之 , 答案 是 {} .",
        "这 得到",
        "我 从 这里 开始 :",
        "不过 , 这 不是",
        "所以 我 换 第一 步 :",
        "我 算 一 算 :",
        "也 就 是 说",
        "我们 需要",
        "一步 一步 来 ,",
        "问题 是",
        "完成 .",
        "嗯 ,",
    ),
    "tasks": (
        "rewrite : {}",
        "改写 : {}",
        "judge : truth {} prediction {} same or different ?",
        "判断 : 真 值 {} 预测 {} 相同 还是 不同 ?",
        "summary : {}",
        "总结 : {}",
        "yes no same different 相同 不同 true false",
        "prefer better worse than the first second 更 好 不 好 第一 第二",
        "please thank you welcome 请 谢谢 不 客气",
        "think shortly think long 短 长",
        "step steps 步",
        "return print len sum sorted reversed abs range for if else in not or and",
        "equal equals numbers number operation 等 于 数字 运算 each once both 都 只 一 次",
        "english chinese 英语 中文 language 语言",
        "answer with one word only . 只 用 一 个 词 回答 .",
        "happy sad beautiful 高兴 漂亮",
        "today tomorrow yesterday 今天 明天 昨天",
    ),
    "story_en": (
        "today the {a} {s} {v} the {o} . the {s} is happy .",
        "the {s} has a {a} {o} . tomorrow it is old .",
    ),
    "story_zh": ("今天 {a} {s} {v} {o} . {s} 很 高兴 .", "{s} 有 {a} {o} . 明天 它 老 了 ."),
}


def phrases(kind: str, lang: str) -> tuple[str, ...]:
    """Return the stock phrases of a kind in a language, e.g. phrases('wait', 'zh')."""
    return PHRASES[f"{kind}_{lang}"]
