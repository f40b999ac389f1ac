/** A JSON object of unknown make, read by its own properties only. */
export class JsonObject {
  private constructor(private readonly value: object) {}

  /** Undefined for anything but an object. */
  static of(value: unknown): JsonObject | undefined {
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? new JsonObject(value) : undefined;
  }

  get(field: string): unknown {
    return Object.hasOwn(this.value, field) ? (this.value as Record<string, unknown>)[field] : undefined;
  }

  /** The field if it is a string that is not empty. */
  text(field: string): string | undefined {
    const value = this.get(field);
    return typeof value === 'string' && value !== '' ? value : undefined;
  }

  list(field: string): readonly unknown[] | undefined {
    const value = this.get(field);
    return Array.isArray(value) ? value : undefined;
  }
}

/**
 * Nesting of a JSON text, counted without parsing it: brackets outside strings. Right for valid JSON, at least as deep as
 * the parser would go for anything else.
 */
export const jsonDepth = (text: string): number => {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  // Codes and not characters: this runs over every value of every list.
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (inString) {
      if (code === BACKSLASH) index++;
      else if (code === QUOTE) inString = false;
    } else if (code === QUOTE) inString = true;
    else if (code === OPEN_BRACE || code === OPEN_BRACKET) deepest = Math.max(deepest, ++depth);
    else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) depth--;
  }
  return deepest;
};

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
