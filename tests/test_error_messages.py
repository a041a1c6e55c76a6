"""Every error that a user can meet says what is wrong and names a remedy, in one form."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ndino.results.logs import ResultsError

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "ndino").rglob("*.py"))
TREES = {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
# Errors whose message is only a reason, and who adds the place and the remedy.
REASONS = {
    "PromptError": "why one row cannot be used: who rejects the row names its file and number",
    "GitError": "git's own reason: ndino/upstream catches it and says what to do",
    "Unreachable": "why a repository cannot be fetched: make setup continues without it and says so",
    "BusyError": "the message is an argument of exclusive_lock, see below",
}
# Errors that compose the remedy from an argument that they require.
COMPOSED = {"ConversationError", "ResultsError", "UnusableTaskError"}
# Single places whose remedy cannot be seen in the source, and why it is there.
ELSEWHERE = {
    "ndino/llava_next/process.py": ("StageError(known)", "an error of the trainer's process, passed on"),
    "ndino/train/health/ranks.py": ("StageError(f'rank 0: {answer[1]}')", "another rank's error, passed on"),
}


def named(node: ast.expr | None) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def family() -> set[str]:
    """UserError and the classes below it."""
    bases = {
        node.name: {named(base) for base in node.bases}
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    found = {"UserError"}
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found


ERRORS = family()


def caught(handler: ast.ExceptHandler) -> set[str]:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {named(kind) for kind in kinds}


def raised() -> Iterator[tuple[str, str, ast.Call, set[str]]]:
    """Where an error is raised, its class, the call, and the errors whose message it may pass on."""

    def walk(node: ast.AST, passing: set[str]) -> Iterator[tuple[ast.Call, set[str]]]:
        if isinstance(node, ast.ExceptHandler) and node.name:
            with_remedy = caught(node) <= ERRORS - set(REASONS) | {"BusyError"}
            passing = {node.name} if with_remedy else set()
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and named(node.exc.func) in ERRORS:
            yield node.exc, passing
        for child in ast.iter_child_nodes(node):
            yield from walk(child, passing)

    for file, tree in TREES.items():
        for call, passing in walk(tree, set()):
            yield f"{file}:{call.lineno}", named(call.func), call, passing


def text_of(node: ast.expr) -> str:
    """The literal part of a message; a formatted value is ``{…}``."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    return "{…}"


def has_remedy(call: ast.Call, passing: set[str]) -> bool:
    (message,) = call.args
    names = {node.id for node in ast.walk(message) if isinstance(node, ast.Name)}
    if named(message.func if isinstance(message, ast.Call) else None) in ("with_remedy", "_failed"):
        return True
    return "(remedy: " in text_of(message) or bool(passing & names)


RAISED = {where: (kind, call, passing) for where, kind, call, passing in raised()}
CONSTANTS = {
    f"{file}:{target.id}": text_of(node.value)
    for file, tree in TREES.items()
    for node in tree.body
    if isinstance(node, ast.Assign)
    for target in node.targets
    if isinstance(target, ast.Name)
}


def constant(where: str, call: ast.Call) -> str:
    """The text of a message that is a constant of its module, or of the one that it is imported from."""
    name = named(call.args[0])
    return next((text for key, text in CONSTANTS.items() if key.endswith(f":{name}")), "") if name else ""


def from_a_function(where: str, call: ast.Call) -> bool:
    """Whether a message is what a function has returned, all of whose messages name a remedy."""
    file, name = where.partition(":")[0], named(call.args[0])
    makers = {
        named(node.value.func)
        for node in ast.walk(TREES[file])
        if isinstance(node, ast.Assign | ast.NamedExpr) and isinstance(node.value, ast.Call)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if name and named(target) == name
    }
    returned = [
        text_of(node.value)
        for tree in TREES.values()
        for made in ast.walk(tree)
        if isinstance(made, ast.FunctionDef) and made.name in makers
        for node in ast.walk(made)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.JoinedStr | ast.Constant)
    ]
    messages = [text for text in returned if text != "None"]
    return bool(messages) and all("(remedy: " in text for text in messages)


def test_all_errors_are_seen():
    places = {(where.partition(":")[0], ast.unparse(call)) for where, (_, call, _) in RAISED.items()}
    assert {(file, message) for file, (message, _) in ELSEWHERE.items()} <= places
    assert {"UsageError", "DataError", "SetupError", "StageError", *REASONS, *COMPOSED} <= ERRORS
    assert len(RAISED) > 300


@pytest.mark.parametrize(
    "where", [key for key, (kind, _, _) in RAISED.items() if kind not in {*REASONS, *COMPOSED}]
)
def test_an_error_names_a_remedy(where):
    _, call, passing = RAISED[where]
    if ast.unparse(call) == ELSEWHERE.get(where.partition(":")[0], ("", ""))[0]:
        return
    found = has_remedy(call, passing) or "(remedy: " in constant(where, call) or from_a_function(where, call)
    assert found, ast.unparse(call)


@pytest.mark.parametrize(
    "where", [key for key, (kind, _, _) in RAISED.items() if kind in {"ResultsError", "UnusableTaskError"}]
)
def test_an_error_about_results_has_its_remedy_as_an_argument(where):
    assert "remedy" in {argument.arg for argument in RAISED[where][1].keywords}


def test_a_message_has_one_remedy_only():
    texts = {
        f"{file}:{node.lineno}": text_of(node)
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr | ast.Constant) and "(remedy: " in text_of(node)
    }
    texts = {where: text for where, text in texts.items() if "``" not in text and "\n" not in text}
    assert len(texts) > 200
    assert [where for where, text in texts.items() if text.count("(remedy: ") > 1] == []


def test_the_message_of_a_lock_names_a_remedy():
    locks = [
        (file, node)
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and named(node.func) == "exclusive_lock"
        and not any(argument.arg == "wait" for argument in node.keywords)  # which prints it as a notice
    ]
    assert len(locks) >= 5
    for file, node in locks:
        message = node.args[1]
        texts = [message] if not isinstance(message, ast.Name) else assigned(TREES[file], message.id)
        assert texts and all("(remedy: " in text_of(text) for text in texts), f"{file}:{node.lineno}"


def assigned(tree: ast.Module, name: str) -> list[ast.expr]:
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and name in map(named, node.targets)
    ]


def test_results_errors_cannot_be_made_without_a_remedy():
    with pytest.raises(TypeError):
        ResultsError(Path("a"), "is wrong")  # pyright: ignore[reportCallIssue]
    assert (
        str(ResultsError(Path("a"), "is wrong", row=3, remedy="mend it"))
        == "a row 3: is wrong (remedy: mend it)"
    )
