import { type ServiceError, status } from '@grpc/grpc-js';
import { catchError, from, lastValueFrom, type Observable, of, throwError } from 'rxjs';
import type { Draft, NotificationClient } from './notification.client.js';

/** One call to make. Resolves with the instance id that answered; rejects with the gRPC error. */
export interface PlannedCall {
  readonly method: 'SendNotification' | 'GetNotification' | 'ListNotifications' | 'SendNotifications';
  run(client: NotificationClient): Promise<string>;
}

/** Of 20 calls: 12 send, 4 get, 2 list, 2 send in bulk. */
const CYCLE = 'SSGSSLSSGSBSSGSSLSGB';
const BULK_SIZE = 3;

/**
 * The calls of one client, one after the other: every unary and client streaming method of the service, in fixed shares
 * and in a fixed order, so that two runs can be compared.
 */
export class CallMix {
  private sequence = 0;
  private lastId = '';

  /** @param owner makes the ids unique among clients */
  constructor(private readonly owner: string) {}

  next(): PlannedCall {
    const kind = CYCLE[this.sequence % CYCLE.length];
    this.sequence += 1;
    switch (kind) {
      case 'G':
        return this.get();
      case 'L':
        return { method: 'ListNotifications', run: (client) => answer(client.listNotifications({ pageSize: 5 })) };
      case 'B':
        return this.bulk();
      default:
        return this.send();
    }
  }

  private send(): PlannedCall {
    const notification = this.draft(0);
    this.lastId = notification.id;
    return { method: 'SendNotification', run: (client) => answer(client.sendNotification({ notification })) };
  }

  private get(): PlannedCall {
    const id = this.lastId;
    // Each instance has its own store: that another one took this id is a proper answer.
    const elsewhere = (error: Partial<ServiceError>) =>
      error.code === status.NOT_FOUND
        ? of({ servedBy: String(error.metadata?.get('x-instance')[0] ?? '') })
        : throwError(() => error);
    return {
      method: 'GetNotification',
      run: (client) => answer(client.getNotification({ id }).pipe(catchError(elsewhere))),
    };
  }

  private bulk(): PlannedCall {
    const requests = Array.from({ length: BULK_SIZE }, (_, index) => ({ notification: this.draft(index) }));
    return { method: 'SendNotifications', run: (client) => answer(client.sendNotifications(from(requests))) };
  }

  private draft(index: number): Draft {
    return {
      id: `${this.owner}-${this.sequence}-${index}`,
      recipient: `user-${this.sequence % 10}`,
      channel: 'CHANNEL_PUSH',
      subject: 'demo',
      body: `Notification ${this.sequence} of ${this.owner}`,
    };
  }
}

async function answer(response: Observable<{ servedBy: string }>): Promise<string> {
  return (await lastValueFrom(response)).servedBy;
}
