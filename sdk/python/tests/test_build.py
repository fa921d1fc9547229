"""What `python -m countersign build` makes, and what it refuses.

Building a component takes ten seconds and more, so those tests run only if `COUNTERSIGN_TEST_BUILD` is set.
"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from countersign import imports
from countersign.build import BuildError, _why, check_sources, read_project

AGENT = 'from countersign import Agent\napp = Agent("x")\n'
FUNCTION = "@app.function()\nasync def f() -> None: ...\n"

BUILDS = unittest.skipUnless(
    os.environ.get("COUNTERSIGN_TEST_BUILD"), "set COUNTERSIGN_TEST_BUILD=1 to build components"
)


class Case(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name).resolve()

    def write(self, **files: str) -> None:
        (self.folder / "pyproject.toml").write_text('[project]\nname = "My_Agent"\n')
        for name, text in files.items():
            path = self.folder / (name.replace("__", "/") + ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


class Projects(Case):
    def refused(self) -> str:
        with self.assertRaises(BuildError) as caught:
            read_project(self.folder)
        return str(caught.exception)

    def test_a_project(self) -> None:
        self.write(app=AGENT)
        project = read_project(self.folder)
        self.assertEqual((project.name, project.module), ("my-agent", "app"))
        self.assertEqual(project.default_output, self.folder / "dist" / "my-agent.wasm")
        self.assertEqual(project.sources, [self.folder])

    def test_the_agent_may_be_elsewhere(self) -> None:
        self.write(src__bot=AGENT)
        self.assertIn("has no app.py or main.py", self.refused())
        manifest = self.folder / "pyproject.toml"
        manifest.write_text('[project]\nname = "a"\n[tool.countersign]\napp = "bot"\n')
        project = read_project(self.folder)
        self.assertEqual((project.module, project.sources), ("bot", [self.folder / "src", self.folder]))
        manifest.write_text('[project]\nname = "a"\n[tool.countersign]\napp = "../bot"\n')
        self.assertIn("is not the name of a module", self.refused())

    def test_a_folder_that_is_no_project(self) -> None:
        self.assertIn("has no pyproject.toml", self.refused())
        (self.folder / "pyproject.toml").write_text("[project")
        self.assertIn("pyproject.toml: Expected", self.refused())
        (self.folder / "pyproject.toml").write_text("[project]")
        self.assertIn("does not name the project", self.refused())


class Sources(Case):
    def problems(self) -> str:
        try:
            check_sources(read_project(self.folder))
        except BuildError as error:
            return str(error)
        return ""

    def test_what_no_agent_may_import_is_named_with_its_line(self) -> None:
        self.write(
            app=AGENT + "import helper\n", helper="def f():\n    from urllib import request\n    import requests.api\n"
        )
        problems = self.problems().splitlines()
        self.assertEqual(len(problems), 2)
        self.assertIn(
            "helper.py:2: `urllib.request` cannot be imported: an agent has no network. Use `app.ai`", problems[0]
        )
        self.assertIn("helper.py:3: `requests.api` cannot be imported", problems[1])

    def test_what_the_author_can_do_without_is_let_through(self) -> None:
        guarded = "try:\n    import httpx\nexcept ImportError:\n    httpx = None\n"
        checked = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import requests\n"
        self.write(app=AGENT + guarded + checked + "import urllib.parse, threading\n")
        self.assertEqual(self.problems(), "")

    def test_a_module_of_the_authors_own_may_have_any_name(self) -> None:
        self.write(app=AGENT + "import redis\nfrom groq import X\n", redis="", groq__inner="")
        (self.folder / "groq" / "__init__.py").write_text("X = 1\n")
        self.assertEqual(self.problems(), "")

    def test_a_link_out_of_the_project_is_named(self) -> None:
        with tempfile.TemporaryDirectory() as other:
            (Path(other) / "shared.py").write_text("")
            self.write(app=AGENT + "import shared\n", real="")
            try:
                (self.folder / "shared.py").symlink_to(Path(other) / "shared.py")
            except OSError:
                self.skipTest("this machine makes no symbolic links")
            self.assertIn("shared.py is behind a symbolic link that leads out of the project", self.problems())
        # One that stays in it is followed.
        (self.folder / "shared.py").unlink()
        (self.folder / "shared.py").symlink_to("real.py")
        self.assertEqual(self.problems(), "")

    def test_sources_of_other_encodings_are_read(self) -> None:
        self.write(app=AGENT)
        for text in (b"\xef\xbb\xbfimport socket\n", b"# coding: latin-1\nimport socket  # \xe4\n"):
            (self.folder / "app.py").write_bytes(text)
            self.assertIn("`socket` cannot be imported", self.problems())

    def test_modules_that_nobody_imports_are_not_looked_at(self) -> None:
        self.write(app=AGENT, other="import requests\n")
        self.assertEqual(self.problems(), "")

    def test_relative_imports_are_followed(self) -> None:
        self.write(app=AGENT + "import pack\n", pack__inner="import socket\n")
        (self.folder / "pack" / "__init__.py").write_text("from . import inner\n")
        self.assertIn("pack/inner.py:1: `socket`", self.problems())

    def test_imports_of_a_package(self) -> None:
        found = list(imports.find("from ..a import b\nfrom . import c\nimport d.e\n", "x.y"))
        self.assertEqual([each.module for each in found], ["x.a", "x.y", "d.e"])
        self.assertEqual(found[1].submodules, ("x.y.c",))

    def test_the_reason_is_found_in_what_componentize_py_prints(self) -> None:
        text = 'Traceback\ncountersign.sandbox.BuildFailed: countersign-build-failed:"a\\n\\u00fc"\n\nCaused by:'
        self.assertEqual(_why(text), "a\nü")
        self.assertIn("something else", _why("something else\n   0: frame\n"))


@BUILDS
class Components(Case):
    def build(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "countersign", "build", str(self.folder)]
        environment = os.environ | {"PYTHONPATH": str(Path(imports.__file__).parents[1])}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    def refused(self) -> str:
        done = self.build()
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertFalse((self.folder / "dist").is_dir() and list((self.folder / "dist").iterdir()))
        return done.stderr

    def test_a_component(self) -> None:
        self.write(
            app=AGENT + FUNCTION + "async def g():\n    import helper, csv\n", helper="X = open(__file__).read()\n"
        )
        done = self.build()
        self.assertEqual(done.returncode, 0, done.stderr)
        component = (self.folder / "dist" / "my-agent.wasm").read_bytes()
        self.assertTrue(component.startswith(b"\0asm\x0d"))
        self.assertLess(len(component), 32 << 20)

    def test_no_agent(self) -> None:
        self.write(app="x = 1\n")
        self.assertIn("app.py has no agent", self.refused())

    def test_no_functions(self) -> None:
        self.write(app=AGENT)
        self.assertIn("the agent `app` in app.py has no functions", self.refused())

    def test_a_syntax_error(self) -> None:
        self.write(app=AGENT + "def f(:\n")
        self.assertIn("app.py:3: syntax error", self.refused())

    def test_an_error_while_loading(self) -> None:
        self.write(app=AGENT + "import helper\n", helper="\n1 / 0\n")
        self.assertIn("helper.py:2: ZeroDivisionError: division by zero", self.refused())

    def test_a_module_that_a_function_would_not_find(self) -> None:
        self.write(app=AGENT + FUNCTION + "def g():\n    import not_there\n")
        self.assertIn("app.py:6: No module named 'not_there'", self.refused())
