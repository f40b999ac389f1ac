import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedEtcd } from 'nestjs-etcd-discovery/testing';
import { BinaryEtcd } from './binary-etcd.js';
import type { EtcdHostCommand, EtcdHostMessage, OwnEtcd } from './etcd-host.messages.js';

/**
 * The process that holds the demo's etcd: the binary of the first argument, else the embedded one. A process of its own,
 * so that the embedded etcd answers on time whatever the demo does, and so that a real one does not outlive a demo that
 * crashed.
 */

/** Servers that lose the demo too leave etcd on their own; it stays long enough for that. */
const LEAVE_MS = 3_000;

const tell = (message: EtcdHostMessage) => process.send?.(message, undefined, {}, () => {});

async function open(binary: string | undefined): Promise<OwnEtcd> {
  if (binary !== undefined) return BinaryEtcd.start(binary);
  const etcd = await EmbeddedEtcd.start();
  return {
    endpoint: etcd.endpoint,
    description: 'the embedded etcd (no etcd binary found)',
    restart: (downMs) => etcd.restart({ downMs }),
    close: () => etcd.close(),
  };
}

function fail(error: unknown): void {
  tell({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
}

const opening = open(process.argv[2]);

async function stop(afterMs: number): Promise<void> {
  await delay(afterMs);
  await opening.then((etcd) => etcd.close()).catch(() => undefined);
  process.exit(0);
}

process.on('message', (command: EtcdHostCommand) => {
  if (command.type === 'stop') void stop(0);
  else {
    void opening
      .then(async (etcd) => {
        await etcd.restart(command.downMs);
        tell({ type: 'up', endpoint: etcd.endpoint, description: etcd.description });
      })
      .catch(fail);
  }
});
process.once('disconnect', () => void stop(LEAVE_MS));
process.once('SIGTERM', () => void stop(0));

try {
  const etcd = await opening;
  tell({ type: 'up', endpoint: etcd.endpoint, description: etcd.description });
} catch (error) {
  fail(error);
  process.exitCode = 1;
  process.disconnect?.();
}
