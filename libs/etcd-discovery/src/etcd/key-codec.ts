import { isUtf8 } from 'node:buffer';

/**
 * Keys are strings to this library and bytes to etcd. Anyone can write a key that is not UTF-8; replacing such bytes
 * would make two keys one, and would send a paged list back to the same page for ever. So they are kept: a byte that
 * is not part of valid UTF-8 becomes the lone surrogate U+DC00 + byte, which no valid text contains, and comes back
 * out as that byte ("surrogateescape", PEP 383).
 */
export const decodeKey = (bytes: Buffer): string => {
  const decoded = bytes.toString('utf8');
  // What is not UTF-8 is decoded to this character; a key that holds it is looked at closely.
  if (!decoded.includes('\ufffd') || isUtf8(bytes)) return decoded;
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    if (length > 0) text += bytes.toString('utf8', at, at + length);
    else text += String.fromCharCode(0xdc00 + bytes[at]!);
    at += length || 1;
  }
  return text;
};

/** The reverse of `decodeKey`. */
export const encodeKey = (key: string): Buffer => {
  if (!/\p{Surrogate}/u.test(key)) return Buffer.from(key, 'utf8');
  const parts: Buffer[] = [];
  for (const character of key) {
    const point = character.codePointAt(0)!;
    const escaped = point >= 0xdc80 && point <= 0xdcff;
    parts.push(escaped ? Buffer.from([point - 0xdc00]) : Buffer.from(character, 'utf8'));
  }
  return Buffer.concat(parts);
};

/** Length of the valid UTF-8 sequence that starts at `at`, 0 if none does. */
const sequenceLength = (bytes: Buffer, at: number): number => {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
    if (isUtf8(bytes.subarray(at, at + length))) return length;
  }
  return 0;
};
