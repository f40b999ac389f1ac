/**
 * Does an entry of `retryableMethods` name this method? Entries are `Service/Method` or `Service/*`, the service with its
 * package or without. Paths are `package.Service/Method`, with or without the leading slash.
 */
export const namesMethod = (entry: string, path: string): boolean => {
  const [entryService = '', entryMethod = ''] = split(entry);
  const [service = '', method = ''] = split(path);
  if (entryMethod !== '*' && entryMethod !== method) return false;
  return entryService === service || (!entryService.includes('.') && service.endsWith(`.${entryService}`));
};

/** True for an entry without a package: a service config, which matches by full name, cannot express it. */
export const lacksPackage = (entry: string): boolean => !split(entry)[0]?.includes('.');

export const split = (path: string): string[] => path.replace(/^\//, '').split('/');
