import 'vitest';

declare module 'vitest' {
  export interface ProvidedContext {
    /** `host:port` of a real etcd, shared by the run: every test uses a namespace of its own. */
    etcdEndpoint: string;
  }
}
