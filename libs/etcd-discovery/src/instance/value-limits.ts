/** Largest value that is written or parsed, bytes; looked at before anything else. */
export const MAX_VALUE_BYTES = 16 * 1024;

/** Deepest nesting of a value that is parsed: the object, its lists and maps, and one level for foreign metadata. */
export const MAX_VALUE_DEPTH = 3;

/** go-micro describes the types of its methods in `endpoints`; nothing of that is read. */
export const MAX_GO_MICRO_DEPTH = 24;

/** Most endpoints of one instance. */
export const MAX_ENDPOINTS = 16;

/** Longest `version` and `zone`, bytes. */
export const MAX_LABEL_BYTES = 128;
