/**
 * What to print when an application cannot start: plain words for what a person can mend, the whole stack for what is
 * a defect.
 *
 * @param addr what the application wanted to listen on, for an address that is in use
 */
export function explainFailure(app: string, error: unknown, addr?: { value: string; setting: string }): string {
  const message = error instanceof Error ? error.message : String(error);
  if (addr !== undefined && /EADDRINUSE|address already in use/.test(message)) {
    return `${app}: cannot listen on ${addr.value}: the address is in use. Stop who holds it, or choose another: ${addr.setting}.`;
  }
  if (addr !== undefined && /EADDRNOTAVAIL|EACCES|No address added|ENOTFOUND|Name resolution/.test(message)) {
    return `${app}: cannot listen on ${addr.value}: ${message}. Choose another address: ${addr.setting}.`;
  }
  if (isExplained(error)) return `${app}: ${message}`;
  return `${app}: ${error instanceof Error ? (error.stack ?? message) : message}`;
}

/** Errors whose message says all: the discovery library's, and those of the file system with a path. */
function isExplained(error: unknown): boolean {
  if (!(error instanceof Error)) return true;
  if ('code' in error && typeof error.code === 'string' && error.name.endsWith('Error')) {
    return error.name !== 'Error' || 'path' in error;
  }
  return false;
}
