/** How `console` shows values: much like Node does. */

const DEPTH_MAX = 4;
/** So many errors that caused each other are shown. */
const CAUSES_MAX = 16;
const ITEMS_MAX = 100;
const TEXT_MAX = 10_000;
/** What fits into so many columns stands on one line. */
const WIDTH = 80;

/** The text of a `console.log`: with `%s`, `%d`, `%i`, `%f`, `%j`, `%o`, `%O` and `%%` of the first argument filled in. */
export function format(values: readonly unknown[]): string {
  let rest = values;
  const parts: string[] = [];
  if (typeof values[0] === "string" && values.length > 1 && values[0].includes("%")) {
    const left = values.slice(1);
    parts.push(values[0].replace(/%[sdifjoOc%]/g, (placeholder) => fill(placeholder, left)));
    rest = left;
  }
  parts.push(...rest.map((value) => (typeof value === "string" ? value : inspect(value))));
  return parts.join(" ");
}

function fill(placeholder: string, left: unknown[]): string {
  if (placeholder === "%%") return "%";
  if (left.length === 0) return placeholder;
  const value = left.shift();
  switch (placeholder) {
    case "%d":
      return typeof value === "bigint" ? `${value}n` : String(typeof value === "object" ? NaN : Number(value));
    case "%i":
      return String(Number.parseInt(String(value), 10));
    case "%f":
      return String(Number.parseFloat(String(value)));
    case "%j":
      return safely(() => JSON.stringify(value) ?? "undefined");
    case "%c":
      return "";
    case "%s":
      return typeof value === "string" ? value : inspect(value);
    default:
      return inspect(value);
  }
}

/** A value as a programmer would write it down. */
export function inspect(value: unknown): string {
  return safely(() => show(value, [], ""));
}

/** Objects may have getters and proxies that throw; a log line must not end an agent. */
function safely(work: () => string): string {
  try {
    return work();
  } catch (error) {
    return `[could not be shown: ${error instanceof Error ? error.message : "?"}]`;
  }
}

function show(value: unknown, above: readonly object[], indent: string): string {
  switch (typeof value) {
    case "string":
      return quoted(value);
    case "bigint":
      return `${value}n`;
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "function":
      return named(value);
    case "object":
      return value === null ? "null" : showObject(value, above, indent);
    default:
      return String(value);
  }
}

function quoted(text: string): string {
  const cut = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}` : text;
  const quote = !cut.includes("'") ? "'" : !cut.includes('"') ? '"' : "`";
  const escaped = JSON.stringify(cut).slice(1, -1).replaceAll('\\"', '"');
  const more = text.length - cut.length;
  return `${quote}${escaped}${quote}${more > 0 ? `... ${more} more characters` : ""}`;
}

function named(value: Function): string {
  const isClass = /^class\b/.test(Function.prototype.toString.call(value));
  const kind = isClass ? "class" : "Function";
  return value.name === "" ? `[${kind} (anonymous)]` : `[${kind}${isClass ? " " : ": "}${value.name}]`;
}

function showObject(value: object, above: readonly object[], indent: string): string {
  if (above.includes(value)) return "[Circular]";
  if (value instanceof Error) return above.length > CAUSES_MAX ? "[Error]" : showError(value, above, indent);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (value instanceof Promise) return "Promise {}";
  if (value instanceof WeakMap || value instanceof WeakSet) return `${className(value)} { <items unknown> }`;
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return `[${className(value)}: ${show(value.valueOf(), above, indent)}]`;
  }
  if (above.length > DEPTH_MAX) return Array.isArray(value) ? "[Array]" : `[${className(value) || "Object"}]`;
  const inner = `${indent}  `;
  const within = [...above, value];
  const [head, open, close, items] = contents(value, within, inner);
  return laid(head, open, close, items, indent);
}

/** What stands before the brackets, the brackets, and what stands between them. */
function contents(value: object, within: readonly object[], inner: string): [string, string, string, string[]] {
  const name = className(value);
  if (Array.isArray(value)) {
    const head = name === "Array" ? "" : `${name}(${value.length}) `;
    return [head, "[", "]", [...listed(value, within, inner), ...fields(value, within, inner, true)]];
  }
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const items = value as unknown as ArrayLike<unknown>;
    return [`${name}(${items.length}) `, "[", "]", listed(items, within, inner)];
  }
  if (value instanceof ArrayBuffer) return ["ArrayBuffer ", "{", "}", [`byteLength: ${value.byteLength}`]];
  if (value instanceof Set) return [`${name}(${value.size}) `, "{", "}", listed([...value], within, inner)];
  if (value instanceof Map) {
    const pairs = [...value].slice(0, ITEMS_MAX);
    const shown = pairs.map(([key, item]) => `${show(key, within, inner)} => ${show(item, within, inner)}`);
    return [`${name}(${value.size}) `, "{", "}", more(shown, value.size)];
  }
  const head = name === "Object" ? "" : `${name || "[Object: null prototype]"} `;
  return [head, "{", "}", fields(value, within, inner, false)];
}

