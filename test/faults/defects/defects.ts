/** A way in which the code could be wrong, and the test that would say so. */
export interface Defect {
  readonly name: string;
  /** What it would do to users. */
  readonly harm: string;
  /** Where it is put, from the library's `src`. */
  readonly file: string;
  /** Occurs exactly once in that file. */
  readonly find: string;
  readonly replace: string;
  readonly caughtBy: {
    readonly project: 'unit' | 'integration';
    /** From the library's folder. */
    readonly file: string;
    /** Text of the test's full name. */
    readonly test: string;
  };
}

const unit = (file: string, test: string): Defect['caughtBy'] => ({ project: 'unit', file: `src/${file}`, test });
const integration = (file: string, test: string): Defect['caughtBy'] => ({
  project: 'integration',
  file: `test/${file}`,
  test,
});

/** Put into the code one at a time by `npm run faults -- --defects`. A suite that cannot fail shows nothing. */
export const defects: readonly Defect[] = [
  {
    name: 'delete by name',
    harm: 'the late stop of an old process removes the key of the new one',
    file: 'registry/own-key.ts',
    find: "compare: [{ key, target: 'lease', result: 'equal', value: lease }]",
    replace: 'compare: []',
    caughtBy: unit('registry/registrar.spec.ts', 'is not removed by the late stop of the process it took over from'),
  },
  {
    name: 'put without lease',
    harm: 'a crashed instance stays in the registry for ever',
    file: 'registry/own-key.ts',
    find: "success: [{ type: 'put', key, value, lease }],\n        failure",
    replace: "success: [{ type: 'put', key, value, lease: '0' }],\n        failure",
    caughtBy: unit('registry/registrar.spec.ts', 'the key is in etcd under the lease when it is done'),
  },
  {
    name: 'overwrite unseen',
    harm: 'two live processes with one id take the key from each other',
    file: 'registry/own-key.ts',
    find: "compare: [{ key, target: 'mod', result: 'equal', value: expected }]",
    replace: 'compare: []',
    caughtBy: unit(
      'registry/registrar.spec.ts',
      'does not overwrite a key that changes between reading and taking over',
    ),
  },
  {
    name: 'no own-key watch',
    harm: 'a deleted key, or a renewal that lies, is never noticed',
    file: 'registry/own-key.watch.ts',
    find: 'if (this.following || this.closing.signal.aborted) return;',
    replace: 'if (this.following || revision >= 0) return;',
    caughtBy: unit('registry/registrar.spec.ts', 'notices a renewal that lies: the watch shows that the key went'),
  },
  {
    name: "'lost' at twice the TTL",
    harm: 'an instance believes for ten seconds that it is registered when it is not',
    file: 'registry/lease-session.ts',
    find: 'const left = lease.ttlSeconds * 1_000 -',
    replace: 'const left = lease.ttlSeconds * 2_000 -',
    caughtBy: unit('registry/lease-session.spec.ts', 'is overdue one TTL after the last renewal that was confirmed'),
  },
  {
    name: 'a lease given up for an outage',
    harm: 'every restart of etcd makes the whole fleet register anew',
    file: 'registry/lease-session.ts',
    find: "if (isEtcdFailure(error, 'lease-not-found')) return this.endTenure(",
    replace: 'if (error) return this.endTenure(',
    caughtBy: unit('registry/lease-session.spec.ts', 'goes on renewing after single failures without anybody noticing'),
  },
  {
    name: 'an old attempt ends the new lease',
    harm: 'a late answer throws away the lease that was granted meanwhile',
    file: 'registry/lease-session.ts',
    find: ' || this.current.lease.generation !== lease.generation) return;',
    replace: ' || lease.generation < 0) return;',
    caughtBy: unit('registry/lease-session.spec.ts', 'and only for the current generation'),
  },
  {
    name: 'renewals without patience',
    harm: 'an etcd that always answers late loses every lease',
    file: 'registry/lease-session.ts',
    find: 'return this.slow || this.interrupted || attempt >= 2 ? patientMs : tightReplyMs(lease);',
    replace: 'return tightReplyMs(lease);',
    caughtBy: unit('registry/lease-session.spec.ts', 'waits for a renewal TTL/5, twice, and only then longer'),
  },
  {
    name: 'no jitter when a whole service comes back',
    harm: 'a thousand processes write to etcd in one moment',
    file: 'registry/come-back.ts',
    find: 'await sleep(clock, random() * CROWD_SPREAD_MS, signal);',
    replace: 'await sleep(clock, random() * 0, signal);',
    caughtBy: unit(
      'registry/registrar.crowd.spec.ts',
      'puts itself back over a second when all its keys are deleted in one moment',
    ),
  },
  {
    name: 'no jitter before a list',
    harm: 'after a restart of etcd every client lists in one moment',
    file: 'catalog/relist-delay.ts',
    find: "if (last === 'lost' && hasCache) return SPREAD_MS * this.random();",
    replace: "if (last === 'lost' && hasCache) return 0;",
    caughtBy: unit(
      'catalog/etcd-catalog.resync.spec.ts',
      'after a lost connection the lists of clients with a cache spread over 1.5 s',
    ),
  },
  {
    name: 'lists in a hot loop',
    harm: 'an etcd that refuses is asked as fast as it answers',
    file: 'catalog/relist-delay.ts',
    find: 'const attempt = this.attempts++;',
    replace: 'const attempt = 0;',
    caughtBy: unit('catalog/etcd-catalog.resync.spec.ts', 'again and again, the lists become rare instead of a loop'),
  },
  {
    name: 'wall clock',
    harm: 'setting the clock loses every lease',
    file: 'utils/clock.ts',
    find: 'now: () => performance.now(),',
    replace: 'now: () => Date.now(),',
    caughtBy: unit('utils/clock.spec.ts', 'does not move when the wall clock is set'),
  },
  {
    name: 'watch without fragment',
    harm: 'a few large foreign values end the watch, again and again',
    file: 'etcd/etcd3-watch.ts',
    find: 'fragment: true,',
    replace: 'fragment: false,',
    caughtBy: integration(
      'catalog/large-values.int-spec.ts',
      'arrive in fragments when they come between the list and its watch',
    ),
  },
  {
    name: 'a watch that accepts the future',
    harm: 'after a restore the watch is silent and the cache stays wrong',
    file: 'catalog/list-watch.ts',
    find: 'headers.some((created) => isBehind(created, header) || (stalled',
    replace: 'headers.some((created) => (created.revision < 0 && isBehind(created, header)) || (stalled',
    caughtBy: unit('catalog/etcd-catalog.ends.spec.ts', 'because it has not got as far, the list comes again at once'),
  },
  {
    name: 'resume by revision',
    harm: 'after a restore etcd accepts the watch and stays silent',
    file: 'catalog/list-watch.ts',
    find: 'const listing = await this.listAgain(signal);',
    replace:
      'const kept = this as unknown as { kept?: Listing<T> };\n      const listing = (kept.kept ??= await this.listAgain(signal));',
    caughtBy: unit(
      'catalog/etcd-catalog.resync.spec.ts',
      'restored to an older revision is believed at the first contact',
    ),
  },
  {
    name: 'no resync on cancel',
    harm: 'a watch that etcd cancels is the last one: stale for ever',
    file: 'catalog/attempt-end.ts',
    find: "kind: 'refused',\n        error: error ?? new Error('etcd cancelled the watch'),",
    replace: "kind: 'closed',\n        error: error ?? new Error('etcd cancelled the watch'),",
    caughtBy: unit('catalog/etcd-catalog.resync.spec.ts', 'when the watch ends'),
  },
  {
    name: 'keys-only lists trusted after a restore',
    harm: 'other values under the same revisions are never read',
    file: 'catalog/etcd-history.ts',
    find: 'return header.raftTerm > last.raftTerm || header.raftTerm > YOUNG_TERM;',
    replace: 'return true;',
    caughtBy: integration(
      'catalog/restore.int-spec.ts',
      'and written to until every key looks as it did, shows other values all the same',
    ),
  },
  {
    name: 'silence taken for peace',
    harm: 'a watch behind a black hole shows yesterday’s instances',
    file: 'etcd/watch-stream.ts',
    find: "return this.finish({ reason: 'silent', error: this.refusal('unreachable', text) }, true);",
    replace: 'return;',
    caughtBy: unit('etcd/watch-stream.spec.ts', 'end as silent when a sign of life was asked for and did not come'),
  },
  {
    name: 'list without paging',
    harm: 'a large service blocks the event loop and exceeds every message limit',
    file: 'etcd/key-range.ts',
    find: 'limit: pages.keys, revision, keysOnly',
    replace: 'limit: 0, revision, keysOnly',
    caughtBy: unit('etcd/key-range.spec.ts', 'asks for each page after the first at the revision of the first'),
  },
  {
    name: 'pages of different moments',
    harm: 'a list shows a state that never was',
    file: 'etcd/key-range.ts',
    find: 'revision ||= page.header.revision;',
    replace: '',
    caughtBy: unit('etcd/key-range.spec.ts', 'asks for each page after the first at the revision of the first'),
  },
  {
    name: 'suspect rule off',
    harm: 'an etcd that was paused empties every service',
    file: 'catalog/service-state.ts',
    find: 'if (expired === 0 || ',
    replace: 'if (expired >= 0 || ',
    caughtBy: unit('catalog/service-state.suspects.spec.ts', 'in one step makes suspects of all'),
  },
  {
    name: 'draining counted as expiry',
    harm: 'a service that was drained on purpose keeps its dead instances',
    file: 'catalog/service-step.ts',
    find: 'this.drained += 1;',
    replace: '',
    caughtBy: unit(
      'catalog/service-state.suspects.spec.ts',
      'are not missed: a service that was scaled down loses one',
    ),
  },
  {
    name: 'no revision check',
    harm: 'a replayed event revives an instance that left',
    file: 'catalog/service-state.ts',
    find: 'if (before && before.modRevision >= modRevision) continue;',
    replace: '',
    caughtBy: unit('catalog/service-state.spec.ts', 'are idempotent by modRevision'),
  },
  {
    name: 'prefix without its slash',
    harm: 'calls for users go to users-v2',
    file: 'instance/instance-key.ts',
    find: '`${namespace}/${service}/`;',
    replace: '`${namespace}/${service}`;',
    caughtBy: unit('catalog/etcd-catalog.spec.ts', 'never sees the neighbour whose name begins alike'),
  },
  {
    name: 'sockets outlive the close',
    harm: 'a process whose etcd is behind a firewall does not end',
    file: 'etcd/etcd3-connection.ts',
    find: 'this.dials.giveUp();',
    replace: '',
    caughtBy: integration('etcd/close.int-spec.ts', 'leaves no socket behind when nobody answers its SYN'),
  },
];
