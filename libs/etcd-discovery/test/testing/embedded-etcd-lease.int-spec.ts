import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Pair } from './support/pair.js';
import type { Message } from './support/raw-etcd.js';

let pair: Pair;
beforeAll(async () => {
  pair = await Pair.start();
});
afterAll(() => pair.stop());

const b = (text: string) => Buffer.from(text);
const lease = (method: string, request: Message = {}) => pair.same('Lease', method, request);
const put = (key: string, id: string, more: Message = {}) =>
  pair.same('KV', 'Put', { key: b(key), value: b('v'), lease: id, ...more });
const all = (prefix: string) => pair.same('KV', 'Range', { key: b(prefix), range_end: b(`${prefix}~`) });
const refused = (code: status, details: string) => ({ code, details: `etcdserver: ${details}` });

describe('an embedded etcd beside a real one: leases', () => {
  it('grants the id and the TTL asked for, within bounds', async () => {
    await lease('LeaseGrant', { ID: '101', TTL: 60 });
    await lease('LeaseGrant', { ID: '102', TTL: 1 });
    await lease('LeaseGrant', { ID: '103', TTL: 0 });
    await lease('LeaseGrant', { ID: '104', TTL: -5 });
    await lease('LeaseGrant', { ID: '-7', TTL: 60 });
    expect(await lease('LeaseGrant', { ID: '101', TTL: 60 })).toEqual(
      refused(status.FAILED_PRECONDITION, 'lease already exists'),
    );
    expect(await lease('LeaseGrant', { ID: '105', TTL: 9_000_000_001 })).toEqual(
      refused(status.OUT_OF_RANGE, 'too large lease TTL'),
    );
    await lease('LeaseGrant', { ID: '106', TTL: 9_000_000_000 });
    for (const ID of ['102', '103', '104', '-7', '106']) await lease('LeaseRevoke', { ID });
    await lease('LeaseRevoke', { ID: '101' });
  });

  it('chooses a positive id where none is given', async () => {
    const [real, embedded] = await pair.both((client) => client.ok('Lease', 'LeaseGrant', { TTL: 60 }));
    for (const { ID, TTL, error } of [real, embedded]) {
      expect(BigInt(ID as string)).toBeGreaterThan(0n);
      expect({ TTL, error }).toEqual({ TTL: '60', error: '' });
    }
    await pair.both(async (client) => {
      const { leases } = await client.ok('Lease', 'LeaseLeases');
      for (const { ID } of leases as Message[]) await client.ok('Lease', 'LeaseRevoke', { ID });
    });
  });

  it('tells of a lease: time, keys, and that there is none', async () => {
    await lease('LeaseGrant', { ID: '201', TTL: 60 });
    await put('tell/b', '201');
    await put('tell/a', '201');
    await lease('LeaseTimeToLive', { ID: '201' });
    await lease('LeaseTimeToLive', { ID: '201', keys: true });
    await lease('LeaseTimeToLive', { ID: '999', keys: true });
    await lease('LeaseLeases');
    expect(await lease('LeaseRevoke', { ID: '999' })).toEqual(refused(status.NOT_FOUND, 'requested lease not found'));
    await lease('LeaseRevoke', { ID: '201' });
    await all('tell/');
    await lease('LeaseLeases');
  });

  it('lists the lease that ends first first', async () => {
    await lease('LeaseGrant', { ID: '301', TTL: 300 });
    await lease('LeaseGrant', { ID: '302', TTL: 100 });
    await lease('LeaseGrant', { ID: '303', TTL: 200 });
    await lease('LeaseLeases');
    for (const ID of ['301', '302', '303']) await lease('LeaseRevoke', { ID });
  });

  it('moves a key with its newest put, and takes the keys along when it ends', async () => {
    await lease('LeaseGrant', { ID: '401', TTL: 60 });
    await lease('LeaseGrant', { ID: '402', TTL: 60 });
    await put('move/a', '401');
    await put('move/b', '401');
    await put('move/c', '401');
    await put('move/d', '401');
    await put('move/a', '402', { prev_kv: true });
    await put('move/b', '0', { prev_kv: true });
    await put('move/c', '0', { ignore_lease: true, value: b('new') });
    await pair.same('KV', 'DeleteRange', { key: b('move/d') });
    for (const ID of ['401', '402']) await lease('LeaseTimeToLive', { ID, keys: true });
    await lease('LeaseRevoke', { ID: '401' });
    await all('move/');
    await lease('LeaseRevoke', { ID: '402' });
    await all('move/');
  });

  it('renews one that exists and answers 0 for one that does not', async () => {
    await lease('LeaseGrant', { ID: '501', TTL: 60 });
    await pair.sameOutcome((client) => client.keepAlive('501'));
    await pair.sameOutcome((client) => client.keepAlive('999'));
    await pair.sameOutcome((client) => client.keepAlive('501'));
    await lease('LeaseRevoke', { ID: '501' });
    await pair.sameOutcome((client) => client.keepAlive('501'));
  });

  it('ends one that nobody renews, and deletes its keys in one revision', async () => {
    await lease('LeaseGrant', { ID: '601', TTL: 2 });
    await put('end/b', '601');
    await put('end/a', '601');
    const watches = await pair.both(async (client) => {
      const watch = client.watch();
      watch.write({ create_request: { key: b('end/'), range_end: b('end0') } });
      return watch;
    });
    await vi.waitFor(() => watches.forEach(({ responses }) => expect(responses).toHaveLength(2)), 10_000);
    const events = watches.map(({ responses }) => responses[1]!.events);
    expect(events[1]).toEqual(events[0]);
    await all('end/');
    await lease('LeaseTimeToLive', { ID: '601' });
  });
});

