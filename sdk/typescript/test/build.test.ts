import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const SDK = fileURLToPath(new URL("..", import.meta.url));
const made: string[] = [];
after(() => made.forEach((folder) => rmSync(folder, { recursive: true })));

/** A project of these files, which has this SDK installed. */
function project(files: Record<string, string>): string {
  const folder = mkdtempSync(path.join(tmpdir(), "countersign-build-"));
  made.push(folder);
  mkdirSync(path.join(folder, "node_modules"));
  symlinkSync(SDK, path.join(folder, "node_modules", "countersign"), "junction");
  symlinkSync(path.join(SDK, "node_modules", "zod"), path.join(folder, "node_modules", "zod"), "junction");
  for (const [name, content] of Object.entries({
    "package.json": '{"name":"@me/my_agent","type":"module"}',
    ...files,
  })) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), content);
  }
  return folder;
}

function build(folder: string, ...args: string[]): { status: number | null; stderr: string } {
  const command = path.join(folder, "node_modules", "countersign", "bin", "countersign-build.js");
  const { status, stderr } = spawnSync(process.execPath, [command, folder, ...args], { encoding: "utf8" });
  return { status, stderr };
}

const AGENT = `import { Agent, ai } from "countersign";
export default new Agent({ name: "mine" }).function("f", async (input) => ai({ user: String(input) }));
`;

test("a project becomes a component, which is left alone until the project changes", () => {
  const folder = project({ "src/agent.ts": AGENT });
  const first = build(folder);
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stderr, /Agent mine 0\.0\.0: f/);
  const component = readFileSync(path.join(folder, "dist", "my-agent.wasm"));
  assert.deepEqual([...component.subarray(0, 8)], [0, 0x61, 0x73, 0x6d, 0x0d, 0, 1, 0]);
  const again = build(folder);
  assert.match(again.stderr, /my-agent\.wasm is up to date/);
  assert.ok(component.equals(readFileSync(path.join(folder, "dist", "my-agent.wasm"))));
  writeFileSync(path.join(folder, "src", "agent.ts"), AGENT.replace('"mine"', '"changed"'));
  assert.match(build(folder, "--no-check").stderr, /Agent changed 0\.0\.0: f[\s\S]*Wrote /);
});

test("package.json may name another entry, and it may be JavaScript", () => {
  const folder = project({
    "package.json": '{"name":"x","type":"module","countersign":{"entry":"lib/main.js"}}',
    "lib/main.js": AGENT,
  });
  const { status, stderr } = build(folder, "--no-check");
  assert.equal(status, 0, stderr);
  assert.ok(existsSync(path.join(folder, "dist", "x.wasm")));
});

