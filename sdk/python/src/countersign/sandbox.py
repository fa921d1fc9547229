"""Loads an agent's modules into a component, when it is built, and closes it for what no agent may do.

Everything here runs in the component's own CPython. At build time it sees the project's files; afterwards none. So what
an execution will import must be loaded here, and what it may not have is refused here, where its line is known.
"""

from __future__ import annotations

import gc
import importlib
import json
import linecache
import os
import sys
import tokenize
import traceback
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

from countersign import imports
from countersign.agent import Agent
from countersign.loop import author_path

MARK = "countersign-build-failed:"
"""Stands before the JSON of what is wrong, among all else that componentize-py prints."""

PRELOADED = (
    "_strptime", "base64", "calendar", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum",
    "fractions", "hashlib", "hmac", "html", "inspect", "json", "linecache", "locale", "logging", "random", "secrets",
    "statistics", "string", "textwrap", "traceback", "tracemalloc", "uuid", "warnings", "zoneinfo",
    "_colorize", "encodings.ascii", "encodings.latin_1", "encodings.idna", "encodings.cp1252",
    "encodings.utf_16", "stringprep", "unicodedata", "heapq", "bisect", "functools", "operator", "importlib.resources",
)  # fmt: skip
"""What the standard library loads only when it needs it, and what functions like to import by themselves."""


class BuildFailed(Exception):
    """Why no component can be made of these modules; its text is for the author."""

    def __init__(self, why: str) -> None:
        super().__init__(MARK + json.dumps(why))


def load(module: str, author: list[str]) -> Agent:
    """Imports the author's module and all that it may need, and returns its agent.

    `author` are the folders that hold the author's own files.
    """
    guard = Guard(author)
    sys.meta_path.insert(0, guard)
    failed: BaseException | None = None
    loaded: ModuleType | None = None
    try:
        loaded = importlib.import_module(module)
    except BaseException as error:
        failed = error
    problems = preload(author, _files_of(failed))
    if failed is not None or problems:
        raise BuildFailed("\n".join(problems) if problems else _explain(failed, author))
    agent = _agent_in(loaded, module)
    for name in PRELOADED:
        importlib.import_module(name)
    sys.meta_path.remove(guard)
    _keep_lines(author)
    close()
    gc.collect()
    gc.freeze()
    return agent


def _agent_in(loaded: Any, module: str) -> Agent:
    agents = {id(value): (name, value) for name, value in vars(loaded).items() if isinstance(value, Agent)}
    if not agents:
        raise BuildFailed(f'{module}.py has no agent; write `app = Agent(node_id="…", version="…")` in it')
    if len(agents) > 1:
        names = ", ".join(name for name, _ in agents.values())
        raise BuildFailed(f"{module}.py has several agents: {names}; a component has one")
    [(name, agent)] = agents.values()
    if not agent.functions:
        raise BuildFailed(f"the agent `{name}` in {module}.py has no functions; put `@{name}.function()` before one")
    return agent


class Guard:
    """Refuses to import what would need a network, and says who imports it."""

    def __init__(self, author: list[str]) -> None:
        self.author = tuple(author)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        why = imports.refused(name, is_author=False)
        if why is None or _is_own(name, self.author):
            return None
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        by = frame.f_globals.get("__name__", "?") if frame is not None else "?"
        while frame is not None and not frame.f_code.co_filename.startswith(self.author):
            frame = frame.f_back
        if frame is None:
            raise ImportError(f"`{name}` cannot be imported: {why}", name=name)
        place = f"{author_path(frame.f_code.co_filename)}:{frame.f_lineno}"
        if by == frame.f_globals.get("__name__"):
            raise ImportError(f"{place}: `{name}` cannot be imported: {why}", name=name)
        raise ImportError(f"{place}: what is imported here needs `{name}` (in `{by}`): {why}", name=name)


def preload(author: list[str], files: list[str]) -> list[str]:
    """Loads what functions of the author's modules import when they run. Returns what is wrong with their imports."""
    problems: list[str] = []
    done: set[str] = set()
    while True:
        modules = {path: name for name, module in list(sys.modules.items()) if (path := _path(module))}
        todo = [path for path in {*modules, *files} if path.startswith(tuple(author)) and path not in done]
        if not todo:
            return sorted(problems)
        for path in sorted(todo):
            done.add(path)
            name = modules.get(path, "")
            is_package = path.endswith("__init__.py")
            for found in imports.find(_source(path), name if is_package else name.rpartition(".")[0]):
                why = None if _is_own(found.module, author) else imports.refused(found.module, is_author=True)
                if why is not None and not found.is_guarded:
                    problems.append(f"{author_path(path)}:{found.line}: `{found.module}` cannot be imported: {why}")
                elif why is None and found.is_lazy and (wrong := _import_lazily(found)):
                    problems.append(f"{author_path(path)}:{found.line}: {wrong}")


