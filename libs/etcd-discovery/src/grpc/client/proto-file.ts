import { accessSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { InvalidOptionsError } from '../../etcd-discovery.errors.js';

/**
 * Checks that the proto files of a client are there, where proto-loader will look for them. Nest's own error says neither
 * which client nor which option.
 *
 * @throws InvalidOptionsError naming the service, the option, the path given and where it was looked for
 */
export const assertProtoFiles = (
  service: string,
  protoPath: string | readonly string[],
  includeDirs: readonly string[] = [],
): void => {
  const paths = typeof protoPath === 'string' ? [protoPath] : protoPath;
  for (const path of paths) {
    const candidates = isAbsolute(path)
      ? [path]
      : [...includeDirs.map((directory) => join(directory, path)), resolve(path)];
    // protobufjs brings these along.
    if (path.startsWith('google/protobuf/') || candidates.some(isReadable)) continue;
    throw new InvalidOptionsError(
      `protoPath of the gRPC client for "${service}": no readable file at "${path}"` +
        `${candidates.length === 1 && candidates[0] === path ? '' : ` (looked at ${candidates.join(', ')})`}. ` +
        'Give an absolute path, e.g. join(import.meta.dirname, …), and make sure the build copies .proto files',
    );
  }
};

const isReadable = (path: string): boolean => {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
};
