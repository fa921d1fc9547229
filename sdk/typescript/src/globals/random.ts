/** `Math.random` and the part of `crypto` that draws random numbers, from any source of random bytes. */

export type RandomBytes = (length: number) => Uint8Array;

/** xoshiro128**, seeded when the first number is drawn: what is drawn before an execution begins must not be kept. */
export function makeRandom(randomBytes: RandomBytes): () => number {
  let state: Uint32Array | undefined;
  const next = (s: Uint32Array): number => {
    const product = Math.imul(s[1]!, 5);
    const drawn = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return drawn;
  };
  return () => {
    state ??= new Uint32Array(new Uint8Array(randomBytes(16)).buffer);
    // 53 bits, which is what a number between 0 and 1 has room for.
    return ((next(state) >>> 5) * 2 ** 26 + (next(state) >>> 6)) / 2 ** 53;
  };
}

/** What Web Cryptography gives at once. */
const BYTES_MAX = 65_536;

export function makeCrypto(randomBytes: RandomBytes): object {
  return {
    getRandomValues<T extends ArrayBufferView>(array: T): T {
      if (!ArrayBuffer.isView(array) || array instanceof Float32Array || array instanceof Float64Array) {
        throw new TypeError("crypto.getRandomValues fills an array of integers");
      }
      if (array.byteLength > BYTES_MAX) {
        throw new DOMException(`crypto.getRandomValues gives at most ${BYTES_MAX} bytes at once`, "QuotaExceededError");
      }
      if (array.byteLength > 0) {
        new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(randomBytes(array.byteLength));
      }
      return array;
    },
    randomUUID(): string {
      const bytes = new Uint8Array(randomBytes(16));
      bytes[6] = (bytes[6]! & 0x0f) | 0x40;
      bytes[8] = (bytes[8]! & 0x3f) | 0x80;
      const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
    },
  };
}
