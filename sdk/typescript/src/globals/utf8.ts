/** UTF-8 from and to JavaScript's strings, which the engine does not give. */

/** What is no well-formed Unicode becomes U+FFFD. */
export function encode(text: string): Uint8Array<ArrayBuffer> {
  const whole = (text as string & { toWellFormed(): string }).toWellFormed();
  // The engine's own escape is many times faster than a loop over code points.
  const bytes = unescape(encodeURIComponent(whole));
  const encoded = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) encoded[i] = bytes.charCodeAt(i);
  return encoded;
}

/** How many characters are joined at once: arguments of a call are bounded by the stack. */
const JOIN_MAX = 1024;

/** The text, and how many bytes at the end are the start of a character that is not whole. */
export function decode(bytes: Uint8Array, isFatal: boolean, isEnd: boolean): { text: string; left: number } {
  const parts: string[] = [];
  let units: number[] = [];
  let at = 0;
  while (at < bytes.length) {
    const { point, length, isCut } = next(bytes, at);
    if (isCut && !isEnd) break;
    if (point < 0 && isFatal) throw new TypeError("The encoded data was not valid UTF-8");
    if (point > 0xffff) units.push(0xd800 + ((point - 0x10000) >> 10), 0xdc00 + ((point - 0x10000) & 0x3ff));
    else units.push(point < 0 ? 0xfffd : point);
    at += length;
    if (units.length >= JOIN_MAX) {
      parts.push(String.fromCharCode(...units));
      units = [];
    }
  }
  parts.push(String.fromCharCode(...units));
  return { text: parts.join(""), left: bytes.length - at };
}

/**
 * The code point at `at`, below 0 where there is none, and how many bytes it takes: of an ill-formed sequence as many
 * as could have begun a well-formed one, as the Encoding Standard wants it.
 */
function next(bytes: Uint8Array, at: number): { point: number; length: number; isCut: boolean } {
  const first = bytes[at]!;
  if (first < 0x80) return { point: first, length: 1, isCut: false };
  const length =
    first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0;
  if (length === 0) return { point: -1, length: 1, isCut: false };
  let point = first & (0x7f >> length);
  // The second byte's range rules out overlong forms, surrogates and what is beyond U+10FFFF.
  let low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  let high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  for (let taken = 1; taken < length; taken++) {
    const byte = bytes[at + taken];
    if (byte === undefined) return { point: -1, length: taken, isCut: true };
    if (byte < low || byte > high) return { point: -1, length: taken, isCut: false };
    point = (point << 6) | (byte & 0x3f);
    low = 0x80;
    high = 0xbf;
  }
  return { point, length, isCut: false };
}
