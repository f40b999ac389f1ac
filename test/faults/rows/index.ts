import type { FaultRow } from '../support/fault-row.js';
import { authRows } from './auth.rows.js';
import { callbackRows } from './callback.rows.js';
import { crowdRows } from './crowd.rows.js';
import { dataRows } from './data.rows.js';
import { etcdClusterRows } from './etcd-cluster.rows.js';
import { etcdDataRows } from './etcd-data.rows.js';
import { endpointRows } from './endpoints.rows.js';
import { etcdServerRows } from './etcd-server.rows.js';
import { identityRows } from './identity.rows.js';
import { instanceRows } from './instance.rows.js';
import { lieRows } from './lies.rows.js';
import { networkRows } from './network.rows.js';
import { processRows } from './process.rows.js';
import { promiseRows } from './promise.rows.js';
import { stormRows } from './storms.rows.js';
import { timeRows } from './time.rows.js';
import { watchRows } from './watch.rows.js';

const byNumber = (a: FaultRow, b: FaultRow): number =>
  (Number.parseInt(a.id) || Infinity) - (Number.parseInt(b.id) || Infinity) ||
  a.id.localeCompare(b.id, 'en', { numeric: true });

/** Every row of the fault matrix that this command runs, in the matrix' order, then the figures without a row. */
export const faultRows: readonly FaultRow[] = [
  // One per line.
  callbackRows,
  etcdClusterRows,
  etcdDataRows,
  endpointRows,
  authRows,
  etcdServerRows,
  crowdRows,
  dataRows,
  identityRows,
  instanceRows,
  lieRows,
  networkRows,
  promiseRows,
  processRows,
  stormRows,
  timeRows,
  watchRows,
]
  .flat()
  .toSorted(byNumber);
