import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { etcdErrors, notImplemented } from './etcd.errors.js';
import { AlarmAction, type AlarmMember, type AlarmRequest, AlarmType } from './etcd.messages.js';
import type { EtcdState } from './etcd.state.js';
import { unary } from './handlers.js';

/** The etcd whose behaviour is followed; what `Status` says. */
export const ETCD_VERSION = '3.4.23';
/** The size that a new etcd's database has, bytes. */
const DB_SIZE = 20_480;

/** etcd.Cluster of the one member. */
export const clusterService = (state: EtcdState, endpoint: () => string): UntypedServiceImplementation => ({
  MemberList: unary(() => ({
    // etcd leaves the revision of this header empty.
    header: state.header(0),
    members: [
      {
        ID: state.identity.memberId,
        name: 'default',
        peerURLs: ['http://localhost:2380'],
        clientURLs: [`http://${endpoint()}`],
      },
    ],
  })),
});

const applyAlarm = (state: EtcdState, { action, memberID, alarm }: AlarmRequest): readonly AlarmMember[] => {
  const { alarms } = state;
  const index = alarms.findIndex((raised) => raised.memberID === memberID && raised.alarm === alarm);
  if (action === AlarmAction.activate) {
    if (alarm !== AlarmType.nospace) throw notImplemented('Maintenance.Alarm for any alarm but NOSPACE');
    if (index < 0) alarms.push({ memberID, alarm });
    return [{ memberID, alarm }];
  }
  if (action === AlarmAction.deactivate) return index < 0 ? [] : alarms.splice(index, 1);
  return alarms.filter((raised) => alarm === AlarmType.none || raised.alarm === alarm);
};

/** etcd.Maintenance: status and alarms; a raised NOSPACE refuses writes as in etcd. */
export const maintenanceService = (state: EtcdState): UntypedServiceImplementation => ({
  Status: unary(() => ({
    header: state.header(),
    version: ETCD_VERSION,
    dbSize: DB_SIZE,
    dbSizeInUse: DB_SIZE,
    leader: state.identity.memberId,
    raftIndex: state.kv.revision,
    raftAppliedIndex: state.kv.revision,
    raftTerm: state.identity.raftTerm,
    errors: state.alarms.map(
      ({ memberID, alarm }) => `memberID:${memberID} alarm:${alarm === AlarmType.nospace ? 'NOSPACE' : alarm} `,
    ),
  })),
  Alarm: unary((request: AlarmRequest) => ({ alarms: applyAlarm(state, request) })),
  // There is nothing on a disk to defragment: done.
  Defragment: unary(() => ({})),
});

/** etcd.Auth of an etcd with authentication off. */
export const authService = (): UntypedServiceImplementation => ({
  Authenticate: unary(() => {
    throw etcdErrors.authNotEnabled();
  }),
});