/** What is wrong, the entry file, and what the build says of it. */
const FAILURES: [what: string, files: Record<string, string>, said: RegExp][] = [
  [
    "a module that waits",
    { "src/agent.ts": `await Promise.resolve();\n${AGENT}` },
    /The top of a module runs when the component is built, and cannot wait[\s\S]*src\/agent\.ts:1/,
  ],
  [
    "a promise that a module rejects",
    { "src/agent.ts": `\nvoid Promise.reject(new Error("lost"));\n${AGENT}` },
    /^error: the agent cannot be loaded: Error: lost\n    at src\/agent\.ts:2:\d+$/m,
  ],
  [
    "what the engine does not have",
    { "src/agent.ts": `\nnew (globalThis as any).Intl.NumberFormat();\n${AGENT}` },
    /the agent cannot be loaded: TypeError: [^]*at src\/agent\.ts:2/,
  ],
  ["no entry", {}, /found no entry file in .*write the agent in src\/agent\.ts/],
  [
    "an entry that is not there",
    { "package.json": '{"countersign":{"entry":"a.ts"}}' },
    /names the entry a\.ts, but there is no such file/,
  ],
  ["a package.json that is no JSON", { "package.json": "{" }, /package\.json: /],
  ["no default export", { "agent.ts": "export const x = 1;" }, /agent\.ts has no default export that is an `Agent`/],
  [
    "a default export of another kind",
    { "agent.ts": "export default 5;" },
    /agent\.ts has no default export that is an `Agent`/,
  ],
  [
    "no functions",
    { "agent.ts": 'import { Agent } from "countersign"; export default new Agent({ name: "a" });' },
    /has no functions: add one/,
  ],
  [
    "a duplicate function",
    {
      "agent.ts":
        'import { Agent } from "countersign";\nconst a = new Agent({ name: "a" }).function("f", () => 1);\n' +
        'export default a.function("f", () => 2);',
    },
    /two functions of the name `f`\s+at agent\.ts:3:\d+/,
  ],
  [
    "a bad name",
    { "agent.ts": 'import { Agent } from "countersign";\nexport default new Agent({ name: "My Agent" });' },
    /the agent's name must be 1 to 64 .* not "My Agent"\s+at agent\.ts:2:\d+/,
  ],
  [
    "a module of Node",
    { "agent.ts": `import { readFile } from "node:fs/promises";\n${AGENT}\nvoid readFile;` },
    /node:fs\/promises is a module of Node, and an agent runs without Node[\s\S]*agent\.ts:1:/,
  ],
  [
    "a required module of Node",
    { "agent.ts": `${AGENT}\n// @ts-ignore\nconst x = require("fs");` },
    /fs is a module of Node[\s\S]*agent\.ts:5:/,
  ],
  [
    "a package of the network",
    { "agent.ts": `// @ts-ignore\nimport axios from "axios";\n${AGENT}\nvoid axios;` },
    /axios cannot work in an agent[\s\S]*agent\.ts:2:/,
  ],
  [
    "a package that is not installed",
    { "agent.ts": `// @ts-ignore\nimport x from "nowhere";\n${AGENT}\nvoid x;` },
    /Could not resolve "nowhere"[\s\S]*agent\.ts:2:/,
  ],
  ["a syntax error", { "agent.ts": "export default new {" }, /agent\.ts[:(]1/],
  ["a type error", { "agent.ts": `${AGENT}\nconst n: number = "text";` }, /agent\.ts\(4,7\): error TS2322/],
  [
    "a global that is not there",
    { "agent.ts": `${AGENT}\nvoid fetch("https://example.com");` },
    /agent\.ts\(4,6\): error TS2304: Cannot find name 'fetch'/,
  ],
  [
    "an error at the top",
    { "agent.ts": `${AGENT}\nthrow new RangeError("at the top");` },
    /cannot be loaded: RangeError: at the top\s+at agent\.ts:4:7/,
  ],
  ["a loop at the top", { "agent.ts": `${AGENT}\nfor (;;);` }, /were not loaded after 10 seconds/],
  ["an ask at the top", { "agent.ts": `${AGENT}\ncrypto.randomUUID();` }, /drawn while a function runs/],
];

for (const [what, files, said] of FAILURES) {
  test(`a build fails for ${what}, and says so`, () => {
    const { status, stderr } = build(project(files));
    assert.equal(status, 1, stderr);
    assert.match(stderr, said);
    assert.doesNotMatch(stderr, /build\/\w+\.js:\d+/, "no stack of the builder's own");
  });
}

test("a folder or an option that is not there is named", () => {
  const folder = project({});
  assert.match(build(folder, "--nonsense").stderr, /Unknown option '--nonsense'[\s\S]*Usage: countersign-build/);
  const missing = spawnSync(process.execPath, [path.join(SDK, "bin", "countersign-build.js"), "/nowhere"], {
    encoding: "utf8",
  });
  assert.match(missing.stderr, /error: there is no folder/);
});

test(
  "the contract that comes with this package is the repository's",
  { skip: !existsSync(path.join(SDK, "../../wit")) },
  () => {
    for (const file of readdirSync(path.join(SDK, "../../wit"))) {
      const [theirs, ours] = [path.join(SDK, "../../wit", file), path.join(SDK, "wit/deps/countersign", file)];
      assert.equal(readFileSync(ours, "utf8"), readFileSync(theirs, "utf8"), `${file} differs: copy it here`);
    }
  },
);
