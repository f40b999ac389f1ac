/** What the herd of the benchmark and of the simulator looks like. */
export const SERVICES = 20;
export const INSTANCES = 20;
export const WATCHED_BY_EACH = 5;

export const serviceName = (index: number): string => `service-${index}`;

/** The services that a client watches: neighbours overlap, so that each service has as many watchers as the others. */
export const servicesOf = (client: number): string[] =>
  Array.from({ length: WATCHED_BY_EACH }, (_, offset) => serviceName((client + offset) % SERVICES));
