// Import direction and import cycles: ARCHITECTURE in docs, enforced here.
const lib = '^libs/etcd-discovery/src/';
const room = (name) => `${lib}${name}/`;

/** Each room of the library and the rooms it may import; errors and utils are open to all. */
const allowed = {
  utils: [],
  instance: [],
  options: ['instance'],
  etcd: ['options'],
  registry: ['etcd', 'instance', 'options'],
  catalog: ['etcd', 'instance', 'options'],
  balancing: ['instance'],
  grpc: ['catalog', 'balancing', 'options', 'instance'],
  tcp: ['catalog', 'balancing', 'options', 'instance'],
  discovery: ['catalog', 'balancing', 'grpc', 'options', 'instance'],
  lifecycle: ['registry', 'etcd', 'options', 'instance'],
  testing: [],
};

const direction = Object.entries(allowed).map(([name, targets]) => ({
  name: `direction-${name}`,
  severity: 'error',
  comment: `${name} imports ${['errors', 'utils', ...targets].join(', ')} and nothing else of ours`,
  from: { path: room(name), pathNot: '\\.spec\\.ts$' },
  to: {
    path: lib,
    pathNot: [
      room(name),
      `${lib}etcd-discovery\\.errors\\.ts$`,
      room('utils'),
      ...targets.map(room),
      // Types only: the embedded etcd shares the port's vocabulary, nothing else.
      ...(name === 'testing' ? [`${lib}etcd/etcd-client\\.ts$`] : []),
    ],
  },
}));

module.exports = {
  forbidden: [
    { name: 'no-circular', severity: 'error', from: {}, to: { circular: true } },
    ...direction,
    {
      name: 'module-is-the-root',
      severity: 'error',
      comment: 'the module composes the rooms; no room imports it',
      from: { path: lib, pathNot: [`${lib}(index|etcd-discovery\\.)`] },
      to: { path: `${lib}(index|etcd-discovery\\.(module|module-definition|providers))` },
    },
    {
      name: 'one-file-imports-the-driver',
      severity: 'error',
      from: { path: lib, pathNot: [`${lib}etcd/etcd3-`] },
      to: { path: 'node_modules/(etcd3|cockatiel)/' },
    },
    {
      name: 'public-names-only',
      severity: 'error',
      comment: 'apps, bench, examples and e2e tests use what users can use',
      from: { path: '^(apps|bench|examples|test)/' },
      to: { path: lib, pathNot: [`${lib}index\\.ts$`, `${lib}testing/index\\.ts$`] },
    },
    {
      name: 'library-stands-alone',
      severity: 'error',
      from: { path: '^libs/' },
      to: { path: '^(apps|bench|examples)/' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'node', 'default', 'types'] },
  },
};
