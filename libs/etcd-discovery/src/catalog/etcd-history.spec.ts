import { describe, expect, it } from 'vitest';
import type { EtcdHeader } from '../etcd/etcd-client.js';
import { EtcdHistory } from './etcd-history.js';

const header = (revision: number, raftTerm: number, memberId = 'm1', clusterId = 'c'): EtcdHeader => ({
  clusterId,
  memberId,
  revision,
  raftTerm,
});

const after = (...seen: EtcdHeader[]): EtcdHistory => {
  const history = new EtcdHistory();
  for (const each of seen) history.saw(each);
  return history;
};

describe('an answer of etcd belongs to the history that is known', () => {
  it.each([
    ['over the same connection', header(50, 2), header(50, 2), true, true],
    ['over the same connection, later', header(50, 2), header(80, 2), true, true],
    ['over the same connection, after an election', header(50, 2), header(50, 3), true, true],
    [
      'over another connection, after an election: a restore never raises the term',
      header(50, 2),
      header(50, 3),
      false,
      true,
    ],
    ['over another connection, in a term no fresh cluster can have', header(50, 11), header(50, 11), false, true],
    ['from another member, in such a term', header(50, 11), header(50, 11, 'm2'), false, true],
    [
      'not over another connection, in a term that a restored one starts with',
      header(50, 2),
      header(50, 2),
      false,
      false,
    ],
    ['not in the last young term', header(50, 10), header(90, 10), false, false],
    ['not from another member, although no failure was seen', header(50, 2), header(50, 2, 'm2'), true, false],
    ['not when the revision went back', header(50, 11), header(49, 11), true, false],
    ['not when the term went back', header(50, 11), header(90, 10), true, false],
    ['not when it is another cluster', header(50, 11), header(90, 12, 'm1', 'other'), true, false],
  ])('%s', (_, known, answer, unbroken, goesOn) => {
    expect(after(known).goesOn(answer, unbroken)).toBe(goesOn);
  });

  it('not while nothing is known', () => {
    expect(new EtcdHistory().goesOn(header(50, 11), true)).toBe(false);
  });

  it('as it was at its latest, whatever a member that lags behind has said since', () => {
    const history = after(header(50, 11), header(40, 10, 'm2'));
    expect(history.goesOn(header(49, 11, 'm2'), true)).toBe(false);
    expect(history.goesOn(header(50, 11, 'm2'), true)).toBe(true);
  });

  it('that starts anew with a list of all values', () => {
    const history = after(header(50, 11));
    history.startsAt(header(20, 2));
    expect(history.goesOn(header(21, 2), true)).toBe(true);
  });
});