describe('an embedded etcd beside a real one: the rest of the API', () => {
  it('answers for the member, its health and its alarms', async () => {
    const [real, embedded] = await pair.both((client) => client.ok('Maintenance', 'Status'));
    const shape = ({ version, errors, isLearner, header, leader }: Message) => {
      const { revision, member_id } = header as Message;
      return { version, errors, isLearner, revision, leads: leader === member_id };
    };
    expect(shape(embedded)).toEqual(shape(real));
    const [realList, embeddedList] = await pair.both((client) => client.ok('Cluster', 'MemberList'));
    const members = ({ header, members }: Message) => ({
      revision: (header as Message).revision,
      names: (members as Message[]).map(({ name, isLearner }) => ({ name, isLearner })),
    });
    expect(members(embeddedList)).toEqual(members(realList));
    await pair.same('Maintenance', 'Alarm');
    await pair.same('Maintenance', 'Defragment');
  });

  it('refuses writes while it is out of space', async () => {
    const full = refused(status.RESOURCE_EXHAUSTED, 'mvcc: database space exceeded');
    await pair.same('KV', 'Put', { key: b('full/a'), value: b('1') });
    await pair.same('Maintenance', 'Alarm', { action: 1, memberID: '42', alarm: 1 });
    await pair.same('Maintenance', 'Alarm', { alarm: 1 });
    const [real, embedded] = await pair.both((client) => client.ok('Maintenance', 'Status'));
    expect(embedded.errors).toEqual(real.errors);
    expect(await put('full/b', '0')).toEqual(full);
    expect(await lease('LeaseGrant', { ID: '701', TTL: 60 })).toEqual(full);
    expect(await pair.same('KV', 'Txn', { failure: [{ request_put: { key: b('full/b') } }] })).toEqual(full);
    await pair.same('KV', 'Txn', { success: [{ request_delete_range: { key: b('full/a') } }] });
    await pair.same('KV', 'DeleteRange', { key: b('full/a') });
    await pair.same('Maintenance', 'Alarm', { action: 2, memberID: '42', alarm: 1 });
    await pair.same('Maintenance', 'Alarm', { action: 2, memberID: '42', alarm: 1 });
    await put('full/b', '0');
  });

  it('answers a log-in as an etcd without authentication, and refuses by name what it does not do', async () => {
    expect(await pair.same('Auth', 'Authenticate', { name: 'root', password: 'x' })).toEqual(
      refused(status.FAILED_PRECONDITION, 'authentication is not enabled'),
    );
    for (const [service, method] of [
      ['Auth', 'AuthEnable'],
      ['Auth', 'UserAdd'],
      ['Auth', 'RoleAdd'],
      ['Cluster', 'MemberAdd'],
      ['Cluster', 'MemberRemove'],
      ['Maintenance', 'Hash'],
    ] as const) {
      expect(await pair.embedded.call(service, method)).toEqual({
        code: status.UNIMPLEMENTED,
        details: expect.stringContaining(`${service}/${method} is not implemented`),
      });
    }
    expect(await pair.embedded.first('Maintenance', 'Snapshot')).toEqual({
      code: status.UNIMPLEMENTED,
      details: expect.stringContaining('Maintenance/Snapshot is not implemented'),
    });
  });
});
