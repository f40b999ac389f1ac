import { createRequire } from 'node:module';
import type { Node } from 'yaml';
import { InvalidOptionsError } from '../etcd-discovery.errors.js';
import { type KeyOrigin, rememberOrigin } from './option-origin.js';

/** Loaded with the first file: a process that is configured in code starts 20 ms sooner without it. */
const yaml = (): typeof import('yaml') => createRequire(import.meta.url)('yaml') as typeof import('yaml');

/**
 * Parses one YAML file whose top level is a map. Every map in the result remembers where it was written.
 *
 * @param file how messages name it
 * @throws InvalidOptionsError with line and column of every mistake; a key that is there twice is one
 */
export const parseConfig = (text: string, file: string): Record<string, unknown> => {
  const { LineCounter, isMap, parseAllDocuments } = yaml();
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  // No document at all in an empty file.
  const [document, second] = 'empty' in documents ? [] : documents;
  const problems = (document ? [...document.errors, ...document.warnings] : []).map(({ message, pos }) => {
    const { line, col } = lines.linePos(pos[0]);
    return `  - ${file}:${line}:${col}: ${message}`;
  });
  if (second) problems.push(`  - ${file}:${lines.linePos(second.range[0]).line}: a second document; expected one`);
  if (problems.length > 0) throw new InvalidOptionsError(`${file} is not valid YAML:\n${problems.join('\n')}`);
  // Few aliases are useful, many are an attack ("billion laughs").
  const value: unknown = document?.toJS({ maxAliasCount: 100 }) ?? {};
  if (!document || !isMap(document.contents)) {
    if (value !== null && typeof value === 'object' && Object.keys(value).length === 0) return {};
    throw new InvalidOptionsError(
      `${file}: expected a map at the top level, such as "etcd:" and "notification-server:"`,
    );
  }
  remember(document.contents, value, '', { file, lines });
  return value as Record<string, unknown>;
};

const remember = (
  node: Node | null | undefined,
  value: unknown,
  path: string,
  source: { file: string; lines: import('yaml').LineCounter },
): void => {
  const { isAlias, isMap, isScalar, isSeq } = yaml();
  // What an alias stands for is remembered where it was written.
  if (typeof value !== 'object' || value === null || !node || isAlias(node)) return;
  const below = (key: string) => (path === '' ? key : `${path}.${key}`);
  const keys = new Map<string, KeyOrigin>();
  if (isMap<Node, Node | null>(node)) {
    for (const { key, value: child } of node.items) {
      const name = isScalar(key) ? String(key.value) : undefined;
      if (name === undefined || !Object.hasOwn(value, name)) continue;
      if (key.range) keys.set(name, { line: source.lines.linePos(key.range[0]).line });
      remember(child, (value as Record<string, unknown>)[name], below(name), source);
    }
  } else if (isSeq<Node>(node)) {
    node.items.forEach((child, index) => {
      if (child.range) keys.set(String(index), { line: source.lines.linePos(child.range[0]).line });
      remember(child, (value as unknown[])[index], below(String(index)), source);
    });
  }
  rememberOrigin(value, { file: source.file, path, keys });
};
