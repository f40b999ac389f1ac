import type { Type } from '@nestjs/common';
import type { ModulesContainer } from '@nestjs/core';

/** Below every distance Nest hands out: the root module has the smallest, 0. */
const LAST_TO_START = -1;

/**
 * Makes `module` bootstrap last and be destroyed first.
 *
 * Nest calls hooks by distance from the root, deepest first, and in reverse at shutdown, so an imported module would
 * register before the application is ready and leave after the application's own resources are closed. Nest caches the
 * order when the application initializes; set from the constructor of a provider, the distance is in time.
 */
export const startLastAndLeaveFirst = (modules: ModulesContainer, module: Type<unknown>): void => {
  for (const ref of modules.values()) {
    if (ref.metatype === module) ref.distance = LAST_TO_START;
  }
};
