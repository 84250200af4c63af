"""The functions of a C or C++ file: where each begins and ends and how many parameters it takes.

A reader of the shape only (brackets, braces, semicolons), not of the language; it knows the forms
that this tree uses. scripts/check_selftest plants some of them.
"""
import re
from dataclasses import dataclass

RAW_STRING = re.compile(r'R"([^()\\ ]{0,16})\(')
OPERATOR = re.compile(r"\boperator\s*(\(\s*\)|\[\]|<=>|<<|>>|<=|>=|->|<|>|==|=)")
LEADING = re.compile(r"^\s*(?:(?:template\s*<[^{;]*?>|\[\[[^\]]*\]\]|"
                     r"(?:public|private|protected)\s*:)\s*)*")
TYPE = re.compile(r"^(?:typedef\s+|static\s+|const\s+)*(?:class|struct|union|enum)\b")
NAME = re.compile(r"(~?[A-Za-z_]\w*)\s*$")
NOT_FUNCTIONS = {"alignas", "static_assert", "decltype", "noexcept", "__attribute__", "explicit",
                 "sizeof", "if", "for", "while", "switch", "return", "requires"}


@dataclass
class Function:
    name: str
    first_line: int
    last_line: int  # of the definition; first_line for a declaration
    parameters: int
    defined: bool


def blank(text):
    """The text with comments, literals and preprocessor lines as spaces; lines stay in place."""
    out = list(text)

    def erase(begin, end):
        for i in range(begin, min(end, len(out))):
            if out[i] != "\n":
                out[i] = " "

    def after(needle, begin):
        found = text.find(needle, begin)
        return len(text) if found < 0 else found + len(needle)

    i, line_start = 0, True
    while i < len(text):
        c = text[i]
        end = i
        if text.startswith("//", i):
            end = after("\n", i) - 1
        elif text.startswith("/*", i):
            end = after("*/", i)
        elif c == "#" and line_start:
            end = i
            while end < len(text) and text[end] != "\n":
                end = min(len(text), end + (2 if text[end] == "\\" else 1))
        elif c == "R" and (match := RAW_STRING.match(text, i)):
            end = after(")" + match.group(1) + '"', match.end())
        elif c == '"' or (c == "'" and not (i and (text[i - 1].isalnum() or text[i - 1] == "_"))):
            end = i + 1
            while end < len(text) and text[end] not in (c, "\n"):
                end += 2 if text[end] == "\\" else 1
            end += 1
        if end > i:
            erase(i, end)
            line_start = line_start and text[i] == "/"
            i = end
            continue
        line_start = c == "\n" or (line_start and c.isspace())
        i += 1
    return "".join(out)


def closing(text, begin):
    """Where the bracket at `begin` closes; -1: nowhere."""
    depth = 0
    for i in range(begin, len(text)):
        if text[i] in "([{":
            depth += 1
        elif text[i] in ")]}":
            depth -= 1
            if depth == 0:
                return i
    return -1


def first_call(head):
    """The first bracket outside <>: where a parameter list would begin; -1: none."""
    angle = 0
    for i, c in enumerate(head):
        if c == "<" and i and (head[i - 1].isalnum() or head[i - 1] == "_"):
            angle += 1
        elif c == ">" and head[i - 1] != "-" and angle:
            angle -= 1
        elif c == "=" and not angle:
            return -1
        elif c == "(" and not angle:
            name = NAME.search(head[:i])
            if name and name.group(1) in NOT_FUNCTIONS:
                end = closing(head, i)
                if end < 0:
                    return -1
                rest = first_call(head[end + 1:])
                return -1 if rest < 0 else end + 1 + rest
            return i if name else -1
    return -1


def count_parameters(inside):
    if inside.strip() in ("", "void"):
        return 0
    depth, count = 0, 1
    for i, c in enumerate(inside):
        if c in "([{" or (c == "<" and inside[i - 1:i].isalnum()):
            depth += 1
        elif c in ")]}" or (c == ">" and depth and inside[i - 1] != "-"):
            depth -= 1
        elif c == "," and depth == 0:
            count += 1
    return count


def signature(head):
    """(name, parameters, what follows the list) of a function's head; None: it is none."""
    head = OPERATOR.sub("operator_", LEADING.sub("", head))
    begin = first_call(head)
    if begin < 0 or head.lstrip().startswith(("using ", "typedef ", "static_assert")):
        return None
    end = closing(head, begin)
    if end < 0:
        return None
    name = NAME.search(head[:begin]).group(1)
    return name, count_parameters(head[begin + 1:end]), head[end + 1:].strip()


def opens(head):
    """What a brace after `head` opens in a place for declarations."""
    stripped = LEADING.sub("", head).strip()
    if not stripped or re.match(r"^(inline\s+)?namespace\b|^extern$", stripped):
        return "scope"
    found = signature(head)
    if found is None:
        return "scope" if TYPE.match(stripped) else "value"
    follows = found[2]
    if follows.startswith(":") and not follows.endswith((")", "}")):
        return "value"  # a member of the constructor's list
    return "function"


def functions(text):
    """All functions of a file, in order: definitions, and declarations that end in a semicolon."""
    text = blank(text)
    found, stack, head, head_line, line, brackets = [], [], "", 0, 1, 0
    for c in text:
        if c == "\n":
            line += 1
        inside = stack and stack[-1][0] != "scope"
        if c == "{":
            kind = "value" if inside or brackets else opens(head)
            stack.append((kind, head, head_line or line))
            if kind == "scope" or kind == "function":
                head, head_line = "", 0
            continue
        if c == "}" and stack:
            kind, old_head, old_line = stack.pop()
            if kind == "value" and not (stack and stack[-1][0] != "scope"):
                head = old_head + "{}"
                head_line = old_line
            elif kind == "function":
                name, parameters, _ = signature(old_head)
                found.append(Function(name, old_line, line, parameters, True))
                head, head_line = "", 0
            elif kind == "scope":
                head, head_line = "", 0
            continue
        if inside:
            continue
        brackets += (c == "(") - (c == ")")
        if c == ";" and not brackets:
            declared = signature(head)
            if declared and re.match(r"^\S+\s*[\s&*]", LEADING.sub("", head)):
                found.append(Function(declared[0], head_line or line, head_line or line,
                                      declared[1], False))
            head, head_line = "", 0
            continue
        if not head_line and not c.isspace():
            head_line = line
        if head_line:
            head += c
    return found
