"""PowerShell without PowerShell: a grammar tells where the parts of a script are, and the rules of
PowerShell's tokenizer what its strings hold. Windows PowerShell 5.1 and PowerShell 7 are to read
the same. Nothing here shows that a script runs.
"""

import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

from tests import services

QUOTES = "'\u2018\u2019\u201a\u201b"  # each of them ends a string that another of them begins
CURL = "curl.exe"  # `curl` is Invoke-WebRequest in 5.1
ALIASES = {"copy": "cp", "python": "python3"}
VALUES = {"-Method", "-Uri", "-ContentType", "-Body", "-InFile", "-OutFile", "-Headers"}
UTF8 = "application/json; charset=utf-8"


def parsed(text: str) -> Any:
    """The root of its syntax tree; ValueError where the grammar knows nothing of the kind."""
    grammar, tree_sitter = (
        services.package("tree_sitter_powershell"),
        services.package("tree_sitter"),
    )
    root = (
        tree_sitter.Parser(tree_sitter.Language(grammar.language())).parse(text.encode()).root_node
    )
    for node in within(root):
        if node.is_error or node.is_missing:
            raise ValueError(f"line {node.start_point.row + 1}: {source(node)!r:.80}")
    return root


def within(node: Any) -> Iterator[Any]:
    yield node
    for child in node.children:
        yield from within(child)


def source(node: Any) -> str:
    text: bytes = node.text
    return text.decode()


def literal(written: str) -> str:
    """The value of a string in which nothing is expanded."""
    if here := re.fullmatch(r"@'[ \t]*\n(.*)\n'@", written, re.DOTALL):
        if re.search(rf"^[{QUOTES}]@", here[1], re.MULTILINE):
            raise ValueError("the here-string ends before its end")
        return here[1]
    inner = written[1:-1]
    if re.search(f"[{QUOTES}]", re.sub(f"[{QUOTES}]{{2}}", "", inner)):
        raise ValueError(f"the string ends before its end: {written!r}")
    return re.sub(f"[{QUOTES}]([{QUOTES}])", r"\1", inner)


def assigned(text: str) -> dict[str, str]:
    """The variables of a script that are set to a string in which nothing is expanded."""
    found = {}
    for node in within(parsed(text)):
        if node.type != "assignment_expression":
            continue
        value = node.child_by_field_name("value")
        if re.match(r"'|@'", source(value)):
            name, _, _ = source(node).partition("=")
            found[name.strip().removeprefix("$")] = literal(source(value))
    return found


def in_bash(text: str) -> str:
    """The same commands for bash; ValueError for what our documents do not use of PowerShell."""
    lines = []
    variables: dict[str, str] = {}
    lists = [node for node in parsed(text).children if node.type == "statement_list"]
    for statement in lists[0].children:
        written = source(statement)
        if assignment := re.fullmatch(r"\$([\w:]+) = (.*)", written, re.DOTALL):
            name, value = assignment.groups()
            if re.match(r"'|@'", value):
                variables[name] = literal(value)
            else:
                lines.append(f"export {name.removeprefix('env:')}=$({in_bash(value)})")
        elif statement.type != "comment":
            lines.append(_pipeline(statement, variables))
    return "\n".join(lines)


def _pipeline(statement: Any, variables: dict[str, str]) -> str:
    """A command, or a text that goes into one."""
    [command] = [node for node in within(statement) if node.type == "command"]
    before = source(statement)[: command.start_byte - statement.start_byte].strip()
    words = list(_words(command, variables))
    if before:
        text = literal(before.removesuffix("|").strip())
        if not text.isascii():
            raise ValueError("5.1 pipes ASCII")
        return f"printf %s {shlex.quote(text)} | {_command(words)}"
    return _command(words)


def _words(command: Any, variables: dict[str, str]) -> Iterator[str]:
    """The words of a command, quoted for bash; JSON for a hashtable."""
    yield source(command.child_by_field_name("command_name"))
    elements = [node for node in command.children if node.type == "command_elements"]
    for node in elements[0].children if elements else ():
        written = source(node)
        if node.type == "command_argument_sep":
            continue
        if written.startswith("@{"):
            pairs = re.findall(r"(?:'([^']+)'|(\w+)) = (\S[^;}]*?) *[;}]", written)
            yield json.dumps({a or b: _word(value, variables) for a, b, value in pairs})
        else:
            yield _word(written, variables)


