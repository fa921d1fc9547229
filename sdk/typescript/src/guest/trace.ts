/** Where in the author's files an error came from. */

import { decode } from "@jridgewell/sourcemap-codec";

import { inspect } from "../globals/inspect.js";

/** What `build/bundle.js` puts at the end of the bundle: of its source map, what a stack needs. */
interface SourceMap {
  sources: string[];
  mappings: string;
  /** How many lines stand in the component's script before the first of `mappings`. */
}

type Lines = ReturnType<typeof decode>;

let lines: Lines | undefined;

function sourceMap(): SourceMap | undefined {
  return (globalThis as { __countersignSourceMap?: SourceMap }).__countersignSourceMap;
}

/** An error that nobody caught, for the log. */
export function trace(thrown: unknown): string {
  return `Uncaught ${inspect(thrown)}`;
}

/** A stack, in the author's files where it was there; frames of this SDK and of the engine are left out. */
export function mapStack(stack: string): string {
  const frames = stack.split("\n").map(mapFrame);
  return frames.filter((frame) => frame !== "").join("\n");
}

/** `    at name (componentize-qjs:user.js:12:34)` */
const FRAME = /^( *at )(.*) \(.*:(\d+):(\d+)\)$/;

function mapFrame(frame: string): string {
  const match = FRAME.exec(frame);
  const map = sourceMap();
  if (!match || !map) return /\(native\)$/.test(frame) ? "" : frame;
  const place = original(map, Number(match[3]), Number(match[4]));
  if (place === undefined) return "";
  return `${match[1]}${match[2] || "<anonymous>"} (${place})`;
}

/** `src/agent.ts:12:34`; none for what is not the author's. */
function original(map: SourceMap, line: number, column: number): string | undefined {
  lines ??= decode(map.mappings);
  let found: Lines[number][number] | undefined;
  for (const segment of lines[line - 1] ?? []) {
    if (segment[0] > column - 1) break;
    found = segment;
  }
  if (!found || found.length === 1) return undefined;
  const source = map.sources[found[1]];
  return source ? `${source}:${found[2] + 1}:${found[3] + 1}` : undefined;
}
