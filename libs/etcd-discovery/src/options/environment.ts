/**
 * The environment variables that the options know:
 *
 * | variable | option |
 * |---|---|
 * | `ETCD_ENDPOINTS` | `etcd.endpoints`, comma-separated |
 * | `ETCD_USERNAME` | `etcd.username` |
 * | `ETCD_PASSWORD` | `etcd.password` |
 * | `<NAME>_ADDR`, `<NAME>_NAME` | `addr` and `name` of the section `<name>` of a configuration file |
 *
 * An empty variable counts as unset.
 */
export const ETCD_VARIABLES = {
  endpoints: 'ETCD_ENDPOINTS',
  username: 'ETCD_USERNAME',
  password: 'ETCD_PASSWORD',
} as const;

/** `notification-server` + `ADDR` → `NOTIFICATION_SERVER_ADDR` */
export const sectionVariable = (section: string, field: 'ADDR' | 'NAME'): string =>
  `${section.toUpperCase().replace(/[^A-Z0-9]/g, '_')}_${field}`;

/** The variable's value, undefined when it is unset or empty. */
export const variable = (env: NodeJS.ProcessEnv, name: string): string | undefined => {
  const value = env[name];
  return value === undefined || value.trim() === '' ? undefined : value;
};
