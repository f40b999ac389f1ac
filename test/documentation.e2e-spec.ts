import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import * as library from 'nestjs-etcd-discovery';
import * as testing from 'nestjs-etcd-discovery/testing';
import { describe, expect, it } from 'vitest';
import { repositoryRoot } from './support/child-process.js';
import { type Page, inlineCode, parsePage } from './support/markdown.js';
import { optionPaths, typeCheck } from './support/type-check.js';

const README = 'README.md';
const LIBRARY = 'libs/etcd-discovery/README.md';
const ENGLISH = 'docs/service-registration.md';
const CHINESE = 'docs/zh-CN/service-registration.md';
const FILES = [README, LIBRARY, ENGLISH, CHINESE, 'CONTRIBUTING.md'];

const read = (file: string) => readFileSync(join(repositoryRoot, file), 'utf8');
const pages = new Map(FILES.map((file) => [file, parsePage(read(file))]));
const page = (file: string): Page => pages.get(file)!;
const everyBlock = FILES.flatMap((file) =>
  page(file).blocks.map((block) => ({ ...block, title: `${file}:${block.line}` })),
);

const sourceDirectory = join(repositoryRoot, 'libs/etcd-discovery/src');
const librarySources = readdirSync(sourceDirectory, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
  // Messages are broken into several strings where they are long.
  .map((file) => ({ file, code: readFileSync(join(sourceDirectory, file), 'utf8').replaceAll(/['`] \+\s*['`]/g, '') }));

/** Lines without the indentation they share. */
const dedent = (code: string): string => {
  const lines = code.split('\n');
  const indents = lines.filter((line) => line.trim() !== '').map((line) => line.length - line.trimStart().length);
  return lines.map((line) => line.slice(Math.min(...indents))).join('\n');
};

const isQuotedFrom = (code: string, source: string): boolean => {
  const lines = source.split('\n');
  const count = code.split('\n').length;
  return lines.some((_, from) => dedent(lines.slice(from, from + count).join('\n')) === dedent(code));
};

describe('the code in the documentation', () => {
  const typescript = everyBlock.filter(({ language }) => language === 'ts');

  it('compiles against the library', () => {
    const snippets = typescript.filter(({ source }) => source === undefined);
    expect(snippets.length).toBeGreaterThan(8);
    // The last one is wrong on purpose: a check that never finds anything finds nothing here either.
    const wrong = {
      title: 'wrong',
      code: "import { DiscoveryService } from 'nestjs-etcd-discovery';\nnew DiscoveryService(1);",
    };
    const mistakes = typeCheck([...snippets, wrong]);
    expect(mistakes.filter((mistake) => !mistake.startsWith('wrong'))).toEqual([]);
    expect(mistakes.filter((mistake) => mistake.startsWith('wrong'))).not.toEqual([]);
  });

  it('is word for word what the file it is quoted from says', () => {
    const quotes = typescript.filter(({ source }) => source !== undefined);
    const different = quotes.filter(({ code, source }) => !isQuotedFrom(code, read(source!)));
    expect(different.map(({ title, source }) => `${title} is not in ${source}`)).toEqual([]);
    const examples = readdirSync(join(repositoryRoot, 'examples')).filter((file) => /^(?!support).*\.ts$/.test(file));
    for (const file of [ENGLISH, CHINESE]) {
      expect(page(file).blocks.map(({ source }) => source)).toEqual(
        expect.arrayContaining(examples.map((example) => `examples/${example}`)),
      );
    }
  });
});

describe('the options', () => {
  const options = optionPaths();
  const known = new Set(
    options.flatMap(({ path }) => path.split('.').map((_, i, all) => all.slice(0, i + 1).join('.'))),
  );
  const table = page(README).rows.slice(
    page(README).rows.findIndex(([first]) => first === 'option') + 1,
    page(README).rows.findIndex(([first]) => first === 'variable'),
  );

  it('are all in the table of the README, each with its default', () => {
    const wrong = options.flatMap(({ path, defaultValue }) => {
      const row = table.find(([first = '']) => inlineCode(first).includes(path));
      if (!row) return [`${path} is missing`];
      const shown = inlineCode(row[1] ?? '');
      return defaultValue === undefined || shown.includes(defaultValue) ? [] : [`${path}: default is ${defaultValue}`];
    });
    expect(wrong).toEqual([]);
  });

  it('in that table all exist', () => {
    expect(table.length).toBeGreaterThan(30);
    const named = table.flatMap(([first = '']) => inlineCode(first));
    expect(named.filter((path) => !known.has(path))).toEqual([]);
  });

  it.each([ENGLISH, CHINESE])('are all in %s', (file) => {
    const named = new Set(inlineCode(page(file).prose));
    expect(options.map(({ path }) => path).filter((path) => !named.has(path))).toEqual([]);
  });
});

describe('the names', () => {
  it('that the package exports are all on its page', () => {
    const named = new Set(inlineCode(page(LIBRARY).prose).map((code) => code.split('.')[0]));
    const exported = [...Object.keys(library), ...Object.keys(testing)];
    expect(exported.length).toBeGreaterThan(15);
    expect(exported.filter((name) => !named.has(name))).toEqual([]);
  });

  it('of the methods of DiscoveryService are all in the README and have a heading in the guide', () => {
    const methods = Object.getOwnPropertyNames(library.DiscoveryService.prototype).filter(
      (name) => !['constructor', 'close', 'use', 'firstSnapshot', 'patience', 'assertOpen'].includes(name),
    );
    expect(methods.length).toBeGreaterThan(8);
    const cells = page(README)
      .rows.map(([first = '']) => first)
      .join('\n');
    expect(methods.filter((name) => !cells.includes(name))).toEqual([]);
    for (const file of [ENGLISH, CHINESE]) {
      expect(
        methods.filter((name) => !page(file).prose.includes(`\`${name}`) && !page(file).prose.includes(`### ${name}`)),
      ).toEqual([]);
    }
  });
});

