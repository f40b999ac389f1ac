import { beforeEach, describe, expect, it } from 'vitest';
import { EndpointRotation } from './endpoint-rotation.js';

class Connection {
  retired = 0;
  closed: string[] = [];
  drain: () => void = () => undefined;
  opening: Promise<void> = Promise.resolve();

  constructor(readonly endpoint: string) {}

  open(): Promise<void> {
    return this.opening;
  }

  retire(drained: () => void): void {
    this.retired++;
    this.drain = drained;
  }

  close(reason: string): void {
    this.closed.push(reason);
  }
}

describe('the endpoints of a role', () => {
  let made: Connection[];
  let refuse: boolean;
  let rotation: EndpointRotation<Connection>;

  beforeEach(() => {
    made = [];
    refuse = false;
    rotation = new EndpointRotation(['a', 'b', 'c'], 1, (endpoint) => {
      if (refuse) throw new Error('no such file');
      const connection = new Connection(endpoint);
      made.push(connection);
      return connection;
    });
  });

  it('are used one at a time, by one connection', () => {
    expect(rotation.current()).toBe(rotation.current());
    expect(made.map(({ endpoint }) => endpoint)).toEqual(['b']);
  });

  it('take turns when they fail, each time with a new connection, and are exhausted after one round', () => {
    const used = [];
    for (let n = 0; n < 3; n++) {
      expect(rotation.exhausted).toBe(false);
      const connection = rotation.current();
      used.push(connection.endpoint);
      rotation.failed(connection);
    }
    expect(used).toEqual(['b', 'c', 'a']);
    expect(rotation.exhausted).toBe(true);
    expect(rotation.current().endpoint).toBe('b');
    expect(rotation.current()).not.toBe(made[0]);
  });

  it('are dialled anew on demand, at the same endpoint, unless a dial is under way', async () => {
    const dialling = rotation.current();
    rotation.redial();
    expect(rotation.current()).toBe(dialling);
    await Promise.resolve();
    rotation.redial();
    expect(dialling.retired).toBe(1);
    expect(rotation.current()).not.toBe(dialling);
    expect(made.map(({ endpoint }) => endpoint)).toEqual(['b', 'b']);
    rotation.redial();
    expect(made).toHaveLength(2);
    expect(made[1]!.retired).toBe(0);
    rotation.close('done');
    expect(dialling.closed).toEqual(['done']);
  });

  it('move on once for a hundred calls that fail on the same connection', () => {
    const connection = rotation.current();
    for (let n = 0; n < 100; n++) rotation.failed(connection);
    expect(rotation.endpoint).toBe('c');
    expect(rotation.exhausted).toBe(false);
  });

  it('begin a new round with a success', () => {
    rotation.failed(rotation.current());
    rotation.failed(rotation.current());
    rotation.succeeded(rotation.current());
    rotation.failed(rotation.current());
    expect(rotation.exhausted).toBe(false);
  });

  it('are not credited with the late success of a connection that was given up', () => {
    const old = rotation.current();
    rotation.failed(old);
    rotation.failed(rotation.current());
    rotation.succeeded(old);
    rotation.failed(rotation.current());
    expect(rotation.exhausted).toBe(true);
  });

  it('move on when a connection cannot even be made', () => {
    refuse = true;
    expect(() => rotation.current()).toThrow('no such file');
    refuse = false;
    expect(rotation.current().endpoint).toBe('c');
  });

  it('start where others have found etcd, unless some have been tried already', () => {
    rotation.startAt('c');
    const connection = rotation.current();
    expect(connection.endpoint).toBe('c');
    rotation.startAt('b');
    expect(rotation.current()).toBe(connection);
    rotation.failed(connection);
    rotation.startAt('b');
    expect(rotation.current().endpoint).toBe('a');
  });

  it('start a new round where another role has found etcd, unless a connection is in use', () => {
    for (let n = 0; n < 3; n++) rotation.failed(rotation.current());
    rotation.restart('c');
    expect(rotation.exhausted).toBe(false);
    expect(rotation.current().endpoint).toBe('c');
    rotation.restart('a');
    expect(rotation.current().endpoint).toBe('c');
  });

  it('are all closed in the end, those too that are still finishing calls', () => {
    const [finishing, done] = [rotation.current(), (rotation.failed(made[0]!), rotation.current())];
    rotation.failed(done);
    done.drain();
    const last = rotation.current();
    rotation.close('over');
    expect([finishing.closed, done.closed, last.closed]).toEqual([['over'], [], ['over']]);
  });
});
