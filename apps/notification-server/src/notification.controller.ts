import { Controller } from '@nestjs/common';
import { GrpcMethod, GrpcStreamMethod } from '@nestjs/microservices';
import { ServiceRegistry } from 'nestjs-etcd-discovery';
import { map, type Observable } from 'rxjs';
import { alreadyExists, notFound } from './notification.errors.js';
import { takeAll } from './notification.bulk.js';
import type {
  ListRequest,
  NotificationMessage,
  SendRequest,
  SendSummary,
} from '../../common/src/notification.messages.js';
import { toMessage } from './notification.js';
import { NotificationStore } from './notification.store.js';
import { parseDraft, parseId, parsePageSize, parseRecipientFilter } from './notification.validation.js';
import { type StreamOutput, watchStore } from './notification.watch.js';
import { decodePageToken, encodePageToken } from './page-token.js';

interface Served {
  readonly servedBy: string;
}

/** `notification.v1.NotificationService`; what each method promises is written in the proto. */
@Controller()
export class NotificationController {
  constructor(
    private readonly store: NotificationStore,
    private readonly registry: ServiceRegistry,
  ) {}

  @GrpcMethod('NotificationService', 'SendNotification')
  send(request: SendRequest): Served & { notification: NotificationMessage } {
    const draft = parseDraft(request);
    const { outcome, notification } = this.store.put(draft);
    if (outcome === 'conflict') throw alreadyExists(draft.id);
    return { notification: toMessage(notification), servedBy: this.instanceId };
  }

  @GrpcMethod('NotificationService', 'GetNotification')
  get(request: { id?: string }): Served & { notification: NotificationMessage } {
    const id = parseId(request.id);
    const notification = this.store.get(id);
    if (notification === undefined) throw notFound(id, this.instanceId);
    return { notification: toMessage(notification), servedBy: this.instanceId };
  }

  @GrpcMethod('NotificationService', 'ListNotifications')
  list(request: ListRequest): Served & { notifications: NotificationMessage[]; nextPageToken: string } {
    const recipient = parseRecipientFilter(request.recipient);
    const pageSize = parsePageSize(request.pageSize);
    const position = decodePageToken(request.pageToken, recipient);
    const page = this.store.list({ pageSize, olderThanUs: position?.olderThanUs, recipient });
    return {
      notifications: page.notifications.map(toMessage),
      nextPageToken:
        page.olderThanUs === undefined ? '' : encodePageToken({ olderThanUs: page.olderThanUs, recipient }),
      servedBy: this.instanceId,
    };
  }

  @GrpcMethod('NotificationService', 'WatchNotifications')
  watch(
    request: { recipient?: string },
    _metadata: unknown,
    output: StreamOutput,
  ): Observable<Served & { notification: NotificationMessage }> {
    const recipient = parseRecipientFilter(request.recipient);
    return watchStore(this.store, { recipient, output, draining$: this.registry.draining$ }).pipe(
      map((notification) => ({ notification: toMessage(notification), servedBy: this.instanceId })),
    );
  }

  @GrpcStreamMethod('NotificationService', 'SendNotifications')
  sendMany(requests: Observable<SendRequest>): Observable<Served & SendSummary> {
    return takeAll(this.store, requests).pipe(map((summary) => ({ ...summary, servedBy: this.instanceId })));
  }

  /** As published in etcd; empty while nothing is registered. */
  private get instanceId(): string {
    return this.registry.registrations[0]?.id ?? '';
  }
}