describe('the messages that the troubleshooting quotes', () => {
  const MESSAGES = [
    'not registered yet',
    'has no server',
    'never initialized',
    'advertising',
    'cannot be reached',
    'does not accept our credentials',
    'no live instance',
    'skipped ',
    'copies of @grpc/grpc-js are loaded',
    'no shutdown hook ran',
    'held by ',
    'the last known state is in use',
    'is a loopback address and etcd is on another machine',
  ];
  const text = FILES.map((file) => page(file).prose).join('\n');

  it.each(MESSAGES)('"%s" is what the library says', (message) => {
    expect(text.replaceAll('`', '')).toContain(message);
    expect(librarySources.some(({ code }) => code.includes(message))).toBe(true);
  });
});

describe('the environment variables', () => {
  it('that the library reads are all in the table of the README', () => {
    const variables = new Set(
      librarySources.flatMap(({ code }) =>
        [...code.matchAll(/\benv\.([A-Z][A-Z_]+)|'(ETCD_(?!DISCOVERY)[A-Z]+)'/g)]
          .map(([, direct, quoted]) => direct ?? quoted!)
          // Error codes look alike.
          .filter((name) => !/^ETCD_(UNAVAILABLE|AUTH|TLS)$/.test(name)),
      ),
    );
    expect(variables.size).toBeGreaterThan(3);
    const named = new Set(page(README).rows.flatMap(([first = '']) => inlineCode(first)));
    expect([...variables].filter((name) => !named.has(name))).toEqual([]);
  });
});

describe('the commands', () => {
  const commands = FILES.flatMap((file) => {
    const { blocks, prose } = page(file);
    const shell = blocks.filter(({ language }) => language === 'bash').map(({ code }) => code);
    return [...shell, ...inlineCode(prose)].map((text) => ({ file, text }));
  });
  const matches = (pattern: RegExp) =>
    commands.flatMap(({ file, text }) => [...text.matchAll(pattern)].map(([, name]) => ({ file, name: name! })));

  it('are the two that a new user types, first of all', () => {
    const shell = page(README).blocks.filter(({ language }) => language === 'bash');
    expect(shell.slice(0, 2).map(({ code }) => code)).toEqual(['npm ci && npm run demo', 'npm ci && npm test']);
  });

  it('that npm runs are in package.json', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const run = [...matches(/\bnpm run ([\w:-]+)/g), ...matches(/\bnpm (test|start)\b/g)];
    expect(run.length).toBeGreaterThan(8);
    expect(run.filter(({ name }) => !(name in scripts))).toEqual([]);
  });

  it('that start an application or an example name one that is there', () => {
    const { projects } = JSON.parse(read('nest-cli.json')) as { projects: Record<string, unknown> };
    const started = matches(/\bnest start ([\w-]+)/g).filter(({ name }) => !(name in projects));
    expect(started).toEqual([]);
    const examples = matches(/\bnode dist\/(examples\/[\w-]+)\.js/g);
    expect(examples.length).toBeGreaterThan(1);
    expect(examples.filter(({ name }) => !existsSync(join(repositoryRoot, `${name}.ts`)))).toEqual([]);
  });
});

describe('the links', () => {
  it.each(FILES)('of %s lead somewhere', (file) => {
    const broken = page(file).links.filter((link) => {
      if (/^https?:/.test(link)) return false;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? join(repositoryRoot, file) : resolve(repositoryRoot, dirname(file), path);
      if (!existsSync(target)) return true;
      if (anchor === undefined) return false;
      const headings = parsePage(read(relative(repositoryRoot, target))).headings;
      return !headings.some((heading) => heading.anchor === anchor);
    });
    expect(broken).toEqual([]);
  });
});

describe('the Chinese page', () => {
  const withoutComments = (code: string) =>
    code.replaceAll(/\s*(\/\/|\/\*\*|#(?= )).*$/gm, '').replaceAll(/\n{2,}/g, '\n');

  it('has what the English one has, in the same order', () => {
    expect(page(CHINESE).outline).toEqual(page(ENGLISH).outline);
  });

  it('has the same code, but for the comments', () => {
    const code = (file: string) => page(file).blocks.map((block) => withoutComments(block.code));
    expect(code(CHINESE)).toEqual(code(ENGLISH));
  });

  it('is in Chinese', () => {
    const chinese = /\p{Script=Han}/u;
    const names = page(CHINESE)
      .headings.filter(({ text }) => !chinese.test(text))
      .map(({ text }) => text);
    // What is left is the same in both languages: names of methods and products.
    const english = new Set(page(ENGLISH).headings.map(({ text }) => text));
    expect(names.filter((name) => !english.has(name))).toEqual([]);
    expect(names.length).toBeLessThan(page(CHINESE).headings.length / 3);
    const han = page(CHINESE).prose.match(/\p{Script=Han}/gu) ?? [];
    expect(han.length).toBeGreaterThan(page(ENGLISH).prose.split(/\s+/).length);
  });
});
