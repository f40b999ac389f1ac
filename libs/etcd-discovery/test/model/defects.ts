import type { EtcdClient, EtcdKeyValue, TxnOp, WatchHandle } from '../../src/etcd/etcd-client.js';
import type { Defect } from './stage.js';

/** A port with some of its methods replaced. */
const changed = (etcd: EtcdClient, methods: Partial<EtcdClient>): EtcdClient =>
  new Proxy(etcd, {
    get: (target, name) => {
      const value: unknown = methods[name as keyof EtcdClient] ?? target[name as keyof EtcdClient];
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });

/** A broken watch goes on where it was, unseen by whoever reads it, as etcd3's own watcher does. */
const resuming = (etcd: EtcdClient): EtcdClient =>
  changed(etcd, {
    watch: (request, observer) => {
      let { startRevision } = request;
      let told = false;
      let handle: WatchHandle | undefined;
      const stopping = new AbortController();
      const open = () => {
        handle = etcd.watch(
          { ...request, startRevision },
          {
            created: (header) => {
              if (!told) observer.created?.(header);
              told = true;
            },
            progress: (header) => observer.progress?.(header),
            events: (events, header) => {
              startRevision = (events.at(-1)?.modRevision ?? 0) + 1;
              observer.events(events, header);
            },
            end: (end) => {
              if (end.reason !== 'error' && end.reason !== 'silent') return observer.end(end);
              void etcd.gate.whenOpen(stopping.signal).then(() => !stopping.signal.aborted && open());
            },
          },
        );
      };
      open();
      return {
        close: () => {
          stopping.abort();
          handle?.close();
        },
      };
    },
  });

/** Values of keys that look as they did before are not read again, whatever has happened in between. */
const trustingKeys = (etcd: EtcdClient): EtcdClient => {
  const known = new Map<string, Buffer>();
  const looks = (kv: EtcdKeyValue) => [kv.key, kv.createRevision, kv.modRevision, kv.version, kv.lease].join();
  return changed(etcd, {
    range: async (request, options) => {
      const page = await etcd.range(request, options);
      if (request.keysOnly) return page;
      const kvs = page.kvs.map((kv) => {
        const value = known.get(looks(kv)) ?? kv.value;
        known.set(looks(kv), value);
        return { ...kv, value };
      });
      return { ...page, kvs };
    },
  });
};

const writing = (etcd: EtcdClient, change: (op: TxnOp) => TxnOp): EtcdClient =>
  changed(etcd, { txn: (request, options) => etcd.txn({ ...request, success: request.success.map(change) }, options) });

/** What can be made wrong without touching the sources, and which promises the model then finds broken. */
export const DEFECTS: Record<string, Defect & { readonly breaks: RegExp }> = {
  'a watch that is resumed by its revision': {
    catalogPort: resuming,
    breaks: /^cache/,
  },
  'no watch of the own key': {
    registrarPort: (etcd) => changed(etcd, { watch: () => ({ close() {} }) }),
    breaks: /^registration missing/,
  },
  'keys that look alike after a restore, trusted': {
    catalogPort: trustingKeys,
    breaks: /^cache/,
  },
  'suspects dropped at once': {
    options: { suspectTimeoutMs: 0 },
    breaks: /^live suspect dropped/,
  },
  'suspects dropped although they answer': {
    probe: () => Promise.resolve(false),
    breaks: /^live suspect dropped/,
  },
  'a list of one page': {
    catalogPort: (etcd) =>
      changed(etcd, { range: async (request, options) => ({ ...(await etcd.range(request, options)), more: false }) }),
    breaks: /^(cache|not a moment of etcd)/,
  },
  'a cancelled watch taken for a quiet one': {
    catalogPort: (etcd) =>
      changed(etcd, {
        watch: (request, observer) =>
          etcd.watch(request, {
            created: (header) => observer.created?.(header),
            events: (events, header) => observer.events(events, header),
            end: (end) => end.reason !== 'canceled' && observer.end(end),
          }),
      }),
    breaks: /^cache/,
  },
  'keys put without a lease': {
    registrarPort: (etcd) => writing(etcd, (op) => (op.type === 'put' ? { ...op, lease: '0' } : op)),
    breaks: /^no lease/,
  },
  'keys deleted by their name': {
    registrarPort: (etcd) =>
      changed(etcd, {
        txn: (request, options) =>
          etcd.txn(request.success[0]?.type === 'delete' ? { ...request, compare: [] } : request, options),
      }),
    breaks: /^foreign property/,
  },
  'keys put over whatever is there': {
    registrarPort: (etcd) =>
      changed(etcd, {
        txn: (request, options) =>
          etcd.txn(request.success[0]?.type === 'put' ? { ...request, compare: [] } : request, options),
      }),
    breaks: /^foreign property/,
  },
  'a lease that is not revoked': {
    registrarPort: (etcd) => changed(etcd, { revokeLease: () => Promise.resolve() }),
    breaks: /^left open/,
  },
  'renewals whose answer is not looked at': {
    registrarPort: (etcd) =>
      changed(etcd, {
        keepAliveLease: async (id, options) => ({ ttl: Math.max(10, (await etcd.keepAliveLease(id, options)).ttl) }),
        watch: () => ({ close() {} }),
      }),
    breaks: /^registration missing/,
  },
  'watches that are left open': {
    catalogPort: (etcd) =>
      changed(etcd, {
        watch: (request, observer) => {
          etcd.watch(request, observer);
          return { close() {} };
        },
      }),
    breaks: /^left open/,
  },
  'a gate that is not waited for': {
    catalogPort: (etcd) =>
      changed(etcd, {
        gate: {
          state: { open: true, since: new Date(0) },
          whenOpen: () => Promise.resolve(),
          onChange: () => () => {},
        },
        range: async (request, options) => {
          for (;;) {
            try {
              return await etcd.range(request, options);
            } catch (error) {
              if (options?.signal?.aborted) throw error;
              await new Promise((resolve) => setImmediate(resolve));
            }
          }
        },
      }),
    breaks: /^hot loop/,
  },
};
