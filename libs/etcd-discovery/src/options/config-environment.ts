import { ETCD_VARIABLES, sectionVariable, variable } from './environment.js';
import { isMap } from './option-section.js';
import { type KeyOrigin, originOf, rememberOrigin } from './option-origin.js';

/** Sections of a file that are options themselves; every other may be a registration. */
const OPTION_SECTIONS: ReadonlySet<string> = new Set(['etcd', 'client', 'services', 'discovery', 'shutdown']);

/** Lets the environment override a configuration file, in place, and remembers which variable did it. */
export const applyEnvironment = (config: Record<string, unknown>, env: NodeJS.ProcessEnv): void => {
  for (const [option, name] of Object.entries(ETCD_VARIABLES)) {
    const value = variable(env, name);
    if (value === undefined) continue;
    config.etcd ??= {};
    override(config.etcd, option, value, name);
  }
  for (const [section, value] of Object.entries(config)) {
    if (OPTION_SECTIONS.has(section) || !isMap(value)) continue;
    // A section with neither is the application's own business.
    if (!Object.hasOwn(value, 'addr') && !Object.hasOwn(value, 'name')) continue;
    for (const field of ['ADDR', 'NAME'] as const) {
      const name = sectionVariable(section, field);
      const given = variable(env, name);
      if (given !== undefined) override(value, field.toLowerCase(), given, name);
    }
  }
};

const override = (section: unknown, key: string, value: string, name: string): void => {
  // A section of another kind is reported when the options are read.
  if (!isMap(section)) return;
  section[key] = value;
  const origin = originOf(section);
  if (origin) (origin.keys as Map<string, KeyOrigin>).set(key, { variable: name });
  else rememberOrigin(section, { path: '', keys: new Map([[key, { variable: name }]]) });
};