def _word(written: str, variables: dict[str, str]) -> str:
    if written.startswith("'"):
        return shlex.quote(literal(written))
    if written.startswith('"'):
        if re.search(r"[`\u201c-\u201e]|\$(?!\{?env:)", written):
            raise ValueError(f"more than an environment variable is expanded: {written}")
        return written.replace("$env:", "$").replace("${env:", "${")
    if re.fullmatch(r"\$\w+", written):
        return shlex.quote(variables[written[1:]])
    if re.search(r"[@&;,(){}|<>$'\"`]", written):
        raise ValueError(f"this has a meaning without quotes: {written}")
    return shlex.quote(written)


def _command(words: list[str]) -> str:
    name, *rest = words
    if name == "Invoke-RestMethod":
        return _request(rest)
    if name == CURL:
        if any('"' in word for word in shlex.split(" ".join(rest))):
            raise ValueError("5.1 and 7.3 pass quotes to programs in different ways")
        return " ".join(["curl", *rest])
    if name == "Add-Content":
        encoding, ascii_, file, text = rest
        if (encoding, ascii_) != ("-Encoding", "ascii"):
            raise ValueError("5.1 writes UTF-16")
        return f"echo {text} >> {file}"
    if name in ("icacls", "docker", "git"):
        return " ".join([name, *rest])
    if name.startswith(".venv\\Scripts\\python") or name in ALIASES:
        return " ".join([ALIASES.get(name, ".venv/bin/python"), *rest])
    raise ValueError(f"{name} is not known here")


def _request(words: list[str]) -> str:
    """Invoke-RestMethod as curl."""
    options = dict(zip(*[iter(words if words[0] in VALUES else ["-Uri", *words])] * 2, strict=True))
    if unknown := options.keys() - VALUES:
        raise ValueError(f"not in 5.1, or not known here: {unknown}")
    made = ["curl", "-X", options.get("-Method", "Get").upper(), options["-Uri"]]
    if "-OutFile" in options:
        made += ["-o", options["-OutFile"]]
    for name, value in json.loads(options.get("-Headers", "{}")).items():
        made += ["-H", f'"{name}: {shlex.split(value)[0]}"']
    if "-ContentType" in options:
        made += ["-H", shlex.quote(f"Content-Type: {shlex.split(options['-ContentType'])[0]}")]
    if "-InFile" in options:
        made += ["--data-binary", f"@{options['-InFile']}"]
    if "-Body" in options:
        if shlex.split(options["-ContentType"]) != [UTF8]:
            raise ValueError(f"5.1 sends a body as Latin-1 without -ContentType '{UTF8}'")
        made += ["--data-binary", options["-Body"]]
    return " ".join(made)


# -- the commands of a bash block, so that two can be compared -------------------------------------


def commands_of(bash: str) -> list[Any]:
    """What it does, in order: requests of curl by what they send, all else word by word.

    What `make` does is left out: Windows has none, and the environment is there by then. So are
    lines of docker, which are the same in every shell.
    """
    lines = re.sub(r"\\\n", " ", bash).splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    return [
        _sent(words) if words[0] == "curl" else tuple(words)
        for words in commands
        if words and words[0] not in ("make", "docker")
    ]


def _sent(words: list[str]) -> dict[str, Any]:
    """What a curl command sends, and where the answer goes."""
    sent: dict[str, Any] = {"headers": {}, "form": []}
    left = iter(words[1:])
    for word in left:
        if word == "-H":
            name, _, value = next(left).partition(": ")
            sent["headers"][name.lower()] = value.removesuffix("; charset=utf-8")
        elif word == "-F":
            sent["form"].append(next(left))
        elif word in ("-d", "--data-raw", "--data-binary"):
            text = next(left)
            sent["body"] = text if text.startswith("@") else json.loads(text)
        elif word in ("-X", "-o"):
            sent[word] = next(left)
        else:
            assert not word.startswith("-"), f"{word} is not known here"
            sent["url"] = word
    sent.setdefault("-X", "POST" if "body" in sent or sent["form"] else "GET")
    return sent
