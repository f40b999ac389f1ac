/** What an unknown error says of itself, for log lines and reasons. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
