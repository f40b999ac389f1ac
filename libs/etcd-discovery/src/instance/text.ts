/**
 * Characters that no name, address or metadata of ours may hold: control characters, line and paragraph separators,
 * unpaired surrogates, and the marks that reverse the direction of text. In a log line each of them can forge another.
 */
const UNSAFE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u;
const UNSAFE_ALL = new RegExp(UNSAFE.source, 'gu');

/** True when `text` holds a control character or one that can forge a log line. */
export const hasControlCharacters = (text: string): boolean => UNSAFE.test(text);

/**
 * `text` in double quotes for a log line or an error: unsafe characters escaped, cut to `limit` characters, so that
 * whoever chose the text chooses nothing else of the line.
 */
export const quote = (text: string, limit = 80): string => {
  const cut = text.length > limit ? `${text.slice(0, limit)}…` : text;
  const escaped = cut
    .replace(/["\\]/g, '\\$&')
    .replace(UNSAFE_ALL, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `"${escaped}"`;
};

/** Length in UTF-8, which is what etcd counts. */
export const byteLength = (text: string): number => Buffer.byteLength(text, 'utf8');
