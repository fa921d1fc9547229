/** What checks a value: a Standard Schema, such as Zod's, or a plain JSON Schema. */

import { Validator } from "@cfworker/json-schema";

import type { FromJsonSchema, JsonSchema } from "./json-schema.js";
import type { StandardIssue, StandardJsonSchemaConverter, StandardSchema } from "./standard.js";
import { stringify } from "./values.js";

/** A Zod schema, any other Standard Schema that can be written as JSON Schema, or a JSON Schema itself. */
export type Schema = StandardSchema<any, any> | JsonSchema;

/** What a value is after it was checked. */
export type Checked<S> = S extends StandardSchema<any, infer Output> ? Output : FromJsonSchema<S>;

/** What a value is before it is checked: with Zod, what has a default may be left out. */
export type Unchecked<S> = S extends StandardSchema<infer Input, any> ? Input : FromJsonSchema<S>;

/** A value as the schema gives it back, or what is wrong with it, each thing with its place. */
export type Verdict<T> = { value: T; issues?: undefined } | { issues: string[] };

/** A schema, made ready. */
export interface Check<T> {
  /** The JSON Schema, as text; none: any JSON. */
  readonly json: string | undefined;
  check(value: unknown): Verdict<T> | Promise<Verdict<T>>;
}

const TARGET = "draft-2020-12";

/** At most so many things that are wrong are told. */
const ISSUES_MAX = 10;

/**
 * Makes a schema ready.
 *
 * @param direction Whether its JSON Schema is that of what is given to it, or of what it makes of that.
 * @throws TypeError if it is no schema, or cannot be written as JSON Schema.
 */
export function check<S extends Schema>(schema: S, direction: "input" | "output" = "input"): Check<Checked<S>> {
  if (schema === null || (typeof schema !== "object" && typeof schema !== "function")) {
    throw new TypeError(`a schema is a Zod schema or a JSON Schema, not ${String(schema)}`);
  }
  return isStandard(schema) ? standard(schema, direction) : plain(schema as JsonSchema);
}

function isStandard(schema: Schema): schema is StandardSchema<any, any> {
  return typeof (schema as Partial<StandardSchema>)["~standard"] === "object";
}

function standard<T>(schema: StandardSchema<any, any>, direction: "input" | "output"): Check<T> {
  const properties = schema["~standard"] as StandardSchema["~standard"] & { jsonSchema?: StandardJsonSchemaConverter };
  if (!properties.jsonSchema) {
    throw new TypeError(
      `the ${properties.vendor} schema cannot be written as JSON Schema; Zod can from 4.2 on, and others with the ` +
        "adapter of their own for Standard JSON Schema",
    );
  }
  const { $schema: _, ...json } = properties.jsonSchema[direction]({ target: TARGET });
  return {
    json: Object.keys(json).length > 0 ? stringify(json) : undefined,
    check(value) {
      const result = properties.validate(value);
      return result instanceof Promise ? result.then(verdict<T>) : verdict<T>(result);
    },
  };
}

function verdict<T>(result: { value?: unknown; issues?: readonly StandardIssue[] | undefined }): Verdict<T> {
  if (!result.issues) return { value: result.value as T };
  return { issues: told(result.issues.map(({ message, path }) => at(path?.map(key) ?? [], message))) };
}

function key(segment: PropertyKey | { readonly key: PropertyKey }): PropertyKey {
  return typeof segment === "object" ? segment.key : segment;
}

function plain<T>(schema: JsonSchema): Check<T> {
  const json = stringify(schema);
  if (json === undefined) throw new TypeError("a JSON Schema is an object");
  let validator: Validator | undefined;
  return {
    json: json === "{}" ? undefined : json,
    check(value) {
      validator ??= new Validator(JSON.parse(json), "2020-12", false);
      const { valid, errors } = validator.validate(value);
      if (valid) return { value: value as T };
      // Of nested errors, those that hold others say nothing that the others do not say better.
      const leaves = errors.filter(({ keyword }) => !HOLDERS.has(keyword));
      const shown = leaves.length > 0 ? leaves : errors;
      return { issues: told(shown.map(({ instanceLocation, error }) => at(pointer(instanceLocation), error))) };
    },
  };
}

const HOLDERS = new Set(["properties", "items", "prefixItems", "additionalProperties", "allOf", "$ref", "not"]);

/** The steps of a JSON pointer such as `#/items/0`. */
function pointer(location: string): string[] {
  const steps = location.split("/").slice(1);
  return steps.map((step) => decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~"));
}

function at(path: PropertyKey[], message: string): string {
  return path.length > 0 ? `${path.map(String).join(".")}: ${message}` : message;
}

function told(issues: string[]): string[] {
  const distinct = [...new Set(issues)];
  const more = distinct.length - ISSUES_MAX;
  return more > 0 ? [...distinct.slice(0, ISSUES_MAX), `and ${more} more`] : distinct;
}
