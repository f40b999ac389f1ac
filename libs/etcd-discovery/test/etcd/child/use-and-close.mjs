// Uses etcd in every way, says so, and closes when told to; afterwards nothing but open resources can hold the process.
import { createInterface } from 'node:readline';
import { createEtcdClient } from '../../../src/etcd/etcd3-client.js';
import { prefixRange } from '../../../src/etcd/key-range.js';

const etcd = createEtcdClient({ endpoints: [process.argv[2]], dialTimeoutMs: 5_000 });
const range = prefixRange('/exit/');
const { id } = await etcd.grantLease(60);
const { header } = await etcd.range(range, { via: 'watch' });
await new Promise((created) => {
  etcd.watch(
    { ...range, startRevision: header.revision + 1 },
    { created, events: () => undefined, end: () => undefined },
  );
});
console.log('in use');

for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'close') break;
}
process.stdin.destroy();
const pending = [etcd.range(range), etcd.range(range, { via: 'watch' }), etcd.keepAliveLease(id), etcd.revokeLease(id)];
const settled = Promise.allSettled(pending);
const started = performance.now();
await etcd.close();
const failures = (await settled).map(({ status, reason }) => reason?.failure ?? status);
console.log(JSON.stringify({ closedInMs: Math.round(performance.now() - started), failures }));
