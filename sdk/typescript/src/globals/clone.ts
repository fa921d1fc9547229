/** `structuredClone`, without transfer. */

export function structuredClone<T>(value: T): T {
  return clone(value, new Map()) as T;
}

function clone(value: unknown, seen: Map<object, unknown>): unknown {
  if (typeof value === "function" || typeof value === "symbol") {
    throw new DOMException(`${String(value).slice(0, 100)} could not be cloned.`, "DataCloneError");
  }
  if (typeof value !== "object" || value === null) return value;
  if (seen.has(value)) return seen.get(value);
  const copy = empty(value);
  seen.set(value, copy);
  if (copy instanceof Map) {
    for (const [key, item] of value as Map<unknown, unknown>) copy.set(clone(key, seen), clone(item, seen));
  } else if (copy instanceof Set) {
    for (const item of value as Set<unknown>) copy.add(clone(item, seen));
  } else if (copy instanceof Error) {
    if (Object.hasOwn(value, "cause")) {
      const cause = clone((value as Error).cause, seen);
      Object.defineProperty(copy, "cause", { value: cause, configurable: true, writable: true });
    }
  } else if (Array.isArray(copy) || Object.getPrototypeOf(copy) === Object.prototype) {
    for (const key of Object.keys(value)) {
      (copy as Record<string, unknown>)[key] = clone((value as Record<string, unknown>)[key], seen);
    }
  }
  return copy;
}

const ERRORS: Record<string, new (message: string) => Error> = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** The copy, before what it holds is copied. */
function empty(value: object): object {
  if (Array.isArray(value)) return new Array(value.length);
  if (value instanceof Date) return new Date(value.getTime());
  if (value instanceof RegExp) return new RegExp(value.source, value.flags);
  if (value instanceof Map) return new Map();
  if (value instanceof Set) return new Set();
  if (value instanceof ArrayBuffer) return value.slice(0);
  if (value instanceof Number || value instanceof String || value instanceof Boolean) return Object(value.valueOf());
  if (ArrayBuffer.isView(value)) {
    const buffer = value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength);
    return new (value.constructor as new (buffer: ArrayBufferLike) => object)(buffer);
  }
  if (value instanceof Error) {
    const copy = new (ERRORS[value.name] ?? Error)(value.message);
    Object.defineProperty(copy, "stack", { value: value.stack, configurable: true, writable: true });
    return copy;
  }
  if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef) {
    throw new DOMException(`${String(value)} could not be cloned.`, "DataCloneError");
  }
  return {};
}
