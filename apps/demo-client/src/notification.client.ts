import type { Observable } from 'rxjs';
import type {
  ListRequest,
  ListResponse,
  NotificationMessage,
  SendResponse,
  SendSummary,
} from '../../common/src/notification.messages.js';

export type Draft = Omit<NotificationMessage, 'createTime'>;

/** `notification.v1.NotificationService` as `ClientGrpc.getService` gives it. */
export interface NotificationClient {
  sendNotification(request: { notification: Draft }): Observable<SendResponse>;
  getNotification(request: { id: string }): Observable<SendResponse>;
  listNotifications(request: ListRequest): Observable<ListResponse>;
  watchNotifications(request: { recipient?: string }): Observable<SendResponse>;
  sendNotifications(requests: Observable<{ notification: Draft }>): Observable<SendSummary & { servedBy: string }>;
}