function listed(items: ArrayLike<unknown>, within: readonly object[], inner: string): string[] {
  const shown: string[] = [];
  for (let i = 0; i < Math.min(items.length, ITEMS_MAX); i++) {
    shown.push(i in items ? show(items[i], within, inner) : "<empty>");
  }
  return more(shown, items.length);
}

function fields(value: object, within: readonly object[], inner: string, isArray: boolean): string[] {
  const keys = Reflect.ownKeys(value).filter((key) => {
    if (isArray && (key === "length" || (typeof key === "string" && /^\d+$/.test(key)))) return false;
    return Object.getOwnPropertyDescriptor(value, key)?.enumerable === true;
  });
  const shown = keys.slice(0, ITEMS_MAX).map((key) => {
    const written =
      typeof key === "symbol"
        ? `[${String(key)}]`
        : /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(key)
          ? key
          : quoted(key);
    const { get, set, value: item } = Object.getOwnPropertyDescriptor(value, key)!;
    if (get || set) return `${written}: ${get ? (set ? "[Getter/Setter]" : "[Getter]") : "[Setter]"}`;
    return `${written}: ${show(item, within, inner)}`;
  });
  return more(shown, keys.length);
}

function more(shown: string[], count: number): string[] {
  return count > shown.length ? [...shown, `... ${count - shown.length} more`] : shown;
}

function laid(head: string, open: string, close: string, items: string[], indent: string): string {
  if (items.length === 0) return `${head}${open}${close}`;
  const line = `${head}${open} ${items.join(", ")} ${close}`;
  if (line.length + indent.length <= WIDTH && !line.includes("\n")) return line;
  const inner = `${indent}  `;
  return `${head}${open}\n${items.map((item) => inner + item).join(",\n")}\n${indent}${close}`;
}

function className(value: object): string {
  let prototype: unknown = Object.getPrototypeOf(value);
  while (prototype !== null && typeof prototype === "object") {
    const constructor: unknown = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value;
    if (typeof constructor === "function" && constructor.name !== "") return constructor.name;
    prototype = Object.getPrototypeOf(prototype);
  }
  return "";
}

/** Says where the frames of a stack were written. A component puts the author's files in; elsewhere they are there. */
let mapStack: (stack: string) => string = (stack) => stack;

export function mapStacksBy(map: (stack: string) => string): void {
  mapStack = map;
}

/** An error with its stack, whichever way the engine writes it, and all that caused it. */
export function showError(error: Error, above: readonly object[] = [], indent = ""): string {
  const stack = typeof error.stack === "string" ? error.stack : "";
  const start = stack.search(/^ +at /m);
  const head = `${errorName(error)}${error.message ? `: ${error.message}` : ""}`;
  const mapped = start < 0 ? "" : mapStack(stack.slice(start)).trimEnd();
  const frames = mapped === "" ? "" : `\n${mapped.replaceAll(/^/gm, indent)}`;
  const within = [...above, error];
  const extra = Object.keys(error)
    .filter((key) => !SHOWN_BEFORE.has(key) && fieldOf(error, key) !== undefined)
    .map((key) => `${key}: ${show(fieldOf(error, key), within, `${indent}  `)}`);
  const fieldsShown = extra.length > 0 ? ` ${laid("", "{", "}", extra, indent)}` : "";
  const below = (title: string, one: unknown) => `\n${indent}  ${title} ${show(one, within, `${indent}  `)}`;
  const cause = error.cause === undefined ? "" : below("caused by", error.cause);
  const errors = error instanceof AggregateError ? error.errors.map((one) => below("one of", one)).join("") : "";
  return `${head}${frames}${fieldsShown}${cause}${errors}`;
}

const SHOWN_BEFORE = new Set(["name", "message", "stack", "cause", "errors"]);

function fieldOf(error: Error, key: string): unknown {
  return (error as unknown as Record<string, unknown>)[key];
}

/** The name that an error gives itself, or else the name of its class. */
export function errorName(error: Error): string {
  if (typeof error.name === "string" && error.name !== "" && error.name !== "Error") return error.name;
  return error.constructor?.name || "Error";
}
