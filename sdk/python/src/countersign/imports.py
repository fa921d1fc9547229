"""Which modules an agent may not import, and where a source file imports them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

MODELS = "use `app.ai` to ask a model: the host has the keys, and keeps the answers"
NETWORK = (
    "an agent has no network. Use `app.ai` to ask a model, `app.call` to run another agent, and `app.pause` to wait "
    "for somebody outside"
)
PROCESSES = "an agent cannot start processes. Use `app.call` to run another agent"

THIRD_PARTY: dict[str, str] = {
    **dict.fromkeys(("openai", "anthropic", "litellm", "mistralai", "cohere", "ollama", "groq"), MODELS),
    **dict.fromkeys(
        (
            "requests", "httpx", "aiohttp", "urllib3", "httplib2", "websockets", "websocket", "grpc", "boto3",
            "botocore", "aiobotocore", "psycopg", "psycopg2", "asyncpg", "pymysql", "redis", "pymongo", "paramiko",
            "pycurl", "tornado", "uvicorn", "trio", "gevent",
        ),
        NETWORK,
    ),
}  # fmt: skip
"""What needs a network whoever imports it."""

STANDARD: dict[str, str] = {
    **dict.fromkeys(
        (
            "socket", "socketserver", "ssl", "http.client", "http.server", "urllib.request", "ftplib", "smtplib",
            "imaplib", "poplib", "xmlrpc.client", "xmlrpc.server",
        ),
        NETWORK,
    ),
    **dict.fromkeys(("subprocess", "multiprocessing", "concurrent.futures.process"), PROCESSES),
}  # fmt: skip
"""What is refused to authors only: libraries import these for functions that nobody may ever call."""


def refused(module: str, *, is_author: bool) -> str | None:
    """Why a module may not be imported; None if it may."""
    parts = module.split(".")
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    tables = (THIRD_PARTY, STANDARD) if is_author else (THIRD_PARTY,)
    return next((table[name] for table in tables for name in names if name in table), None)


@dataclass(frozen=True)
class Import:
    """A module that a source file imports."""

    module: str
    submodules: tuple[str, ...]
    """What `from module import …` may mean besides: modules in it."""
    line: int
    is_lazy: bool
    """Whether it is imported when a function runs."""
    is_guarded: bool
    """Whether the source file can do without it."""


def find(source: str | bytes, package: str) -> Iterator[Import]:
    """What a module of `package` imports. `SyntaxError` if the source has one."""
    yield from _Finder(package).walk(ast.parse(source), is_lazy=False, is_guarded=False)


class _Finder:
    def __init__(self, package: str) -> None:
        self.package = package

    def walk(self, node: ast.AST, *, is_lazy: bool, is_guarded: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            lazy = is_lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            guarded = is_guarded or (isinstance(node, ast.Try) and child in node.body and _catches_import_errors(node))
            if isinstance(child, ast.If) and _is_for_type_checkers(child.test):
                for other in child.orelse:
                    yield from self.walk(ast.Module([other], []), is_lazy=lazy, is_guarded=guarded)
                continue
            yield from self._imports(child, lazy, guarded)
            yield from self.walk(child, is_lazy=lazy, is_guarded=guarded)

    def _imports(self, node: ast.AST, lazy: bool, guarded: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), node.lineno, lazy, guarded)
        elif isinstance(node, ast.ImportFrom):
            module = self._absolute(node)
            submodules = tuple(f"{module}.{alias.name}" for alias in node.names if alias.name != "*")
            yield Import(module, submodules, node.lineno, lazy, guarded)
            # `from urllib import request`
            for name in submodules:
                if refused(name, is_author=True) and not refused(module, is_author=True):
                    yield Import(name, (), node.lineno, lazy, guarded)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        parts = self.package.split(".") if self.package else []
        parts = parts[: len(parts) - (node.level - 1)]
        return ".".join([*parts, *([node.module] if node.module else [])])


def _catches_import_errors(node: ast.Try) -> bool:
    names = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
    for handler in node.handlers:
        caught = handler.type
        if caught is None:
            return True
        options = caught.elts if isinstance(caught, ast.Tuple) else [caught]
        if any(isinstance(option, ast.Name) and option.id in names for option in options):
            return True
    return False


def _is_for_type_checkers(test: ast.expr) -> bool:
    return (test.id if isinstance(test, ast.Name) else getattr(test, "attr", None)) == "TYPE_CHECKING"
