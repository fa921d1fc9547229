"""Makes a component of a project, with componentize-py."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from countersign import imports

COMPONENTIZE = "0.25.1"
"""The version whose CPython and bindings this SDK was made for."""

COMPONENT_PYTHON = (3, 14)
"""The CPython that it puts into components."""

COMPONENT_BYTES_MAX = 32 << 20
"""Largest component that a host takes."""

MARK = "countersign-build-failed:"
"""See `sandbox.MARK`; that module is loaded only inside a component."""

WIT = Path(__file__).parent / "wit"
ENTRY = "countersign_entry"


class BuildError(Exception):
    """Why there is no component, and what to do."""


@dataclass(frozen=True)
class Project:
    """What is to be built."""

    folder: Path
    name: str
    module: str

    @property
    def default_output(self) -> Path:
        return self.folder / "dist" / f"{self.name}.wasm"

    @property
    def sources(self) -> list[Path]:
        """The folders that hold the author's modules."""
        nested = self.folder / "src"
        return [nested, self.folder] if nested.is_dir() else [self.folder]


def read_project(folder: Path) -> Project:
    manifest = folder / "pyproject.toml"
    try:
        settings = tomllib.loads(manifest.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BuildError(
            f"{folder} has no pyproject.toml; `countersign new NAME --lang python` makes a project"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BuildError(f"{manifest}: {error}") from None
    name = settings.get("project", {}).get("name")
    if not isinstance(name, str) or not name:
        raise BuildError(f'{manifest} does not name the project; add\n[project]\nname = "my-agent"')
    return Project(folder, re.sub(r"[-_.]+", "-", name).lower(), _find_module(folder, settings))


def _find_module(folder: Path, settings: dict[str, Any]) -> str:
    chosen = settings.get("tool", {}).get("countersign", {}).get("app")
    candidates = ["app", "main"] if chosen is None else [chosen]
    for module in candidates:
        if not isinstance(module, str) or not all(part.isidentifier() for part in module.split(".")):
            raise BuildError(
                f'pyproject.toml: [tool.countersign] app = {module!r} is not the name of a module, as in "app"'
            )
        path = module.replace(".", "/")
        for place in (folder / "src", folder):
            if (place / f"{path}.py").is_file() or (place / path / "__init__.py").is_file():
                return module
    files = " or ".join(f"{module.replace('.', '/')}.py" for module in candidates)
    raise BuildError(f'{folder} has no {files}; write the agent there, or name its module in pyproject.toml:\n'
                     '[tool.countersign]\napp = "…"')  # fmt: skip


def check_sources(project: Project) -> None:
    """Finds in no time what the component's CPython would find in ten seconds: modules that no agent may import.

    Only what it is sure of. This interpreter may be older than the component's, so what it cannot read is left to it.
    """
    problems: list[str] = []
    todo, done = [project.module], set[str]()
    while todo:
        module = todo.pop()
        path = _source_of(project, module)
        if path is None or module in done:
            continue
        done.add(module)
        name = path.relative_to(project.folder).as_posix()
        if not any(path.resolve().is_relative_to(folder.resolve()) for folder in project.sources):
            raise BuildError(
                f"{name} is behind a symbolic link that leads out of the project, to {path.resolve()}; the component's "
                "CPython sees only the project. Copy it there, or install it as a package"
            )
        try:
            found = list(imports.find(path.read_bytes(), _package_of(path, module)))
        except SyntaxError as error:
            if sys.version_info < COMPONENT_PYTHON:
                continue
            raise BuildError(f"{name}:{error.lineno}: syntax error: {error.msg}") from None
        # Null bytes.
        except ValueError as error:
            raise BuildError(f"{name}: {error}") from None
        for each in found:
            why = imports.refused(each.module, is_author=True)
            is_own = _source_of(project, each.module.partition(".")[0]) is not None
            if why is not None and not each.is_guarded and not is_own:
                problems.append(f"{name}:{each.line}: `{each.module}` cannot be imported: {why}")
            todo += [each.module, *each.submodules]
    if problems:
        raise BuildError("\n".join(sorted(problems)))


def _source_of(project: Project, module: str) -> Path | None:
    """The file of a module, if it is the author's own."""
    for folder in project.sources:
        stem = folder / module.replace(".", "/")
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if module and path.is_file():
                return path
    return None


def _package_of(path: Path, module: str) -> str:
    return module if path.name == "__init__.py" else module.rpartition(".")[0]


def check_componentize() -> None:
    wanted = f'"{sys.executable}" -m pip install componentize-py=={COMPONENTIZE}'
    try:
        found = importlib.metadata.version("componentize-py")
    except importlib.metadata.PackageNotFoundError:
        raise BuildError(f"componentize-py is not installed; install it with\n  {wanted}") from None
    if found != COMPONENTIZE:
        raise BuildError(
            f"componentize-py {found} is installed, but {COMPONENTIZE} is needed; install it with\n  {wanted}"
        )


def build(project: Project, output: Path) -> int:
    """Writes the component and returns its size in bytes."""
    check_componentize()
    check_sources(project)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="countersign-") as scratch:
        made = Path(scratch) / "component.wasm"
        _componentize(project, Path(scratch), made)
        size = made.stat().st_size
        if size > COMPONENT_BYTES_MAX:
            raise BuildError(
                f"the component has {megabytes(size)}; a host takes {megabytes(COMPONENT_BYTES_MAX)}. CPython has 18 "
                "MB of that: import fewer libraries, and read less data at the top of modules"
            )
        # Beside its place, so that it gets there at once: who reads the output never finds half of it.
        part = output.with_name(output.name + ".part")
        part.write_bytes(made.read_bytes())
        part.replace(output)
    return size


def _componentize(project: Project, scratch: Path, made: Path) -> None:
    entry = scratch / "entry"
    nothing = scratch / "nothing" / "site-packages"
    entry.mkdir()
    nothing.mkdir(parents=True)
    folders = [entry, *project.sources, *_libraries()]
    mounts = {f"/{number}/": _mount_name(project, folder) for number, folder in enumerate(folders)}
    author = [f"/{number}/" for number, folder in enumerate(folders) if folder in project.sources]
    (entry / f"{ENTRY}.py").write_text(
        "from countersign import component\n"
        "from countersign.component import WitWorld\n"
        f"component.load({project.module!r}, {mounts!r}, {author!r})\n",
        encoding="utf-8",
    )
    paths = [argument for folder in folders for argument in ("--python-path", str(folder))]
    command = [
        sys.executable, "-c", "import sys, componentize_py; sys.exit(componentize_py.script())",
        "--wit-path", str(WIT), "--world", "agent-blocking", "--quiet", "componentize", ENTRY, *paths,
        "--output", str(made),
    ]  # fmt: skip
    # Without a virtual environment named, it would add all of the machine's packages.
    environment = os.environ | {"VIRTUAL_ENV": str(nothing.parent)}
    done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not made.is_file():
        raise BuildError(_why(done.stdout + done.stderr))


def _libraries() -> list[Path]:
    """Where this interpreter finds what is installed, the SDK itself included; not its standard library."""
    standard = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
    folders = [Path(__file__).parent.parent]
    for entry in sys.path[1:]:
        folder = Path(entry)
        if not folder.is_dir() or folder.resolve() in standard or folder.name == "lib-dynload":
            continue
        folders.append(folder)
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def _mount_name(project: Project, folder: Path) -> str:
    if folder == project.folder:
        return ""
    return "src/" if folder in project.sources else f"{folder.name}/"


def _why(text: str) -> str:
    """What is wrong, from the output of componentize-py."""
    for line in text.splitlines():
        _, mark, rest = line.partition(MARK)
        if mark:
            why, _ = json.JSONDecoder().raw_decode(rest)
            return str(why)
    lines = [line for line in text.splitlines() if not re.match(r" +(\d+: |at )", line)]
    return "componentize-py failed:\n" + "\n".join(lines[-40:])


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def run(folder: Path, output: Path | None) -> None:
    """Builds, and tells how it goes."""
    project = read_project(folder.resolve())
    output = (output or project.default_output).resolve()
    print(f"building {project.name} from {project.module.replace('.', '/')}.py", file=sys.stderr, flush=True)
    start = time.monotonic()
    try:
        size = build(project, output)
    except OSError as error:
        raise BuildError(f"cannot write {output}: {error}") from None
    shown = os.path.relpath(output)
    print(f"{shown}: {megabytes(size)}, in {time.monotonic() - start:.1f} s", file=sys.stderr)