def _is_own(module: str, author: Iterable[str]) -> bool:
    """Whether the author has a module of that name, whatever else is called so."""
    stems = [folder + module.partition(".")[0] for folder in author]
    return any(os.path.isfile(f"{stem}.py") or os.path.isfile(f"{stem}/__init__.py") for stem in stems)


def _import_lazily(found: imports.Import) -> str | None:
    for name in (found.module, *found.submodules):
        try:
            importlib.import_module(name)
        except Exception as error:
            # `from a import b`, where b is no module.
            if name == found.module and not found.is_guarded:
                return str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
    return None


def _path(module: Any) -> str | None:
    path = getattr(module, "__file__", None)
    return path if isinstance(path, str) and path.endswith(".py") else None


def _files_of(failed: BaseException | None) -> list[str]:
    """The files on the way to an error: a module that failed is no longer among the loaded ones."""
    if failed is None or isinstance(failed, SyntaxError):
        return []
    return [frame.filename for frame in traceback.extract_tb(failed.__traceback__) if frame.filename.endswith(".py")]


def _source(path: str) -> str:
    with tokenize.open(path) as file:
        return file.read()


def _explain(failed: BaseException | None, author: list[str]) -> str:
    if isinstance(failed, SyntaxError):
        name = author_path(failed.filename or "?")
        shown = "".join(traceback.format_exception_only(failed)[1:]).rstrip()
        return f"{name}:{failed.lineno}: syntax error: {failed.msg}\n{shown}"
    assert failed is not None
    frames = [frame for frame in traceback.extract_tb(failed.__traceback__) if frame.filename.startswith(tuple(author))]
    place = f"{author_path(frames[-1].filename)}:{frames[-1].lineno}: " if frames else ""
    if isinstance(failed, ImportError):
        native = _native_part(failed.name)
        if native:
            return (
                f"{place}`{native}` cannot be imported: it is not pure Python. It needs an extension module, and there "
                "is none for WebAssembly; use a library without one"
            )
        if _is_guards(failed):
            return str(failed)
        return f"{place}{failed}"
    return f"{place}{type(failed).__name__}: {failed}"


def _is_guards(failed: ImportError) -> bool:
    """Whether the guard has written the message, place and all."""
    return "cannot be imported: " in str(failed) or "what is imported here needs" in str(failed)


def _native_part(module: str | None) -> str | None:
    """The package that a missing module belongs to, if that package has extension modules for another machine."""
    package = (module or "").partition(".")[0]
    for folder in sys.path:
        where = os.path.join(folder, package)
        if package and os.path.isdir(where):
            for _, _, names in os.walk(where):
                if any(name.endswith((".so", ".pyd", ".dylib")) for name in names):
                    return package
    return None


def _keep_lines(author: list[str]) -> None:
    """Keeps the author's source lines for tracebacks: when one is printed, there are no files."""
    for module in list(sys.modules.values()):
        path = _path(module)
        if path is not None and path.startswith(tuple(author)):
            lines = _source(path).splitlines(keepends=True)
            # Without a time of change, `linecache` does not look whether the file is still the same.
            linecache.cache[path] = (sum(map(len, lines)), None, lines, path)


# What an agent may not do when it runs.

NO_FILES = "an agent has no files; what it needs of a file, read at the top of a module, which runs when it is built"
NO_NETWORK = "an agent has no network; use app.ai to ask a model, app.call to run another agent, app.pause to wait"
NO_PROCESSES = "an agent cannot start processes; use app.call to run another agent"
NO_THREADS = "an agent has no threads; use asyncio.gather or asyncio.create_task to do several things at once"


def close() -> None:
    """Makes what cannot work in a component say so. The host would refuse it anyway, in fewer words."""
    import builtins
    import io
    import socket
    import subprocess
    import threading

    targets: list[tuple[Any, str, str]] = [
        (builtins, "open", NO_FILES),
        (io, "open", NO_FILES),
        (os, "open", NO_FILES),
        (os, "listdir", NO_FILES),
        (os, "scandir", NO_FILES),
        (os, "mkdir", NO_FILES),
        (socket.socket, "__init__", NO_NETWORK),
        (socket, "getaddrinfo", NO_NETWORK),
        (socket, "create_connection", NO_NETWORK),
        (subprocess.Popen, "__init__", NO_PROCESSES),
        (threading.Thread, "start", NO_THREADS),
    ]
    for owner, name, why in targets:
        setattr(owner, name, _refusing(why))
    sys.meta_path.append(TooLate())


def _refusing(why: str) -> Any:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(why)

    return refuse


class TooLate:
    """Says why a module that was not loaded when the component was built cannot be loaded any more."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        raise ModuleNotFoundError(
            f"`{name}` was not loaded when the component was built, and cannot be now; import it at the top of a "
            "module",
            name=name,
        )
