import { join } from 'node:path';
import ts from 'typescript';
import { repositoryRoot } from './child-process.js';

/** A module of its own that exists only for the compiler. */
export interface Snippet {
  /** For error messages: `README.md:57`. */
  readonly title: string;
  readonly code: string;
}

const configuration = (): ts.CompilerOptions => {
  const path = join(repositoryRoot, 'tsconfig.json');
  const { config, error } = ts.readConfigFile(path, (file) => ts.sys.readFile(file)) as {
    config: unknown;
    error?: ts.Diagnostic;
  };
  if (error) throw new Error(ts.flattenDiagnosticMessageText(error.messageText, '\n'));
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, repositoryRoot);
  return { ...options, noEmit: true, incremental: false, tsBuildInfoFile: undefined, declaration: false };
};

/** Compiles snippets with the repository's own settings, in one program, and says what is wrong with each. */
export const typeCheck = (snippets: readonly Snippet[]): string[] => {
  const options = configuration();
  const host = ts.createCompilerHost(options);
  // In the root, so that they are ECMAScript modules and find the packages.
  const files = new Map(snippets.map((snippet, index) => [join(repositoryRoot, `snippet-${index}.ts`), snippet]));
  const real = ts.createCompilerHost(options);
  host.fileExists = (file) => files.has(file) || real.fileExists(file);
  host.readFile = (file) => files.get(file)?.code ?? real.readFile(file);
  host.getSourceFile = (file, ...rest) => {
    const snippet = files.get(file);
    if (!snippet) return real.getSourceFile(file, ...rest);
    // Says that these are ECMAScript modules, as package.json does for files that exist.
    const target = { languageVersion: ts.ScriptTarget.ES2023, impliedNodeFormat: ts.ModuleKind.ESNext } as const;
    return ts.createSourceFile(file, snippet.code, target, true);
  };
  const program = ts.createProgram([...files.keys()], options, host);
  return [...files].flatMap(([file, { title }]) => {
    const source = program.getSourceFile(file);
    if (!source) return [`${title}: not compiled`];
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map((diagnostic) => {
      const { line } = source.getLineAndCharacterOfPosition(diagnostic.start ?? 0);
      return `${title}, line ${line + 1} of the snippet: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n')}`;
    });
  });
};

/** One option: where it is, and what its comment says its default is. */
export interface OptionPath {
  readonly path: string;
  readonly defaultValue?: string;
}

/**
 * Every option that the exported type `EtcdDiscoveryOptions` knows, as dotted paths: objects and lists of objects are
 * followed, maps by service and unions with free keys are not.
 */
export const optionPaths = (): OptionPath[] => {
  const entry = join(repositoryRoot, 'libs/etcd-discovery/src/options/etcd-discovery-options.interface.ts');
  const program = ts.createProgram([entry], configuration());
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(entry);
  const declaration = source?.statements.find(
    (statement): statement is ts.InterfaceDeclaration =>
      ts.isInterfaceDeclaration(statement) && statement.name.text === 'EtcdDiscoveryOptions',
  );
  if (!source || !declaration) throw new Error(`${entry} has no interface EtcdDiscoveryOptions`);

  const isOurs = (type: ts.Type) =>
    type.symbol?.declarations?.some((node) => node.getSourceFile() === source) === true &&
    type.getCallSignatures().length === 0 &&
    type.getStringIndexType() === undefined;

  const walk = (type: ts.Type, prefix: string): OptionPath[] =>
    type.getProperties().flatMap((property) => {
      const path = `${prefix}${property.name}`;
      const full = checker.getTypeOfSymbolAtLocation(property, declaration);
      const parts = full.isUnion() ? full.types : [full];
      const inner = parts
        .map((part) => checker.getIndexTypeOfType(part, ts.IndexKind.Number) ?? part)
        .filter((part) => isOurs(part) && part.getProperties().some((member) => !isMethod(member)));
      const comment = ts.displayPartsToString(property.getDocumentationComment(checker));
      const defaultValue = /Default:? (?:`([^`]+)`|(\d+))/.exec(comment);
      const own: OptionPath = {
        path,
        ...(defaultValue ? { defaultValue: (defaultValue[1] ?? defaultValue[2])! } : {}),
      };
      return inner.length === 0 ? [own] : unique(inner.flatMap((part) => walk(part, `${path}.`)));
    });
  return walk(checker.getTypeAtLocation(declaration), '');
};

const isMethod = (symbol: ts.Symbol): boolean => (symbol.flags & ts.SymbolFlags.Method) !== 0;

const unique = (paths: readonly OptionPath[]): OptionPath[] => [
  ...new Map(paths.map((option) => [option.path, option])).values(),
];

/** JavaScript of a snippet, decorators and their metadata included, as the repository's build makes it. */
export const transpile = (code: string): string =>
  ts.transpileModule(code, { compilerOptions: { ...configuration(), module: ts.ModuleKind.ESNext, noEmit: false } })
    .outputText;
