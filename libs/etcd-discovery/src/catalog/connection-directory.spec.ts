import { describe, expect, it, vi } from 'vitest';
import { ConnectionDirectory, type DiscoveryConnection } from './connection-directory.js';

const connection = (name: string) => ({ name }) as DiscoveryConnection;

describe('the directory of connections', () => {
  it("takes '' and 'default' for one name", () => {
    const directory = new ConnectionDirectory();
    const first = connection('default');
    directory.open(first);
    expect(directory.find('')).toBe(first);
    expect(directory.find('default')).toBe(first);
  });

  it('finds named connections exactly', () => {
    const directory = new ConnectionDirectory();
    directory.open(connection('default'));
    const east = connection('east');
    directory.open(east);
    expect(directory.find('east')).toBe(east);
    expect(directory.find('west')).toBeUndefined();
  });

  it('serves the first opened of one name, then the next', () => {
    const directory = new ConnectionDirectory();
    const [first, second] = [connection('default'), connection('')];
    const closeFirst = directory.open(first);
    const closeSecond = directory.open(second);
    expect(directory.find('')).toBe(first);
    closeFirst();
    expect(directory.find('')).toBe(second);
    closeFirst();
    expect(directory.find('')).toBe(second);
    closeSecond();
    expect(directory.find('')).toBeUndefined();
  });

  it('closes a connection that was opened twice one opening at a time', () => {
    const directory = new ConnectionDirectory();
    const same = connection('default');
    const close = directory.open(same);
    directory.open(same);
    close();
    close();
    expect(directory.find('')).toBe(same);
  });

  it('tells of every opening and closing until unsubscribed', () => {
    const directory = new ConnectionDirectory();
    const listener = vi.fn();
    const stop = directory.onChange(listener);
    directory.open(connection('a'))();
    expect(listener).toHaveBeenCalledTimes(2);
    stop();
    directory.open(connection('b'));
    expect(listener).toHaveBeenCalledTimes(2);
  });
});
